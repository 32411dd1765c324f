//! Threads that accept and serve by themselves.

use proxy_lab::backend::Backend;
use proxy_lab::client::{Connection, get};
use proxy_lab::process::Proxy;
use proxy_lab::table::ConfigFile;

use crate::{PROXY, SCRATCH};

/// Sockets of this machine that listen on the port.
#[cfg(target_os = "linux")]
fn listening(port: u16) -> usize {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let (at, listens) = (format!("0100007F:{port:04X}"), "0A");
    let is_it = |line: &&str| {
        let mut words = line.split_whitespace().skip(1);
        words.next() == Some(&at) && words.nth(1) == Some(listens)
    };
    table.lines().filter(is_it).count()
}

fn config(backend: &Backend, workers: usize, most: usize) -> String {
    format!(
        "workers = {workers}\n[[listeners]]\naddress = \"127.0.0.1:0\"\npool = \"a\"\n\
         [pools.a]\nbackends = [{:?}]\n[limits]\nmax_connections = {most}\n",
        backend.address
    )
}

#[test]
fn each_worker_has_a_socket_and_all_share_the_limits() {
    let backend = Backend::named("a");
    let file = ConfigFile::new(SCRATCH, "workers", &config(&backend, 3, 40));
    let mut proxy = Proxy::start(PROXY, 1, ["--config", file.path()]);
    #[cfg(target_os = "linux")]
    assert_eq!(listening(proxy.address().port()), 3);
    let mut open: Vec<_> = (0..40).map(|_| Connection::open(proxy.address())).collect();
    for connection in &mut open {
        assert_eq!(connection.request("GET / HTTP/1.1\r\n\r\n").text(), "a");
    }
    let mut waiting = Connection::open(proxy.address());
    waiting.send("GET / HTTP/1.1\r\n\r\n");
    proxy.complained("accept: 40 connections, limits.max_connections; clients wait");
    open.pop();
    assert_eq!(waiting.reply().text(), "a");

    // What it is started with stays; a reload has the same sockets.
    file.rewrite(&config(&backend, 3, 1000));
    proxy.signal("HUP");
    proxy.logged(&["reloaded"]);
    for _ in 0..20 {
        assert_eq!(get(proxy.address(), "/").text(), "a");
    }
    proxy.signal("TERM");
    drop((open, waiting));
    assert_eq!(proxy.ended().code(), Some(0));
    proxy.logged(&["l4-proxy: stopped"]);
}

#[test]
fn what_shutdown_cuts_is_counted_and_logged() {
    let backend = Backend::named("a");
    let more = "[timeouts]\nshutdown_ms = 100\n";
    let config = config(&backend, 2, 100) + more;
    let file = ConfigFile::new(SCRATCH, "workers", &config);
    let mut proxy = Proxy::start(PROXY, 1, ["--config", file.path()]);
    let mut open: Vec<_> = (0..8).map(|_| Connection::open(proxy.address())).collect();
    for connection in &mut open {
        assert_eq!(connection.request("GET / HTTP/1.1\r\n\r\n").text(), "a");
    }
    proxy.signal("TERM");
    assert_eq!(proxy.ended().code(), Some(0));
    proxy.logged(&["l4-proxy: stopped; connections cut: 8"]);
    assert_eq!(proxy.times_logged("end=\"cut by shutdown\""), 8);
}

#[test]
fn a_wrong_number_is_refused() {
    let backend = Backend::named("a");
    let file = ConfigFile::new(SCRATCH, "workers", &config(&backend, 1025, 1));
    let (_, _, errors) = proxy_lab::process::run(PROXY, ["--config", file.path(), "--check"]);
    assert!(errors.contains("workers: 1025 is out of range: 0 to 1024"), "{errors}");
}
