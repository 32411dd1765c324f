//! SIGHUP: another configuration, and nobody notices.

use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;

use proxy_lab::backend::Backend;
use proxy_lab::client::{Connection, get};
use proxy_lab::process::Proxy;
use proxy_lab::table::ConfigFile;
use proxy_lab::wait;

use crate::{PROXY, SCRATCH};

/// One listener, and a pool of these backends; `more` are more lines of the pool.
fn config(backends: &[&Backend], more: &str) -> String {
    let backends: Vec<_> = backends.iter().map(|backend| &backend.address).collect();
    format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\npool = \"a\"\n\
         [pools.a]\nbackends = {backends:?}\n{more}\n"
    )
}

fn start(text: &str) -> (ConfigFile, Proxy) {
    let file = ConfigFile::new(SCRATCH, "reload", text);
    let proxy = Proxy::start(PROXY, 1, ["--config", file.path()]);
    (file, proxy)
}

/// Reloads with another text, and waits until that is done.
fn reload(proxy: &Proxy, file: &ConfigFile, text: &str) {
    let before = proxy.times_logged("reloaded: ");
    file.rewrite(text);
    proxy.signal("HUP");
    wait::until("the reload", || proxy.times_logged("reloaded: ") > before);
}

fn ask(connection: &mut Connection) -> String {
    connection.request("GET / HTTP/1.1\r\n\r\n").text()
}

#[test]
fn other_backends_take_what_is_new_and_open_connections_stay() {
    let (a, b) = (Backend::named("a"), Backend::named("b"));
    let (file, proxy) = start(&config(&[&a], ""));
    let mut open = Connection::open(proxy.address());
    assert_eq!(ask(&mut open), "a");
    reload(&proxy, &file, &config(&[&b], ""));
    proxy.logged(&["reloaded: pools kept 1, changed 0, new 0, gone 0"]);
    proxy.logged(&[&a.address, "removed; in flight: 1"]);
    assert_eq!(get(proxy.address(), "/").text(), "b");
    assert_eq!(ask(&mut open), "a");
    drop(open);
    reload(&proxy, &file, &config(&[&b], "policy = \"least_conn\""));
    proxy.logged(&["reloaded: pools kept 0, changed 1, new 0, gone 0"]);
    assert_eq!(get(proxy.address(), "/").text(), "b");
}

#[test]
fn what_is_wrong_changes_nothing() {
    let a = Backend::named("a");
    let (file, mut proxy) = start(&config(&[&a], ""));
    for (wrong, named) in [
        ("not toml", "reload: "),
        (&*config(&[], ""), "pools.a.backends: no backends; nothing has changed"),
        (&*config(&[&a, &a], ""), "duplicate backend"),
        (
            "[[listeners]]\naddress = \"192.0.2.1:80\"\npool = \"a\"\n\
          [pools.a]\nbackends = [\"127.0.0.1:1\"]\n",
            "listen on 192.0.2.1:80: ",
        ),
        (
            "[[listeners]]\naddress = \"127.0.0.1:0\"\npool = \"a\"\n\
          [pools.a]\nbackends = [\"no-such-host.invalid:80\"]\n",
            "no-such-host.invalid",
        ),
    ] {
        file.rewrite(wrong);
        proxy.signal("HUP");
        proxy.complained(named);
        assert_eq!(get(proxy.address(), "/").text(), "a", "{wrong}");
    }
    assert_eq!(proxy.times_logged("reloaded: "), 0);
    assert!(proxy.is_running());
}

#[test]
fn listeners_come_and_go() {
    let (a, b) = (Backend::named("a"), Backend::named("b"));
    let pools = format!(
        "[pools.a]\nbackends = [{:?}]\n[pools.b]\nbackends = [{:?}]\n",
        a.address, b.address
    );
    let listener = |address: &str, pool: &str| {
        format!("[[listeners]]\naddress = \"{address}\"\npool = \"{pool}\"\n")
    };
    let (file, proxy) = start(&(listener("127.0.0.1:0", "a") + &pools));
    let first = proxy.address();
    let mut open = Connection::open(first);
    assert_eq!(ask(&mut open), "a");

    // The same listener for another pool, and one more.
    let two = listener("127.0.0.1:0", "b") + &listener("[::1]:0", "a") + &pools;
    reload(&proxy, &file, &two);
    let line = proxy.logged(&["listening on [::1]:"]);
    let second = line.split_once("listening on ").unwrap().1.parse().unwrap();
    assert_eq!(get(first, "/").text(), "b");
    assert_eq!(get(second, "/").text(), "a");

    reload(&proxy, &file, &(listener("[::1]:0", "b") + &pools));
    proxy.logged(&[&format!("no longer listening on {first}")]);
    wait::until("the port to close", || TcpStream::connect(first).is_err());
    assert_eq!(get(second, "/").text(), "b");
    assert_eq!(ask(&mut open), "a");
}

#[test]
fn sessions_stay_where_they_are_when_the_policy_changes() {
    let backends = [Backend::named("a"), Backend::named("b"), Backend::named("c")];
    let all: Vec<_> = backends.iter().collect();
    let sticky = "sticky = { mode = \"client\" }\n";
    let (file, proxy) = start(&config(&all, sticky));
    let home = get(proxy.address(), "/").text();
    for policy in ["random", "least_conn", "p2c", "round_robin"] {
        reload(&proxy, &file, &config(&all, &format!("policy = {policy:?}\n{sticky}")));
        for _ in 0..5 {
            assert_eq!(get(proxy.address(), "/").text(), home, "{policy}");
        }
    }
    proxy.logged(&["reloaded: pools kept 0, changed 1, new 0, gone 0"]);
}

#[test]
fn no_connection_is_lost_to_reloads_under_load() {
    let (a, b) = (Backend::named("a"), Backend::named("b"));
    let (file, proxy) = start(&config(&[&a, &b], ""));
    let (done, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !done.load(Relaxed) {
                    let text = get(proxy.address(), "/").text();
                    assert!(text == "a" || text == "b", "{text:?}");
                    served.fetch_add(1, Relaxed);
                }
            });
        }
        for round in 0..20 {
            let policy = ["round_robin", "least_conn"][round / 2 % 2];
            let backends: &[&Backend] = if round % 2 == 0 { &[&b] } else { &[&a, &b] };
            reload(&proxy, &file, &config(backends, &format!("policy = {policy:?}")));
            let before = served.load(Relaxed);
            wait::until("some load", || served.load(Relaxed) > before + 4);
        }
        done.store(true, Relaxed);
    });
    assert!(served.load(Relaxed) > 20, "{served:?}");
    wait::until("all connections to have ended well", || {
        proxy.times_logged("end=\"closed\"") >= served.load(Relaxed)
    });
    assert_eq!(proxy.times_logged("end=\"closed\""), proxy.times_logged(" duration="));
    assert_eq!(proxy.errors(), Vec::<String>::new());
}
