//! The end of the proxy.

use std::net::TcpStream;
use std::sync::mpsc;

use parking_lot::Mutex;
use proxy_lab::backend::Backend;
use proxy_lab::client::Connection;
use proxy_lab::process::Proxy;
use proxy_lab::table::ConfigFile;
use proxy_lab::wait;

use crate::{PROXY, SCRATCH};

/// A backend that answers when told to.
fn slow() -> (mpsc::Sender<()>, Backend) {
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let backend = Backend::new(move |connection| {
        while connection.request().is_some() {
            let _ = wait.lock().recv();
            connection.reply(200, "finished");
        }
    });
    (go, backend)
}

#[test]
fn requests_in_flight_are_finished_and_no_new_ones_taken() {
    for signal in ["TERM", "INT"] {
        let (go, backend) = slow();
        let mut proxy = Proxy::over(PROXY, &[&backend.address], &[]);
        // One that says nothing yet must not hold the exit up.
        let mut silent = Connection::open(proxy.address());
        let mut client = Connection::open(proxy.address());
        client.send("GET / HTTP/1.1\r\nHost: lab\r\n\r\n");
        backend.first_request();
        proxy.signal(signal);
        wait::until("the port to close", || TcpStream::connect(proxy.address()).is_err());
        silent.until_closed();
        assert!(proxy.is_running(), "it waits for the request");
        go.send(()).unwrap();
        assert_eq!(client.reply().text(), "finished");
        client.until_closed();
        assert_eq!(proxy.ended().code(), Some(0));
        proxy.logged(&["GET / 200"]);
    }
}

#[test]
fn a_request_that_does_not_end_is_cut_at_the_deadline() {
    let (_go, backend) = slow();
    let config = format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\n[pools.a]\nbackends = [\"{}\"]\n\
         [timeouts]\nshutdown_ms = 100\n",
        backend.address
    );
    let file = ConfigFile::new(SCRATCH, "deadline", &config);
    let mut proxy = Proxy::start(PROXY, 1, ["--config", file.path()]);
    let mut client = Connection::open(proxy.address());
    client.send("GET / HTTP/1.1\r\nHost: lab\r\n\r\n");
    backend.first_request();
    proxy.signal("TERM");
    assert_eq!(proxy.ended().code(), Some(0));
    client.until_closed();
    proxy.logged(&["stopped; connections cut: 1"]);
}

#[test]
fn a_second_signal_stops_at_once() {
    let (_go, backend) = slow();
    let mut proxy = Proxy::over(PROXY, &[&backend.address], &[]);
    let mut client = Connection::open(proxy.address());
    client.send("GET / HTTP/1.1\r\nHost: lab\r\n\r\n");
    backend.first_request();
    proxy.signal("TERM");
    proxy.logged(&["stopping"]);
    proxy.signal("TERM");
    assert_eq!(proxy.ended().code(), Some(0));
}
