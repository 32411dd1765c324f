//! The end of the proxy.

use std::net::TcpStream;

use proxy_lab::backend::Backend;
use proxy_lab::client::Connection;
use proxy_lab::process::Proxy;
use proxy_lab::table::ConfigFile;
use proxy_lab::wait;

use crate::{PROXY, SCRATCH};

fn echo() -> Backend {
    Backend::new(|connection| {
        while connection.request().is_some() {
            connection.reply(200, "finished");
        }
    })
}

#[test]
fn open_connections_are_finished_and_no_new_ones_taken() {
    for signal in ["TERM", "INT"] {
        let backend = echo();
        let mut proxy = Proxy::over(PROXY, &[&backend.address], &[]);
        let mut client = Connection::open(proxy.address());
        assert_eq!(client.request("GET / HTTP/1.1\r\n\r\n").text(), "finished");
        proxy.signal(signal);
        wait::until("the port to close", || TcpStream::connect(proxy.address()).is_err());
        assert_eq!(client.request("GET / HTTP/1.1\r\n\r\n").text(), "finished");
        assert!(proxy.is_running(), "it waits for the connection");
        drop(client);
        assert_eq!(proxy.ended().code(), Some(0));
        proxy.logged(&["l4-proxy: stopped"]);
    }
}

#[test]
fn a_connection_that_does_not_end_is_cut_at_the_deadline() {
    let backend = echo();
    let config = format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\npool = \"a\"\n\
         [pools.a]\nbackends = [\"{}\"]\n[timeouts]\nshutdown_ms = 100\n",
        backend.address
    );
    let file = ConfigFile::new(SCRATCH, "deadline", &config);
    let mut proxy = Proxy::start(PROXY, 1, ["--config", file.path()]);
    let mut client = Connection::open(proxy.address());
    assert_eq!(client.request("GET / HTTP/1.1\r\n\r\n").text(), "finished");
    proxy.signal("TERM");
    assert_eq!(proxy.ended().code(), Some(0));
    client.until_closed();
    proxy.logged(&["stopped; connections cut: 1"]);
    proxy.logged(&[&backend.address, "end=\"cut by shutdown\""]);
}
