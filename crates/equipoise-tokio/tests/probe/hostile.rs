use std::time::Duration;

use equipoise_tokio::probe::{Answer, BodyMatch, Http, ProbeError};
use tokio::io::AsyncWriteExt;

use crate::support::{
    answer, ask, ask_within, assert_bounded, backend, drain, endless, read_head, replies, words,
};

/// What the default probe reads at most, by its documentation.
const WIRE: usize = 8 * 64 * 1024 + 64 * 1024;

fn plain() -> Http {
    Http::get("/").build().unwrap()
}

fn json() -> Http {
    Http::get("/").body(BodyMatch::json("$.db == 1".parse().unwrap())).build().unwrap()
}

fn regex() -> Http {
    Http::get("/").body(BodyMatch::regex("ready").unwrap()).build().unwrap()
}

fn text() -> Http {
    Http::get("/").body(BodyMatch::contains("ready").unwrap()).build().unwrap()
}

#[tokio::test]
async fn an_endless_body_fails_within_bounds() {
    let head = "HTTP/1.1 200 X\r\n\r\n";
    let chunked = "HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\n";
    let promised = "HTTP/1.1 200 X\r\ncontent-length: 9223372036854775807\r\n\r\n";
    for probe in [plain(), json(), regex(), text()] {
        for (head, piece) in [
            (head, vec![b'x'; 4096]),
            (promised, vec![b'x'; 4096]),
            (chunked, b"1\r\nx\r\n".repeat(700)),
        ] {
            let (target, sent) = endless(head, piece);
            assert_eq!(words(&probe, &target).await, "body longer than 64 KiB");
            assert_bounded(&sent, WIRE);
        }
    }
}

#[tokio::test]
async fn endless_headers_fail_within_bounds() {
    for piece in [&b"x: y\r\n"[..], &[b'x'; 4096]] {
        let (target, sent) = endless("HTTP/1.1 200 X\r\n", piece);
        assert_eq!(words(&plain(), &target).await, "headers longer than 16 KiB, or too many");
        assert_bounded(&sent, 16 * 1024);
    }
}

#[tokio::test]
async fn a_header_of_100_mib_fails_within_bounds() {
    let (target, sent) = endless("HTTP/1.1 200 X\r\nx: ", vec![b'y'; 100 << 20]);
    assert_eq!(words(&plain(), &target).await, "headers longer than 16 KiB, or too many");
    assert_bounded(&sent, 16 * 1024);
}

#[tokio::test]
async fn endless_interim_answers_fail_within_bounds() {
    for piece in ["HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 103 X\r\nlink: </a>\r\n\r\n"] {
        let (target, sent) = endless("", piece.repeat(100));
        assert_eq!(words(&plain(), &target).await, "more than 8 interim answers");
        assert_bounded(&sent, WIRE);
    }
}

#[tokio::test]
async fn endless_trailers_and_chunk_extensions_fail_within_bounds() {
    let chunked = "HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\n";
    // Of the last one, zeros before the size of a chunk, only the bound of the wire takes notice.
    for (start, piece, wanted) in [
        ("0\r\n", "x: y\r\n", "answer is not HTTP"),
        ("1;", "extension", "answer is not HTTP"),
        ("1\r\nx\r\n0", "0", "sent more than 576 KiB"),
    ] {
        let (target, sent) = endless(format!("{chunked}{start}"), piece.repeat(400));
        assert_eq!(words(&plain(), &target).await, wanted);
        assert_bounded(&sent, WIRE);
    }
}

#[tokio::test]
async fn garbage_is_not_http() {
    let endless_garbage = endless("", (0..=255u8).collect::<Vec<_>>());
    assert_eq!(words(&plain(), &endless_garbage.0).await, "answer is not HTTP");
    assert_bounded(&endless_garbage.1, WIRE);
    for garbage in [
        &b"220 mail.example.com ESMTP\r\n"[..],
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\x15\x03\x01\x00\x02\x02\x0a",
        b"HTTP/1.1 200\x00 OK\r\n\r\n",
        b"HTTP/1.1 20x OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
    ] {
        let error = words(&plain(), &replies(garbage)).await;
        assert_eq!(error, "answer is not HTTP", "{}", garbage.escape_ascii());
    }
}

