//! Which headers pass, and which are set.

use proxy_lab::backend::{Backend, Request};
use proxy_lab::client::raw;
use proxy_lab::process::Proxy;

use crate::PROXY;

/// What the backend sees of a request with this head.
fn seen(head: &str) -> Request {
    let backend = Backend::named("ok");
    let proxy = Proxy::over(PROXY, &[&backend.address], &[]);
    assert_eq!(raw(proxy.address(), format!("{head}\r\n\r\n")).status, 200);
    backend.first_request()
}

#[test]
fn hop_by_hop_headers_of_the_request_are_removed() {
    let request = seen(
        "GET / HTTP/1.1\r\nHost: lab\r\nConnection: keep-alive, X-Private\r\nconnection: x-other\r\n\
         Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: secret\r\n\
         Proxy-Authenticate: x\r\nTE: gzip\r\nTrailer: x\r\nUpgrade: websocket\r\nX-Private: 1\r\n\
         X-Other: 1\r\nX-Public: 1",
    );
    let mut names: Vec<_> = request.headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    let kept = ["host", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-public"];
    assert_eq!(names, kept);
}

#[test]
fn te_trailers_stays() {
    let request = seen("GET / HTTP/1.1\r\nHost: lab\r\nTE: gzip, trailers\r\nConnection: TE");
    assert_eq!(request.header("te"), Some("trailers"));
}

#[test]
fn connection_cant_remove_the_host_or_what_the_proxy_sets() {
    let request = seen("GET / HTTP/1.1\r\nHost: lab\r\nConnection: host, x-forwarded-for");
    assert_eq!(request.header("host"), Some("lab"));
    assert_eq!(request.header("x-forwarded-for"), Some("127.0.0.1"));
}

#[test]
fn hop_by_hop_headers_of_the_response_are_removed() {
    let backend = Backend::new(|connection| {
        connection.request();
        connection.send(
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: x-private\r\nX-Private: 1\r\n\
             Keep-Alive: timeout=5\r\nProxy-Authenticate: x\r\nUpgrade: h2c\r\nX-Public: 1\r\n\r\nok",
        );
    });
    let proxy = Proxy::over(PROXY, &[&backend.address], &[]);
    let reply = raw(proxy.address(), "GET / HTTP/1.1\r\nHost: lab\r\n\r\n");
    for name in ["connection", "x-private", "keep-alive", "proxy-authenticate", "upgrade"] {
        assert_eq!(reply.header(name), None, "{name}");
    }
    assert_eq!(reply.header("x-public"), Some("1"));
}

#[test]
fn forwarded_headers_are_set() {
    let request = seen(
        "GET /path?query HTTP/1.1\r\nHost: Shop.example:81\r\nX-Forwarded-Proto: https\r\n\
         X-Forwarded-Host: evil",
    );
    assert_eq!(request.line, "GET /path?query HTTP/1.1");
    assert_eq!(request.header("host"), Some("Shop.example:81"), "unchanged");
    assert_eq!(request.header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(request.header("x-forwarded-proto"), Some("http"));
    assert_eq!(request.header("x-forwarded-host"), Some("Shop.example:81"));
}

#[test]
fn the_client_is_added_to_those_before_it() {
    let request = seen(
        "GET / HTTP/1.1\r\nHost: lab\r\nX-Forwarded-For: 10.0.0.1\r\n\
         X-Forwarded-For: 10.0.0.2, 10.0.0.3",
    );
    let lines = request.headers.iter().filter(|(name, _)| name == "x-forwarded-for").count();
    assert_eq!(lines, 1);
    let chain = request.header("x-forwarded-for");
    assert_eq!(chain, Some("10.0.0.1, 10.0.0.2, 10.0.0.3, 127.0.0.1"));
}

#[test]
fn an_absolute_target_wins_over_the_host_header() {
    let request = seen("GET http://shop.example/path HTTP/1.1\r\nHost: other");
    assert_eq!(request.line, "GET /path HTTP/1.1");
    assert_eq!(request.header("host"), Some("shop.example"));
}

#[test]
fn an_http_1_0_request_without_a_host_gets_the_backends() {
    let backend = Backend::named("ok");
    let proxy = Proxy::over(PROXY, &[&backend.address], &[]);
    assert_eq!(
        raw(proxy.address(), "GET / HTTP/1.0\r\nX-Forwarded-Host: evil\r\n\r\n").text(),
        "ok"
    );
    let request = backend.first_request();
    assert_eq!(request.line, "GET / HTTP/1.1");
    assert_eq!(request.header("host"), Some(backend.address.as_str()));
    assert_eq!(request.header("x-forwarded-host"), None);
}

#[test]
fn the_proxy_answers_expect_by_itself() {
    let backend = Backend::named("ok");
    let proxy = Proxy::over(PROXY, &[&backend.address], &[]);
    let mut client = proxy_lab::client::Connection::open(proxy.address());
    client.send("PUT / HTTP/1.1\r\nHost: lab\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    assert_eq!(client.head().0, 100);
    assert_eq!(client.request("hi").text(), "ok");
    assert_eq!(backend.first_request().header("expect"), None);
}
