//! What clients make up: it is a miss, it is counted, it herds nobody, and it is never the proxy's failure.

use std::collections::BTreeSet;

use proxy_lab::backend::Backend;
use proxy_lab::client::Connection;

use super::{Answer, NAMES, ask, assert_misses, cookie, counted, get, over, session};

#[test]
fn made_up_cookies_are_misses_and_are_counted() {
    let proxy = over(&NAMES.map(Backend::named), "mode = \"cookie\"");
    let (line, _) = session(&proxy, "srv");
    let token = line.trim_start_matches("Cookie: srv=").trim_end();
    let many = |bad: usize, good: &str| {
        let bad: String = (0..bad).map(|n| format!("srv=made-up-{n}; ")).collect();
        cookie(&(bad + good))
    };
    let cases = [
        cookie("srv=1"),
        cookie(&format!("srv={}", "A".repeat(63))),
        cookie(&format!("srv={}", &token[..57])),
        cookie(&format!("srv={token}x")),
        cookie(&format!("srv={}", token.to_ascii_lowercase())),
        cookie(&format!("srv={token}; ").replace("; ", "%3B")),
        cookie("srv=\u{e9}\u{1f36a}"),
        cookie(&format!("srv={}", "x".repeat(60 << 10))),
        many(1000, "a=1"),
        // Even with a good one at the end: no more than a few are tried.
        many(1000, &format!("srv={token}")),
    ];
    for lines in &cases {
        assert_misses(&proxy, "/", lines);
    }
    // Of lines it takes a hundred, and refuses more as the client's failure.
    assert_misses(&proxy, "/", &cookie("srv=1").repeat(90));
    assert_eq!(ask(&proxy, "/", &cookie("srv=1").repeat(1000)).0.status, 431);
    assert_eq!(counted(&proxy, "miss"), 6 * (cases.len() + 1));
}

#[test]
fn a_bad_cookie_does_not_hide_a_good_one() {
    let proxy = over(&NAMES.map(Backend::named), "mode = \"cookie\"");
    let (line, backend) = session(&proxy, "srv");
    let good = line.trim_start_matches("Cookie: ").trim_end();
    for lines in [
        cookie(&format!("srv=forged; {good}")),
        cookie("srv=forged") + &line,
        cookie(&format!("srv=; srv=\"\"; srv=1; srv=2; srv=3; {good}")),
        cookie(&format!("{}; {good}", "a=1; ".repeat(10_000))),
    ] {
        let answer = ask(&proxy, "/", &lines);
        assert_eq!((answer.word(), answer.backend()), ("hit", backend.clone()), "{lines:.100}");
        assert!(answer.set().is_empty());
    }
}

#[test]
fn no_bit_of_a_token_may_be_changed() {
    let proxy = over(&NAMES.map(Backend::named), "mode = \"cookie\"");
    let (line, _) = session(&proxy, "srv");
    let token = line.trim_start_matches("Cookie: srv=").trim_end().as_bytes();
    let mut connection = Connection::open(proxy.address());
    for at in 0..token.len() {
        let mut forged = token.to_vec();
        forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
        let forged = format!("srv={}", String::from_utf8(forged).unwrap());
        let answer = Answer(connection.request(get("/", &cookie(&forged))));
        assert_eq!((answer.0.status, answer.word()), (200, "miss"), "changed at {at}");
    }
}

#[test]
fn an_empty_key_pins_nobody() {
    let backends = NAMES.map(Backend::named);
    for (sticky, lines) in [
        ("mode = \"cookie\"", "Cookie: srv=\r\n"),
        ("mode = \"cookie\"", "Cookie: srv=\"\"; srv\r\n"),
        ("mode = \"prefix\"\nname = \"id\"", "Cookie: id=\r\n"),
        ("mode = \"learn\"\nname = \"id\"", "Cookie: id=; id=\"\"\r\n"),
        ("mode = \"header\"\nname = \"x-user\"", "X-User:\r\n"),
        ("mode = \"header\"\nname = \"x-user\"", "X-User: \r\nX-User: late\r\n"),
    ] {
        let proxy = over(&backends, sticky);
        let used: BTreeSet<_> = (0..6).map(|_| ask(&proxy, "/", lines).backend()).collect();
        assert_eq!(used.len(), NAMES.len(), "{sticky} {lines:?}");
    }
}

#[test]
fn a_long_key_is_a_key() {
    let proxy = over(&NAMES.map(Backend::named), "mode = \"header\"\nname = \"x-user\"");
    let user = |end: &str| format!("X-User: {}{end}\r\n", "u".repeat(60 << 10));
    let first = ask(&proxy, "/", &user("1"));
    assert_eq!(first.word(), "new");
    for _ in 0..3 {
        let next = ask(&proxy, "/", &user("1"));
        assert_eq!((next.word(), next.backend()), ("hit", first.backend()));
    }
    assert_eq!(ask(&proxy, "/", &user("2")).word(), "new");
}