#[tokio::test]
async fn a_backend_that_closes_is_told_by_how_far_it_got() {
    let at_once = backend(|mut stream| async move {
        read_head(&mut stream).await;
    });
    assert_eq!(words(&plain(), &at_once).await, "closed before an answer");
    for cut in [
        "HTTP",
        "HTTP/1.1 200 X\r\nx: y",
        "HTTP/1.1 100 X\r\n\r\n",
        "HTTP/1.1 200 X\r\ncontent-length: 9\r\n\r\n1234",
        "HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\n9\r\n1234",
        "HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\n1\r\n1\r\n",
    ] {
        let error = words(&plain(), &replies(cut)).await;
        assert_eq!(error, "closed in the middle of an answer", "{cut}");
    }
}

#[tokio::test]
async fn a_backend_that_resets_or_closes_unasked_fails() {
    // What was not read makes the kernel reset the connection.
    let resets = backend(|stream| async move {
        let _ = stream.readable().await;
    });
    let error = words(&plain(), &resets).await;
    assert!(error == "connection reset" || error == "closed before an answer", "{error}");
    let error = words(&plain(), &backend(|_| async {})).await;
    assert!(error == "connection reset" || error == "closed before an answer", "{error}");
}

#[tokio::test]
async fn a_backend_that_never_answers_is_left_to_the_callers_time_out() {
    let silent = || {
        backend(|mut stream| async move {
            drain(&mut stream).await;
        })
    };
    let slow = Duration::from_millis(50);
    assert_eq!(ask_within(slow, &plain(), &silent()).await, Err(ProbeError::TimedOut));
    let stuck = backend(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 X\r\ncontent-length: 5\r\n\r\n1").await;
        drain(&mut stream).await;
    });
    let error = ask_within(slow, &plain(), &stuck).await.unwrap_err();
    assert_eq!(error.to_string(), "no answer in time");
}

#[tokio::test]
async fn bodies_that_are_not_text_or_nested_too_deep_fail_in_words() {
    let deep = "[".repeat(100_000);
    let wide = Http::get("/")
        .body(BodyMatch::json("$.db == 1".parse().unwrap()))
        .body_limit(Http::MAX_BODY_LIMIT)
        .build()
        .unwrap();
    for (probe, body, wanted) in [
        (text(), &b"\xff\xfe\xc3\x28"[..], "body has no `ready`"),
        (regex(), b"\xff\xfe\xc3\x28", "body does not match `ready`"),
        (json(), b"{\"db\": \"\xff\"}", "body is not JSON: invalid unicode code point"),
        (json(), b"<html>", "body is not JSON: expected value"),
        (json(), b"", "body is not JSON: EOF"),
        (json(), deep.as_bytes(), "body longer than 64 KiB"),
        (json(), &deep.as_bytes()[..60_000], "body is not JSON: recursion limit exceeded"),
        (wide, deep.as_bytes(), "body is not JSON: recursion limit exceeded"),
    ] {
        let error = words(&probe, &replies(answer(200, body))).await;
        assert!(error.starts_with(wanted), "{error}");
    }
}

#[tokio::test]
async fn headers_pass_up_to_16_kib_and_100_lines() {
    let reply = |headers: String| replies(format!("HTTP/1.1 204 X\r\n{headers}\r\n"));
    let long = |length| reply(format!("x: {}\r\n", "y".repeat(length)));
    assert_eq!(ask(&plain(), &long(15 * 1024)).await, Ok(Answer::Pass));
    assert_eq!(ask(&plain(), &reply("x: y\r\n".repeat(100))).await, Ok(Answer::Pass));
    let wanted = "headers longer than 16 KiB, or too many";
    assert_eq!(words(&plain(), &long(17 * 1024)).await, wanted);
    assert_eq!(words(&plain(), &reply("x: y\r\n".repeat(101))).await, wanted);
}
