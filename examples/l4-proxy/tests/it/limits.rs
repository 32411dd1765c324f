//! As many connections as there may be.

use proxy_lab::backend::Backend;
use proxy_lab::client::Connection;
use proxy_lab::process::Proxy;
use proxy_lab::table::ConfigFile;

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
