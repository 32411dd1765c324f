//! The routes, while nothing is broken.

use proxy_lab::client::{Connection, get, raw};
use proxy_lab::wait;

use crate::demo::{Demo, Scratch, line, order, said};

#[test]
fn each_page_says_what_it_is_for() {
    let scratch = Scratch::new();
    let demo = Demo::over(&scratch.url(), &[]);
    assert_eq!(demo.get("/"), line(200, "one: orders: 0"));
    assert_eq!(demo.get("/live"), line(200, "one: alive"));
    assert_eq!(demo.get("/ready"), line(200, "one: ready"));
    let health = get(demo.address(), "/health");
    assert_eq!(said(&health), (200, r#"{"name":"one","db":"ok"}"#.to_owned()));
    assert_eq!(health.header("content-type"), Some("application/json"));
    let head = "HEAD /health HTTP/1.1\r\nHost: lab\r\n\r\n";
    let mut connection = Connection::open(demo.address());
    connection.send(head);
    assert_eq!(connection.head().0, 200);
}

#[test]
fn orders_are_counted_by_their_id_and_survive_a_kill() {
    let scratch = Scratch::new();
    let demo = Demo::over(&scratch.url(), &[]);
    assert_eq!(demo.order("a"), line(201, "one: orders: 1"));
    assert_eq!(demo.order("b"), line(201, "one: orders: 2"));
    assert_eq!(demo.order("a"), line(201, "one: orders: 3"));
    for (id, count) in [("a", "2"), ("b", "1"), ("c", "0"), ("%61", "2")] {
        assert_eq!(demo.get(&format!("/orders?id={id}")), line(200, count));
    }
    demo.process.signal("KILL");
    drop(demo);
    let demo = Demo::over(&scratch.url(), &[]);
    assert_eq!(demo.get("/"), line(200, "one: orders: 3"));
    assert_eq!(demo.get("/orders?id=a"), line(200, "2"));
}

#[test]
fn orders_at_the_same_time_are_all_taken() {
    let scratch = Scratch::new();
    let demo = Demo::over(&scratch.url(), &["--database-timeout-ms", "10000"]);
    std::thread::scope(|scope| {
        for client in 0..8 {
            let demo = &demo;
            scope.spawn(move || {
                let mut connection = Connection::open(demo.address());
                for number in 0..10 {
                    let reply = connection.request(order(&format!("{client}-{number}")));
                    assert_eq!(reply.status, 201, "{}", reply.text());
                }
            });
        }
    });
    assert_eq!(demo.get("/"), line(200, "one: orders: 80"));
}

#[test]
fn only_requests_for_the_application_are_counted_as_served() {
    let scratch = Scratch::new();
    let demo = Demo::over(&scratch.url(), &[]);
    for path in ["/live", "/ready", "/health", "/served", "/nowhere"] {
        demo.get(path);
    }
    assert_eq!(demo.get("/served"), line(200, "0"));
    demo.get("/");
    demo.order("a");
    demo.get("/orders?id=a");
    assert_eq!(demo.get("/served"), line(200, "3"));
    // Not answered as they should be, but served.
    demo.done("/break/500");
    demo.get("/");
    assert_eq!(demo.get("/served"), line(200, "4"));
}

#[test]
fn it_is_not_ready_while_it_warms_up_and_alive_all_the_same() {
    let scratch = Scratch::new();
    let demo = Demo::over(&scratch.url(), &["--warm-up-ms", "3600000"]);
    assert_eq!(demo.get("/ready"), line(503, "one: warming up"));
    assert_eq!(demo.get("/live"), line(200, "one: alive"));
    assert_eq!(demo.get("/"), line(200, "one: orders: 0"));
    let demo = Demo::over(&scratch.url(), &["--warm-up-ms", "50"]);
    wait::until("it to be ready", || demo.get("/ready") == line(200, "one: ready"));
}

#[test]
fn a_drained_one_is_not_ready_and_works_on() {
    let scratch = Scratch::new();
    let demo = Demo::over(&scratch.url(), &[]);
    demo.done("/drain");
    assert_eq!(demo.get("/ready"), line(503, "one: draining"));
    assert_eq!(demo.get("/"), line(200, "one: orders: 0"));
    assert_eq!(demo.get("/health").0, 200);
    demo.done("/mend");
    assert_eq!(demo.get("/ready"), line(200, "one: ready"));
    demo.done("/drain?for_ms=50");
    wait::until("the end of the drain", || demo.get("/ready").0 == 200);
}

#[test]
fn bad_requests_are_refused_by_name() {
    let scratch = Scratch::new();
    let demo = Demo::over(&scratch.url(), &[]);
    for (path, status, named) in [
        ("/nowhere", 404, "no such page"),
        ("/mend", 405, "allowed: POST"),
        ("/break/500", 405, "allowed: POST"),
        ("/login", 405, "allowed: POST"),
        ("/logout", 405, "allowed: POST"),
        ("/orders", 400, "`id` is missing"),
        ("/orders?ID=1", 400, "unknown parameter `ID`"),
    ] {
        let (code, text) = demo.get(path);
        assert!(code == status && text.contains(named), "{path}: {code} {text}");
    }
    for (path, status, named) in [
        ("/", 405, "allowed: GET, HEAD"),
        ("/me", 405, "allowed: GET, HEAD"),
        ("/orders", 400, "x-request-id"),
        ("/break/", 400, "can't break ``"),
        ("/break/teapot", 400, "can't break `teapot`"),
        ("/break/500?for=1", 400, "unknown parameter `for`"),
        ("/drain?for_ms=-1", 400, "for_ms: `-1`"),
        ("/mend?for_ms=1", 400, "unknown parameter `for_ms`"),
    ] {
        let (code, text) = demo.post(path);
        assert!(code == status && text.contains(named), "{path}: {code} {text}");
    }
    let id = "x".repeat(257);
    assert_eq!(demo.order(&id).0, 400);
    let long =
        "POST /orders HTTP/1.1\r\nHost: lab\r\nX-Request-Id: a\r\nContent-Length: 65537\r\n\r\n";
    let reply = raw(demo.address(), [long.as_bytes(), &[b'x'; 65537]].concat());
    assert_eq!(said(&reply), line(413, "an order has at most 65536 bytes"));
    // None of this has broken or written anything.
    assert_eq!(demo.get("/"), line(200, "one: orders: 0"));
    assert_eq!(demo.get("/ready").0, 200);
}
