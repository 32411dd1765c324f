//! Connections to a backend are used again.

use proxy_lab::backend::{Backend, Request};
use proxy_lab::client::{Connection, get, raw};
use proxy_lab::process::Proxy;

use crate::PROXY;

const POST: &str = "POST / HTTP/1.1\r\nHost: lab\r\nContent-Length: 5\r\n\r\nhello";

#[test]
fn requests_one_after_the_other_share_connections() {
    let backend = Backend::named("a");
    let proxy = Proxy::over(PROXY, &[&backend.address], &[]);
    let mut client = Connection::open(proxy.address());
    for _ in 0..100 {
        assert_eq!(client.request("GET / HTTP/1.1\r\nHost: lab\r\n\r\n").status, 200);
    }
    assert_eq!(backend.requests().len(), 100);
    // A request may overtake the connection on its way back; most do not.
    assert!(backend.accepted() <= 20, "{} connections", backend.accepted());
}

#[test]
fn a_connection_that_was_closed_while_idle_costs_nothing() {
    // Answers one request and closes, without having said so.
    let backend = Backend::new(|connection| {
        connection.request();
        connection.reply(200, "once");
    });
    let proxy = Proxy::over(PROXY, &[&backend.address], &[]);
    for _ in 0..50 {
        assert_eq!(get(proxy.address(), "/").text(), "once");
    }
}

#[test]
fn a_get_on_a_used_connection_that_breaks_is_sent_again_to_the_only_backend() {
    // Answers one request, and breaks off in the next.
    let backend = Backend::new(|connection| {
        connection.request();
        connection.reply(200, "fresh");
        connection.request();
    });
    let proxy = Proxy::over(PROXY, &[&backend.address], &[]);
    for _ in 0..50 {
        assert_eq!(get(proxy.address(), "/").text(), "fresh");
    }
    assert!(backend.requests().len() > 50, "some were sent again: {}", backend.requests().len());
    // A POST is not: it is answered over a new connection, or broken over a used one.
    let status = raw(proxy.address(), POST).status;
    assert!(status == 200 || status == 502);
    let is_post = |request: &&Request| request.line.starts_with("POST");
    assert_eq!(backend.requests().iter().filter(is_post).count(), 1);
}

#[test]
fn a_request_that_is_sent_again_is_prepared_again() {
    // Answers one request, and breaks off in the next.
    let backend = Backend::new(|connection| {
        connection.request();
        connection.reply(200, "fresh");
        connection.request();
    });
    let proxy = Proxy::over(PROXY, &[&backend.address], &[]);
    // The target's host wins over the header, and an HTTP/1.0 client has none at all.
    for _ in 0..20 {
        let absolute = "GET http://target.example/ HTTP/1.1\r\nHost: other.example\r\n\r\n";
        assert_eq!(raw(proxy.address(), absolute).status, 200);
    }
    let absolute = backend.requests();
    assert!(absolute.len() > 20, "some were sent again");
    for request in &absolute {
        assert_eq!(request.header("host"), Some("target.example"), "{}", request.line);
    }
    for _ in 0..20 {
        assert_eq!(raw(proxy.address(), "GET / HTTP/1.0\r\n\r\n").status, 200);
    }
    let old = &backend.requests()[absolute.len()..];
    assert!(old.iter().all(|request| request.header("host") == Some(&backend.address)));
}
