//! Each way to break it, and the way back.
#![allow(clippy::disallowed_methods, reason = "a test of what takes time reads the clock")]

use std::io::{ErrorKind, Read};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use proxy_lab::client::Connection;
use proxy_lab::wait;

use crate::demo::{Demo, Scratch, line, order};

/// Whether an answer has come so far.
fn is_silent(connection: &mut Connection) -> bool {
    let stream = connection.reader.get_ref();
    stream.set_nonblocking(true).unwrap();
    let would_block =
        stream.peek(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
    stream.set_nonblocking(false).unwrap();
    would_block
}

/// How a connection ends on which this has been sent.
fn end(address: SocketAddr, request: &str) -> Result<Vec<u8>, ErrorKind> {
    let mut connection = Connection::open(address);
    connection.send(request);
    let mut bytes = Vec::new();
    match connection.reader.read_to_end(&mut bytes) {
        Ok(_) => Ok(bytes),
        Err(error) => Err(error.kind()),
    }
}

const GET: &str = "GET / HTTP/1.1\r\nHost: lab\r\n\r\n";
const GET_HEALTH: &str = "GET /health HTTP/1.1\r\nHost: lab\r\n\r\n";

#[test]
fn statuses_are_of_the_part_that_is_broken_alone() {
    let scratch = Scratch::new();
    let demo = Demo::over(&scratch.url(), &[]);
    let health = (200, r#"{"name":"one","db":"ok"}"#.to_owned());
    for status in [500, 502, 429] {
        demo.done(&format!("/break/{status}"));
        assert_eq!(demo.get("/"), line(status, "one: broken on request"));
        assert_eq!(demo.get("/orders?id=a"), line(status, "one: broken on request"));
        assert_eq!(demo.get("/health"), health, "the check does not see it");
        assert_eq!(demo.get("/live").0, 200);
    }
    demo.done("/mend");
    assert_eq!(demo.get("/").0, 200);
    demo.done("/break/health-500");
    assert_eq!(demo.get("/health"), line(500, "one: broken on request"));
    assert_eq!(demo.get("/").0, 200, "the application works");
    demo.process.logged(&["one: broken until it is mended: health-500"]);
    demo.done("/mend");
    assert_eq!(demo.get("/health"), health);
}

#[test]
fn a_slow_one_takes_its_time_or_less_if_it_is_mended() {
    let scratch = Scratch::new();
    let demo = Demo::over(&scratch.url(), &[]);
    demo.done("/break/slow?ms=300");
    let start = Instant::now();
    assert_eq!(demo.get("/"), line(200, "one: orders: 0"));
    assert!(start.elapsed() >= Duration::from_millis(300));
    demo.done("/break/slow?ms=3600000");
    let mut slow = demo.asked("/");
    wait::until("the request to arrive", || demo.get("/served") == line(200, "2"));
    assert_eq!(demo.get("/health").0, 200);
    demo.done("/mend");
    assert_eq!(slow.reply().status, 200);
    demo.done("/break/health-slow?ms=300");
    let start = Instant::now();
    assert_eq!(demo.get("/").0, 200);
    assert_eq!(demo.get("/health").0, 200);
    assert!(start.elapsed() >= Duration::from_millis(300));
}

#[test]
fn a_hanging_one_answers_when_it_is_mended() {
    let scratch = Scratch::new();
    let demo = Demo::over(&scratch.url(), &[]);
    demo.done("/break/hang");
    let mut hanging = demo.asked("/");
    wait::until("the request to arrive", || demo.get("/served") == line(200, "1"));
    assert_eq!(demo.get("/health").0, 200);
    assert!(is_silent(&mut hanging));
    // One fault takes the place of another, for those that wait too.
    demo.done("/break/503");
    assert_eq!(hanging.reply().status, 503);
    demo.done("/break/health-hang");
    let mut hanging = demo.asked("/health");
    assert_eq!(demo.get("/").0, 503);
    assert!(is_silent(&mut hanging));
    demo.done("/mend");
    assert_eq!(hanging.reply().status, 200);
    assert_eq!(demo.get("/").0, 200);
}

#[test]
fn a_reset_is_a_reset_and_not_an_orderly_end() {
    let scratch = Scratch::new();
    let demo = Demo::over(&scratch.url(), &[]);
    demo.done("/break/reset");
    assert_eq!(end(demo.address(), GET), Err(ErrorKind::ConnectionReset));
    assert_eq!(demo.get("/health").0, 200);
    demo.done("/break/health-reset");
    assert_eq!(end(demo.address(), GET_HEALTH), Err(ErrorKind::ConnectionReset));
    demo.done("/mend");
    assert_eq!(demo.get("/").0, 200);
    // On a connection that has been used before as well.
    let mut connection = Connection::open(demo.address());
    assert_eq!(connection.request(GET).status, 200);
    demo.done("/break/reset");
    connection.send(GET);
    let error = connection.reader.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn garbage_is_not_http() {
    let scratch = Scratch::new();
    let demo = Demo::over(&scratch.url(), &[]);
    demo.done("/break/garbage");
    let bytes = end(demo.address(), GET).unwrap();
    assert!(!bytes.is_empty() && !bytes.starts_with(b"HTTP"), "{bytes:?}");
    demo.done("/break/health-garbage");
    assert_eq!(end(demo.address(), GET_HEALTH).unwrap(), bytes);
    demo.done("/mend");
    assert_eq!(demo.get("/").0, 200);
}

#[test]
fn an_order_whose_answer_is_lost_has_been_taken() {
    let scratch = Scratch::new();
    let demo = Demo::over(&scratch.url(), &[]);
    demo.done("/break/reset");
    assert_eq!(end(demo.address(), &order("lost")), Err(ErrorKind::ConnectionReset));
    demo.done("/break/500");
    assert_eq!(demo.order("failed").0, 500);
    demo.done("/mend");
    for id in ["lost", "failed"] {
        assert_eq!(demo.get(&format!("/orders?id={id}")), line(200, "1"));
    }
}

#[test]
fn a_fault_ends_by_itself_after_its_time() {
    let scratch = Scratch::new();
    let demo = Demo::over(&scratch.url(), &[]);
    for (fault, path) in
        [("500", "/"), ("health-500", "/health"), ("db", "/health"), ("reset", "/")]
    {
        let start = Instant::now();
        demo.done(&format!("/break/{fault}?for_ms=100"));
        let request = format!("GET {path} HTTP/1.1\r\nHost: lab\r\n\r\n");
        wait::until("the fault to end", || {
            beginning(demo.address(), &request).is_some_and(|answer| answer.contains(" 200 "))
        });
        assert!(start.elapsed() >= Duration::from_millis(100), "{fault} ended too early");
    }
    assert_eq!(demo.get("/ready").0, 200);
}

/// The first bytes of an answer, if there is one.
fn beginning(address: SocketAddr, request: &str) -> Option<String> {
    let mut connection = Connection::open(address);
    connection.send(request);
    let mut bytes = [0; 64];
    let read = connection.reader.read(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes[..read]).into_owned())
}

#[test]
fn the_end_of_one_fault_does_not_mend_the_next() {
    let scratch = Scratch::new();
    let demo = Demo::over(&scratch.url(), &[]);
    for (fault, path) in [("500", "/"), ("db", "/health")] {
        demo.done(&format!("/break/{fault}?for_ms=50"));
        demo.done("/mend");
        demo.done(&format!("/break/{fault}"));
        // A fault of another part, set later and as long: when it has ended, so has the time of the first.
        demo.done("/drain?for_ms=50");
        wait::until("the end of the drain", || demo.get("/ready").0 == 200);
        assert_ne!(demo.get(path).0, 200, "{fault} was mended by the end of another");
        demo.done("/mend");
        assert_eq!(demo.get(path).0, 200);
    }
}
