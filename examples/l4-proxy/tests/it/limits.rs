//! As many connections as there may be.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;

use proxy_lab::backend::Backend;
use proxy_lab::client::{Connection, get};
use proxy_lab::process::Proxy;
use proxy_lab::table::ConfigFile;
use proxy_lab::wait;

use crate::{PROXY, SCRATCH};

#[test]
fn clients_beyond_the_limit_wait_for_a_place() {
    let backend = Backend::named("a");
    let config = |most: usize| {
        format!(
            "[[listeners]]\naddress = \"127.0.0.1:0\"\npool = \"a\"\n\
             [pools.a]\nbackends = [{:?}]\n[limits]\nmax_connections = {most}\n",
            backend.address
        )
    };
    let file = ConfigFile::new(SCRATCH, "limits", &config(2));
    let proxy = Proxy::start(PROXY, 1, ["--config", file.path()]);
    let mut open: Vec<_> = (0..2).map(|_| Connection::open(proxy.address())).collect();
    for connection in &mut open {
        assert_eq!(connection.request("GET / HTTP/1.1\r\n\r\n").text(), "a");
    }
    let mut waiting = Connection::open(proxy.address());
    waiting.send("GET / HTTP/1.1\r\n\r\n");
    proxy.complained("accept: 2 connections, limits.max_connections; clients wait");
    assert_eq!(backend.accepted(), 2);
    open.pop();
    assert_eq!(waiting.reply().text(), "a");
    assert_eq!(backend.accepted(), 3);

    // A reload lets more in at once.
    let mut next = Connection::open(proxy.address());
    next.send("GET / HTTP/1.1\r\n\r\n");
    file.rewrite(&config(3));
    proxy.signal("HUP");
    assert_eq!(next.reply().text(), "a");
    assert_eq!(proxy.errors().len(), 1, "{:?}", proxy.errors());
}

#[test]
fn a_listener_that_waits_for_clients_takes_no_place() {
    let (inside, most) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let seen = Arc::clone(&most);
    let backend = Backend::new(move |connection| {
        seen.fetch_max(inside.fetch_add(1, SeqCst) + 1, SeqCst);
        while connection.request().is_some() {
            connection.reply(200, "a");
        }
        inside.fetch_sub(1, SeqCst);
    });
    let listeners = ["127.0.0.1:0", "127.0.0.2:0", "[::1]:0"]
        .map(|address| format!("[[listeners]]\naddress = \"{address}\"\npool = \"a\"\n"));
    let config = format!(
        "{}[pools.a]\nbackends = [{:?}]\n[limits]\nmax_connections = 1\n",
        listeners.concat(),
        backend.address
    );
    let proxy = Proxy::configured(PROXY, 3, ConfigFile::new(SCRATCH, "places", &config));
    // Whichever of them is asked, and however often the same one.
    for index in [2, 2, 1, 0, 0, 1, 2] {
        assert_eq!(get(proxy.addresses[index], "/").text(), "a", "{index}");
    }
    // Of clients that come by all of them at once, one is served at a time.
    thread::scope(|scope| {
        for index in (0..12).map(|client| client % 3) {
            let address = proxy.addresses[index];
            scope.spawn(move || assert_eq!(get(address, "/").text(), "a", "{index}"));
        }
    });
    assert_eq!(most.load(SeqCst), 1);
}

/// Two backends that take one connection each, and a queue.
fn queued(backends: &[Backend; 2], more: &str) -> (ConfigFile, Proxy) {
    let full: Vec<_> =
        backends.iter().map(|backend| format!("{},max=1", backend.address)).collect();
    let config = format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\npool = \"a\"\n\
         [pools.a]\nbackends = {full:?}\n{more}"
    );
    let file = ConfigFile::new(SCRATCH, "queue", &config);
    let proxy = Proxy::start(PROXY, 1, ["--config", file.path()]);
    (file, proxy)
}

fn open_and_ask(proxy: &Proxy) -> Connection {
    let mut connection = Connection::open(proxy.address());
    connection.send("GET / HTTP/1.1\r\n\r\n");
    connection
}

