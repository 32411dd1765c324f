//! SQLite, as the database that goes away.

use std::fs;

use rusqlite::{Connection, TransactionBehavior};

use crate::demo::{Demo, Scratch, line};

/// What `/health` says of a database that is down for that reason.
fn down(error: &str) -> (u16, String) {
    (503, format!(r#"{{"name":"one","db":"down","error":"{error}"}}"#))
}

const OK: &str = r#"{"name":"one","db":"ok"}"#;

#[test]
fn a_database_that_is_taken_away_is_down_and_comes_back_with_its_rows() {
    let scratch = Scratch::new();
    let demo = Demo::over(&scratch.url(), &[]);
    demo.order("a");
    demo.done("/break/db");
    assert!(!fs::exists(scratch.path()).unwrap(), "it is really away");
    let why = format!("unable to open database file: {}", scratch.path());
    assert_eq!(demo.get("/health"), down(&why));
    assert_eq!(demo.get("/"), line(500, &format!("one: the database is down: {why}")));
    assert_eq!(demo.order("b").0, 500);
    assert_eq!(demo.get("/live"), line(200, "one: alive"), "the process lives");
    assert_eq!(demo.get("/ready"), line(200, "one: ready"));
    assert!(!fs::exists(scratch.path()).unwrap(), "no question makes it anew");
    demo.done("/break/db");
    demo.done("/mend");
    assert_eq!(demo.get("/health"), (200, OK.to_owned()));
    assert_eq!(demo.get("/"), line(200, "one: orders: 1"));
    demo.done("/mend");
}

#[test]
fn a_file_that_somebody_removes_is_a_database_that_is_down() {
    let scratch = Scratch::new();
    let demo = Demo::over(&scratch.url(), &[]);
    fs::remove_file(scratch.path()).unwrap();
    let (status, text) = demo.get("/health");
    assert!(status == 503 && text.contains("unable to open"), "{status} {text}");
    // There is nothing to take away.
    let (status, text) = demo.post("/break/db");
    assert!(status == 500 && text.contains("can't be taken away"), "{status} {text}");
    // An empty one in its place has no tables.
    fs::write(scratch.path(), "").unwrap();
    let (status, text) = demo.get("/health");
    assert!(status == 503 && text.contains("no such table: checks"), "{status} {text}");
    fs::write(scratch.path(), "x".repeat(4096)).unwrap();
    let (status, text) = demo.get("/health");
    assert!(status == 503 && text.contains("not a database"), "{status} {text}");
}

#[test]
fn health_writes_and_a_page_that_reads_does_not_stand_for_it() {
    let scratch = Scratch::new();
    let demo = Demo::over(&scratch.url(), &["--database-timeout-ms", "200"]);
    let mut other = Connection::open(scratch.path()).unwrap();
    // Others may read, but not write.
    let lock = other.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
    assert_eq!(demo.get("/health"), down("database is locked"));
    assert_eq!(demo.get("/"), line(200, "one: orders: 0"));
    drop(lock);
    assert_eq!(demo.get("/health"), (200, OK.to_owned()));
    assert_eq!(demo.get("/health").0, 200);
    let count = "SELECT count FROM checks WHERE name = 'one'";
    assert_eq!(other.query_row(count, [], |row| row.get(0)), Ok(2), "each check has been written");
}

#[test]
fn a_locked_database_is_down_in_bounded_time_and_does_not_hold_up_the_rest() {
    let scratch = Scratch::new();
    let demo = Demo::over(&scratch.url(), &["--database-timeout-ms", "1000"]);
    let mut other = Connection::open(scratch.path()).unwrap();
    let lock = other.transaction_with_behavior(TransactionBehavior::Exclusive).unwrap();
    // More than there are places for.
    let mut waiting: Vec<_> = (0..100).map(|_| demo.asked("/health")).collect();
    assert_eq!(demo.get("/live").0, 200);
    assert_eq!(demo.get("/served"), line(200, "0"));
    for connection in &mut waiting {
        let reply = connection.reply();
        assert_eq!(reply.status, 503);
        let text = reply.text();
        assert!(text.contains("locked") || text.contains("no answer within 1000 ms"), "{text}");
    }
    drop(lock);
    assert_eq!(demo.get("/health"), (200, OK.to_owned()));
}

#[test]
fn two_that_share_a_file_are_broken_and_mended_together() {
    let scratch = Scratch::new();
    let one = Demo::over(&scratch.url(), &[]);
    let two = Demo::over(&scratch.url(), &["--database-timeout-ms", "500"]);
    one.order("a");
    assert_eq!(two.get("/orders?id=a"), line(200, "1"));
    one.done("/break/db");
    assert_eq!((one.get("/health").0, two.get("/health").0), (503, 503));
    two.done("/mend");
    assert_eq!((one.get("/health").0, two.get("/health").0), (200, 200));
}

#[test]
fn a_file_that_is_there_again_is_not_overwritten() {
    let scratch = Scratch::new();
    let demo = Demo::over(&scratch.url(), &[]);
    demo.done("/break/db");
    fs::write(scratch.path(), "precious").unwrap();
    let (status, text) = demo.post("/mend");
    assert!(status == 500 && text.contains("both"), "{status} {text}");
    assert_eq!(fs::read(scratch.path()).unwrap(), b"precious");
    fs::remove_file(scratch.path()).unwrap();
    demo.done("/mend");
    assert_eq!(demo.get("/health").0, 200);
}

#[test]
fn a_kill_while_the_database_is_away_loses_nothing() {
    let scratch = Scratch::new();
    let demo = Demo::over(&scratch.url(), &[]);
    demo.order("a");
    demo.done("/break/db");
    drop(demo);
    assert!(!fs::exists(scratch.path()).unwrap());
    let demo = Demo::over(&scratch.url(), &[]);
    assert_eq!(demo.get("/orders?id=a"), line(200, "1"));
}
