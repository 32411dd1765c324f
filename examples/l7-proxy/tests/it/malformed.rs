//! Requests that are none.

use proxy_lab::backend::Backend;
use proxy_lab::client::{Connection, get, raw};
use proxy_lab::process::Proxy;

use crate::PROXY;

#[test]
fn malformed_requests_are_refused_and_nothing_reaches_the_backend() {
    let backend = Backend::named("ok");
    let mut proxy = Proxy::over(PROXY, &[&backend.address], &[]);
    let huge = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(100_000));
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: 1\r\n".repeat(200));
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(70_000));
    let cases: &[(&[u8], u16)] = &[
        (b"NONSENSE\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"GET / HTTP/9.9\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: user@a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
        (b"GET nopath HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n", 400),
        (b"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX y: 1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX : 1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\n X: folded\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\na", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n", 400),
        (b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", 501),
        (huge.as_bytes(), 431),
        (many.as_bytes(), 431),
        (long.as_bytes(), 431),
    ];
    for (request, expected) in cases {
        let shown = String::from_utf8_lossy(&request[..request.len().min(80)]);
        assert_eq!(raw(proxy.address(), request).status, *expected, "{shown:?}");
    }
    assert_eq!(backend.requests().len(), 0);
    assert!(proxy.is_running());
    assert!(!proxy.errors().iter().any(|line| line.contains("panic")), "{:?}", proxy.errors());
    assert_eq!(get(proxy.address(), "/").text(), "ok");
}

#[test]
fn a_broken_chunk_is_400_and_the_request_is_not_completed() {
    let backend = Backend::named("ok");
    let proxy = Proxy::over(PROXY, &[&backend.address], &[]);
    let request = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\nxx\r\n";
    assert_eq!(raw(proxy.address(), request).status, 400);
    assert_eq!(backend.requests().len(), 0);
}

/// RFC 9112, section 6.1, leaves two ways: refuse it, or go by Transfer-Encoding alone and close
/// the connection. hyper goes the second; what matters is that nobody can hide a request in it.
#[test]
fn a_request_with_two_lengths_hides_no_other() {
    for lengths in [
        "Content-Length: 6\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 6",
    ] {
        let backend = Backend::named("ok");
        let proxy = Proxy::over(PROXY, &[&backend.address], &[]);
        let mut client = Connection::open(proxy.address());
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{lengths}\r\n\r\n0\r\n\r\n"));
        client.send("GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.reply().status, 200);
        client.until_closed();
        let requests = backend.requests();
        assert_eq!(requests.len(), 1, "{requests:?}");
        assert_eq!(requests[0].header("content-length"), None);
        assert_eq!(requests[0].header("transfer-encoding"), Some("chunked"));
        assert_eq!(requests[0].body, b"");
    }
}

#[test]
fn a_client_that_says_nothing_is_let_go() {
    let backend = Backend::named("ok");
    let config = format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\n[pools.a]\nbackends = [\"{}\"]\n\
         [timeouts]\nrequest_head_ms = 100\n",
        backend.address
    );
    let file = proxy_lab::table::ConfigFile::new(crate::SCRATCH, "slow-client", &config);
    let proxy = Proxy::start(PROXY, 1, ["--config", file.path()]);
    let mut client = Connection::open(proxy.address());
    client.send("GET / HTTP/1.1\r\nHo");
    client.until_closed();
    assert_eq!(backend.requests().len(), 0);
}
