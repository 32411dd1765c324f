//! Redis, as the database that goes away.

use std::io::Read;

use proxy_lab::backend::Backend;
use proxy_lab::fleet::is_installed;
use proxy_lab::redis::Redis;
use proxy_lab::wait;

use crate::demo::{Demo, line};

fn ok() -> (u16, String) {
    (200, r#"{"name":"one","db":"ok"}"#.to_owned())
}

/// What `/health` says of a database that is down; `named` is in its error.
#[track_caller]
fn assert_down(demo: &Demo, named: &str) {
    let (status, text) = demo.get("/health");
    let down = text.starts_with(r#"{"name":"one","db":"down","error":""#);
    assert!(status == 503 && down && text.contains(named), "{status} {text}");
}

#[test]
fn orders_are_counted_by_their_id() {
    if !is_installed("redis-server") {
        return;
    }
    let redis = Redis::start();
    let demo = Demo::over(&redis.url(), &[]);
    assert_eq!(demo.get("/"), line(200, "one: orders: 0"));
    assert_eq!(demo.order("a"), line(201, "one: orders: 1"));
    assert_eq!(demo.order("b"), line(201, "one: orders: 2"));
    assert_eq!(demo.order("a"), line(201, "one: orders: 3"));
    assert_eq!(demo.get("/"), line(200, "one: orders: 3"));
    for (id, count) in [("a", "2"), ("b", "1"), ("c", "0")] {
        assert_eq!(demo.get(&format!("/orders?id={id}")), line(200, count));
    }
    let order = redis.command("LINDEX demo-backend:orders:a 0");
    assert!(order.contains("one\ntea"), "{order}");
    assert_eq!(demo.get("/health"), ok());
}

#[test]
fn a_server_that_is_taken_away_refuses_and_comes_back_with_its_rows() {
    if !is_installed("redis-server") {
        return;
    }
    let redis = Redis::start();
    let demo = Demo::over(&redis.url(), &[]);
    demo.order("a");
    demo.done("/break/db");
    assert_down(&demo, "Connection refused");
    let (status, text) = demo.get("/");
    assert!(status == 500 && text.contains("one: the database is down"), "{status} {text}");
    assert_eq!(demo.order("a").0, 500);
    assert_eq!((demo.get("/live").0, demo.get("/ready").0), (200, 200));
    demo.done("/break/db");
    demo.done("/mend");
    assert_eq!(demo.get("/health"), ok());
    assert_eq!(demo.get("/orders?id=a"), line(200, "1"));
    demo.done("/break/db?for_ms=50");
    wait::until("the database to come back", || demo.get("/health") == ok());
}

#[test]
fn a_server_that_dies_is_down_and_may_come_later() {
    if !is_installed("redis-server") {
        return;
    }
    let mut redis = Redis::start();
    let demo = Demo::over(&redis.url(), &[]);
    assert_eq!(demo.get("/health"), ok());
    redis.kill();
    assert_down(&demo, "Connection refused");
    assert_eq!(demo.get("/live").0, 200);
    // It starts without its database, too.
    let late = Demo::over(&redis.url(), &[]);
    assert_down(&late, "Connection refused");
    redis.restart();
    assert_eq!((demo.get("/health"), late.get("/health")), (ok(), ok()));
}

#[test]
fn a_server_that_answers_a_ping_but_takes_no_write_is_down() {
    if !is_installed("redis-server") {
        return;
    }
    let redis = Redis::start();
    let demo = Demo::over(&redis.url(), &[]);
    assert!(redis.command("CONFIG SET maxmemory 1").starts_with("+OK"));
    assert!(redis.command("PING").starts_with("+PONG"));
    assert_down(&demo, "OOM");
    assert!(redis.command("CONFIG SET maxmemory 0").starts_with("+OK"));
    assert_eq!(demo.get("/health"), ok());
}

#[test]
fn a_server_that_says_nothing_is_down_in_bounded_time() {
    let silent = Backend::new(|connection| {
        let _ = connection.reader.read_to_end(&mut Vec::new());
    });
    let database = format!("redis://{}", silent.address);
    let demo = Demo::over(&database, &["--database-timeout-ms", "100"]);
    assert_down(&demo, "no answer within 100 ms");
    let mut waiting: Vec<_> = (0..100).map(|_| demo.asked("/health")).collect();
    assert_eq!(demo.get("/live").0, 200);
    assert!(waiting.iter_mut().all(|connection| connection.reply().status == 503));
}

#[test]
fn a_server_that_is_no_redis_is_down() {
    let web = Backend::new(|connection| connection.send("HTTP/1.1 400 Bad Request\r\n\r\n"));
    let demo = Demo::over(&format!("redis://{}", web.address), &[]);
    assert_down(&demo, "not Redis");
    let endless = Backend::new(|connection| {
        for _ in 0..1000 {
            connection.send([b'+'; 1024]);
        }
    });
    let demo = Demo::over(&format!("redis://{}", endless.address), &[]);
    assert_down(&demo, "not Redis");
}