#[test]
fn connections_queue_while_all_backends_are_full() {
    let backends = [Backend::named("a"), Backend::named("b")];
    let (_file, proxy) = queued(&backends, "[limits]\nqueue = 2\nqueue_ms = 60000\n");
    let mut served: Vec<_> = (0..2).map(|_| open_and_ask(&proxy)).collect();
    served.iter_mut().for_each(|connection| assert_eq!(connection.reply().status, 200));
    let more: Vec<_> = (0..4).map(|_| open_and_ask(&proxy)).collect();
    wait::until("two too many to be let go", || {
        proxy.times_logged("end=\"every backend is full, and so is the queue\"") == 2
    });
    drop(served);
    let served = more.into_iter().filter_map(|mut queued| queued.try_request("").ok());
    assert_eq!(served.count(), 2);
    assert_eq!(backends[0].accepted() + backends[1].accepted(), 4);
}

#[test]
fn nobody_queues_for_longer_than_allowed() {
    let backends = [Backend::named("a"), Backend::named("b")];
    let (_file, proxy) = queued(&backends, "[limits]\nqueue = 2\nqueue_ms = 50\n");
    let mut served: Vec<_> = (0..2).map(|_| open_and_ask(&proxy)).collect();
    served.iter_mut().for_each(|connection| assert_eq!(connection.reply().status, 200));
    open_and_ask(&proxy).until_closed();
    proxy.logged(&["end=\"every backend was full for as long as it may wait\""]);
    drop(served);
    assert_eq!(open_and_ask(&proxy).reply().status, 200);
}

#[test]
fn who_leaves_the_queue_gives_its_place_to_others() {
    let backends = [Backend::named("a"), Backend::named("b")];
    let (_file, proxy) = queued(&backends, "[limits]\nqueue = 2\nqueue_ms = 60000\n");
    let mut served: Vec<_> = (0..2).map(|_| open_and_ask(&proxy)).collect();
    served.iter_mut().for_each(|connection| assert_eq!(connection.reply().status, 200));
    let gone: Vec<_> = (0..2)
        .map(|_| {
            let stream = std::net::TcpStream::connect(proxy.address()).unwrap();
            socket2::SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
            stream
        })
        .collect();
    // They are in the queue by now: the next one finds it full.
    wait::pause(std::time::Duration::from_millis(200));
    Connection::open(proxy.address()).until_closed();
    proxy.logged(&["end=\"every backend is full, and so is the queue\""]);
    drop(gone);
    wait::until("both to be gone", || proxy.times_logged("end=\"broken by client\"") == 2);
    let mut waiting = open_and_ask(&proxy);
    drop(served);
    assert_eq!(waiting.reply().status, 200);
    assert_eq!(backends[0].accepted() + backends[1].accepted(), 3, "nobody came for who has gone");
}

#[test]
fn other_limits_of_the_queue_leave_the_pool_as_it_is() {
    let backends = [Backend::named("a"), Backend::named("b")];
    let (file, proxy) = queued(&backends, "[limits]\nqueue = 1\nqueue_ms = 60000\n");
    let mut served: Vec<_> = (0..2).map(|_| open_and_ask(&proxy)).collect();
    served.iter_mut().for_each(|connection| assert_eq!(connection.reply().status, 200));
    let config = std::fs::read_to_string(file.path()).unwrap();
    file.rewrite(&config.replace("queue = 1", "queue = 2"));
    proxy.signal("HUP");
    proxy.logged(&["reloaded: pools kept 1, changed 0"]);
    let mut waiting: Vec<_> = (0..2).map(|_| open_and_ask(&proxy)).collect();
    // Each backend still has as many as it may.
    wait::pause(std::time::Duration::from_millis(50));
    assert_eq!(backends[0].accepted() + backends[1].accepted(), 2);
    drop(served);
    waiting.iter_mut().for_each(|connection| assert_eq!(connection.reply().status, 200));
}
