//! Who gets a connection.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc;
use std::time::Duration;

use parking_lot::Mutex;
use proxy_lab::backend::{Backend, free_address};
use proxy_lab::client::{Connection, get};
use proxy_lab::process::Proxy;
use proxy_lab::wait;

use crate::PROXY;

#[test]
fn the_next_backend_is_tried_when_one_cant_be_reached() {
    // A backup is asked after the others: it takes three attempts, always.
    let alive = Backend::named("alive");
    let backends = [free_address(), format!("{},backup", alive.address), free_address()];
    let proxy = Proxy::over(PROXY, &backends, &[]);
    for _ in 0..9 {
        assert_eq!(get(proxy.address(), "/").text(), "alive");
    }
    assert_eq!(alive.accepted(), 9);
    proxy.logged(&[&alive.address, "attempts=3"]);
}

/// Many clients at a time, and most backends refuse them: nothing has been asked of anybody, so nothing limits
/// how many go on to the next one.
#[test]
fn nobody_is_turned_away_while_one_of_many_lives() {
    let alive = Backend::named("alive");
    for policy in ["p2c", "round_robin", "random", "least_conn"] {
        let mut backends: Vec<_> = (0..4).map(|_| proxy_lab::demo::own_address()).collect();
        backends.push(alive.address.clone());
        let proxy = Proxy::over(PROXY, &backends, &["--policy", policy]);
        std::thread::scope(|scope| {
            for _ in 0..20 {
                scope.spawn(|| {
                    for _ in 0..10 {
                        assert_eq!(get(proxy.address(), "/").text(), "alive", "{policy}");
                    }
                });
            }
        });
    }
}

#[test]
fn a_client_is_let_go_when_nobody_can_be_reached() {
    let proxy = Proxy::over(PROXY, &[free_address(), free_address()], &[]);
    Connection::open(proxy.address()).until_closed();
    proxy.logged(&["attempts=2 sent=0 received=0", "end=\"no backend is left: 2 tried, 0 full\""]);
}

#[test]
fn a_connection_takes_its_place_until_it_ends() {
    let (end, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let backend = Backend::new(move |connection| {
        connection.send("hello");
        let _ = wait.lock().recv();
    });
    let proxy = Proxy::over(PROXY, &[format!("{},max=1", backend.address)], &[]);
    let mut first = Connection::open(proxy.address());
    let mut hello = [0; 5];
    std::io::Read::read_exact(&mut first.reader, &mut hello).unwrap();

    Connection::open(proxy.address()).until_closed();
    proxy.logged(&["backend=- attempts=0", "end=\"no backend is left: 0 tried, 1 full\""]);

    end.send(()).unwrap();
    drop(first);
    proxy.logged(&["received=5"]);
    end.send(()).unwrap();
    assert_eq!(Connection::open(proxy.address()).rest(), b"hello");
}

#[test]
fn without_file_descriptors_it_waits_and_goes_on() {
    let backend = Backend::named("ok");
    // The shell lowers the limit for the proxy, then becomes it.
    let limited = ["-c", "ulimit -n 32; exec \"$0\" \"$@\"", PROXY];
    let flags = ["--listen", "127.0.0.1:0", "--backend", &backend.address];
    let proxy = Proxy::start("sh", 1, [&limited[..], &flags].concat());
    let held = [(); 40].map(|()| Connection::open(proxy.address()));
    let complaints = || proxy.errors().iter().filter(|line| line.contains("accept: ")).count();
    wait::until("complaints", || complaints() > 0);
    // It complains ten times a second, not as often as it can.
    wait::pause(Duration::from_millis(300));
    assert!(complaints() < 100, "{} complaints", complaints());
    drop(held);
    // The first after that may still find none for its backend.
    wait::until("service", || {
        let mut client = TcpStream::connect(proxy.address()).expect("the proxy listens");
        let mut reply = String::new();
        let asked = client.write_all(b"GET / HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\r\n");
        asked.and_then(|()| client.read_to_string(&mut reply)).is_ok() && reply.ends_with("ok")
    });
}
