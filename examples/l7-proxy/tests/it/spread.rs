//! Who gets how much.

use std::collections::BTreeMap;
use std::sync::mpsc;

use parking_lot::Mutex;
use proxy_lab::backend::{Backend, free_address};
use proxy_lab::client::{Connection, get};
use proxy_lab::process::Proxy;

use crate::PROXY;

#[test]
fn round_robin_takes_turns_over_all_connections() {
    let (a, b) = (Backend::named("a"), Backend::named("b"));
    let proxy = Proxy::over(PROXY, &[&a.address, &b.address], &[]);
    let mut clients = [(); 3].map(|()| Connection::open(proxy.address()));
    let mut texts = Vec::new();
    for _ in 0..4 {
        for client in &mut clients {
            texts.push(client.request("GET / HTTP/1.1\r\nHost: lab\r\n\r\n").text());
        }
    }
    assert!(texts.windows(2).all(|pair| pair[0] != pair[1]), "{texts:?}");
}

#[test]
fn every_policy_serves() {
    let (a, b) = (Backend::named("a"), Backend::named("b"));
    for policy in ["round_robin", "random", "least_conn", "p2c", "peak_ewma"] {
        let proxy = Proxy::over(PROXY, &[&a.address, &b.address], &["--policy", policy]);
        for _ in 0..20 {
            assert_eq!(get(proxy.address(), "/").status, 200, "{policy}");
        }
    }
    assert!(!a.requests().is_empty() && !b.requests().is_empty());
}

#[test]
fn a_backup_is_used_only_when_the_others_are_dead() {
    let (primary, backup) = (Backend::named("primary"), Backend::named("backup"));
    let flags = [primary.address.clone(), format!("{},backup", backup.address)];
    let proxy = Proxy::over(PROXY, &flags, &[]);
    assert!((0..10).all(|_| get(proxy.address(), "/").text() == "primary"));

    let flags = [free_address(), format!("{},backup", backup.address)];
    let proxy = Proxy::over(PROXY, &flags, &[]);
    assert!((0..10).all(|_| get(proxy.address(), "/").text() == "backup"));
}

#[test]
fn a_full_backend_is_503_until_its_response_has_ended() {
    // The head and half of the body come at once, the rest when the test says so.
    let (finish, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let backend = Backend::new(move |connection| {
        while connection.request().is_some() {
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n1");
            let _ = wait.lock().recv();
            connection.send("2");
        }
    });
    let proxy = Proxy::over(PROXY, &[format!("{},max=1", backend.address)], &[]);
    let mut first = Connection::open(proxy.address());
    first.send("GET /1 HTTP/1.1\r\nHost: lab\r\n\r\n");
    assert_eq!(first.head().0, 200);

    let refused = get(proxy.address(), "/2");
    assert_eq!(refused.status, 503);
    assert_eq!(refused.text(), "no backend is left: 0 tried, 1 full\n");
    assert_eq!(refused.header("content-type"), Some("text/plain; charset=utf-8"));
    proxy.logged(&["GET /2 503 pool=default backend=- attempts=0"]);

    finish.send(()).unwrap();
    proxy.logged(&["GET /1 200"]);
    finish.send(()).unwrap();
    assert_eq!(get(proxy.address(), "/3").text(), "12");
}

#[test]
fn backends_of_weight_zero_take_nothing() {
    let (zero, one) = (Backend::named("zero"), Backend::named("one"));
    let zero_flag = format!("{},weight=0", zero.address);
    let proxy = Proxy::over(PROXY, &[&zero_flag, &one.address], &[]);
    assert!((0..10).all(|_| get(proxy.address(), "/").text() == "one"));

    let proxy = Proxy::over(PROXY, &[&zero_flag], &[]);
    let reply = get(proxy.address(), "/");
    assert_eq!((reply.status, reply.text().as_str()), (503, "no backend takes new requests\n"));
    assert_eq!(zero.accepted(), 0);
}

#[test]
fn a_client_that_leaves_gives_its_place_back() {
    let backend = Backend::new(|connection| {
        while let Some(request) = connection.request() {
            if !request.line.contains("/never") {
                connection.reply(200, "ok");
            }
        }
    });
    let proxy = Proxy::over(PROXY, &[format!("{},max=1", backend.address)], &[]);
    let mut leaving = Connection::open(proxy.address());
    leaving.send("GET /never HTTP/1.1\r\nHost: lab\r\n\r\n");
    backend.first_request();
    assert_eq!(get(proxy.address(), "/").status, 503);
    drop(leaving);
    proxy.logged(&["GET /never 499"]);
    assert_eq!(get(proxy.address(), "/").text(), "ok");
}

#[test]
fn the_demo_balances_over_three_backends() {
    let proxy = Proxy::start(PROXY, 1, ["--demo", "--listen", "127.0.0.1:0"]);
    proxy.logged(&[&format!("curl http://{}/", proxy.address())]);
    let mut counts = BTreeMap::new();
    for _ in 0..30 {
        let text = get(proxy.address(), "/").text();
        let (name, address) = text.trim_end().split_once(" at ").unwrap();
        assert!(address.starts_with("127.0.0.1:"), "{text}");
        *counts.entry(name.to_owned()).or_insert(0) += 1;
    }
    let expected = ["demo-1", "demo-2", "demo-3"].map(|name| (name.to_owned(), 10));
    assert_eq!(counts, BTreeMap::from(expected));
}
