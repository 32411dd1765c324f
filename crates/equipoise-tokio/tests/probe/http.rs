use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;

use equipoise_tokio::probe::{Answer, BodyMatch, Http, HttpBuilder, ProbeError, Target};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

use crate::support::{answer, ask, backend, drain, nobody, read_head, replies, words};

fn get() -> HttpBuilder {
    Http::get("/healthz")
}

fn plain() -> Http {
    get().build().unwrap()
}

#[tokio::test]
async fn an_expected_status_passes_and_another_is_named_with_what_was_asked() {
    assert_eq!(ask(&plain(), &replies(answer(200, b"ok"))).await, Ok(Answer::Pass));
    assert_eq!(ask(&plain(), &replies("HTTP/1.0 204 X\r\n\r\n")).await, Ok(Answer::Pass));
    assert_eq!(words(&plain(), &replies(answer(503, b""))).await, "GET /healthz answered 503");
    let odd = get().expect("401,500-599".parse().unwrap()).build().unwrap();
    assert_eq!(ask(&odd, &replies(answer(401, b""))).await, Ok(Answer::Pass));
    assert_eq!(words(&odd, &replies(answer(200, b""))).await, "GET /healthz answered 200");
}

#[tokio::test]
async fn a_wrong_endpoint_is_told_from_a_backend_that_is_ill() {
    for (status, wrong) in [
        (301, true),
        (302, true),
        (308, true),
        (404, true),
        (405, true),
        (401, false),
        (500, false),
        (503, false),
    ] {
        let error = ask(&plain(), &replies(answer(status, b""))).await.unwrap_err();
        assert_eq!(error.suggests_wrong_endpoint(), wrong, "{status}");
    }
}

#[tokio::test]
async fn a_drain_status_asks_for_no_new_sessions_whatever_the_body() {
    let probe = get()
        .drain("429,503".parse().unwrap())
        .body(BodyMatch::contains("ready").unwrap())
        .build()
        .unwrap();
    assert_eq!(ask(&probe, &replies(answer(503, b"going"))).await, Ok(Answer::Drain));
    assert_eq!(ask(&probe, &replies(answer(200, b"ready"))).await, Ok(Answer::Pass));
    assert_eq!(words(&probe, &replies(answer(500, b""))).await, "GET /healthz answered 500");
}

#[tokio::test]
async fn the_backend_sees_the_method_the_path_the_host_and_the_headers() {
    let (tell, mut heads) = mpsc::unbounded_channel();
    let target = backend(move |mut stream| {
        let tell = tell.clone();
        async move {
            let _ = tell.send(read_head(&mut stream).await);
            let _ = stream.write_all(&answer(200, b"")).await;
        }
    });
    let probe = Http::get("/health?deep=1").header("Authorization", "Bearer x").build().unwrap();
    assert_eq!(ask(&probe, &target).await, Ok(Answer::Pass));
    let head = heads.recv().await.unwrap();
    assert!(head.starts_with("GET /health?deep=1 HTTP/1.1\r\n"), "{head}");
    for line in [
        &format!("host: {}", target.address()),
        "authorization: Bearer x",
        "connection: close",
        "user-agent: equipoise-probe",
    ] {
        assert!(head.contains(&format!("\r\n{line}\r\n")), "{line} is not in {head}");
    }

    let target = target.with_host("shop.example.com").unwrap();
    assert_eq!(ask(&get().method("OPTIONS").build().unwrap(), &target).await, Ok(Answer::Pass));
    let head = heads.recv().await.unwrap();
    assert!(head.starts_with("OPTIONS /healthz HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("\r\nhost: shop.example.com\r\n"), "{head}");

    assert_eq!(ask(&get().host("other:81").build().unwrap(), &target).await, Ok(Answer::Pass));
    assert!(heads.recv().await.unwrap().contains("\r\nhost: other:81\r\n"));
}

#[tokio::test]
async fn the_body_decides_where_a_condition_is_set() {
    let text = get().body(BodyMatch::contains("ready").unwrap()).build().unwrap();
    assert_eq!(ask(&text, &replies(answer(200, b"I am ready."))).await, Ok(Answer::Pass));
    assert_eq!(words(&text, &replies(answer(200, b"warming up"))).await, "body has no `ready`");

    let regex = get().body(BodyMatch::regex("^(ok|up)$").unwrap()).build().unwrap();
    assert_eq!(ask(&regex, &replies(answer(200, b"up"))).await, Ok(Answer::Pass));
    assert_eq!(
        words(&regex, &replies(answer(200, b"upset"))).await,
        "body does not match `^(ok|up)$`"
    );

    let json = BodyMatch::json(r#"$.db == "ok""#.parse().unwrap());
    let json = get().body(json).build().unwrap();
    assert_eq!(ask(&json, &replies(answer(200, br#"{"db":"ok"}"#))).await, Ok(Answer::Pass));
    assert_eq!(
        words(&json, &replies(answer(200, br#"{"db":"down"}"#))).await,
        r#"body field $.db is "down", not "ok""#
    );
    assert_eq!(words(&json, &replies(answer(200, b"{}"))).await, "body has no field $.db");

    // The status decides, and the field says why.
    let said = |body: &'static [u8]| replies(answer(503, body));
    assert_eq!(
        words(&json, &said(br#"{"db":"down"}"#)).await,
        r#"GET /healthz answered 503, body field $.db is "down", not "ok""#
    );
    for body in [&br#"{"db":"ok"}"#[..], b"{}", b"garbage"] {
        assert_eq!(words(&json, &said(body)).await, "GET /healthz answered 503");
    }
}

#[tokio::test]
async fn chunks_and_bodies_that_end_with_the_connection_are_read() {
    let probe = get().body(BodyMatch::regex("^ready$").unwrap()).build().unwrap();
    let chunked =
        "HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\n2\r\nre\r\n3\r\nady\r\n0\r\n\r\n";
    assert_eq!(ask(&probe, &replies(chunked)).await, Ok(Answer::Pass));
    assert_eq!(ask(&probe, &replies("HTTP/1.1 200 X\r\n\r\nready")).await, Ok(Answer::Pass));
}

#[tokio::test]
async fn a_few_interim_answers_are_passed_over() {
    let mut bytes = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n".repeat(8);
    bytes.extend(answer(200, b""));
    assert_eq!(ask(&plain(), &replies(bytes)).await, Ok(Answer::Pass));
}

#[tokio::test]
async fn a_reply_in_pieces_of_one_byte_passes() {
    let probe = get().body(BodyMatch::contains("ready").unwrap()).build().unwrap();
    let target = backend(|mut stream| async move {
        stream.set_nodelay(true).unwrap();
        read_head(&mut stream).await;
        for byte in answer(200, b"nearly, nearly, ready") {
            stream.write_all(&[byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        drain(&mut stream).await;
    });
    assert_eq!(ask(&probe, &target).await, Ok(Answer::Pass));
}

#[tokio::test]
async fn a_body_of_the_limit_passes_and_one_byte_more_does_not() {
    let probe = get().body_limit(1000).build().unwrap();
    assert_eq!(ask(&probe, &replies(answer(200, &[b'x'; 1000]))).await, Ok(Answer::Pass));
    let words_of = words(&probe, &replies(answer(200, &[b'x'; 1001]))).await;
    assert_eq!(words_of, "body longer than 1000 bytes");
    // In chunks of one byte it has six times the bytes on the wire.
    let mut bytes = b"HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    bytes.extend(b"1\r\nx\r\n".repeat(Http::DEFAULT_BODY_LIMIT));
    bytes.extend(b"0\r\n\r\n");
    assert_eq!(ask(&plain(), &replies(bytes)).await, Ok(Answer::Pass));
}

#[tokio::test]
async fn nobody_at_the_port_is_told_as_such() {
    assert_eq!(ask(&plain(), &nobody()).await, Err(ProbeError::Refused));
}

#[tokio::test]
async fn a_probe_that_is_dropped_ends_its_connection() {
    let (tell, mut events) = mpsc::unbounded_channel();
    let target = Arc::new(backend(move |mut stream| {
        let tell = tell.clone();
        async move {
            read_head(&mut stream).await;
            let _ = tell.send("asked");
            drain(&mut stream).await;
            let _ = tell.send("ended");
        }
    }));
    let (probe, asked) = (plain(), Arc::clone(&target));
    let asking = tokio::spawn(async move { ask(&probe, &asked).await });
    assert_eq!(events.recv().await, Some("asked"));
    asking.abort();
    assert_eq!(events.recv().await, Some("ended"));
}

#[tokio::test]
async fn the_server_of_python_is_well_and_tells_a_wrong_path() {
    // With port 0 it takes a free one, and says which.
    let mut server = Command::new("python3")
        .args(["-u", "-m", "http.server", "--bind", "127.0.0.1", "--directory", "src", "0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let port = line.split_whitespace().skip_while(|word| *word != "port").nth(1).unwrap();
    let target = Target::new(format!("127.0.0.1:{port}").parse().unwrap());

    let probe =
        |path| Http::get(path).body(BodyMatch::contains("Drivers").unwrap()).build().unwrap();
    let well = ask(&probe("/lib.rs"), &target).await;
    let wrong = ask(&probe("/healthz"), &target).await;
    server.kill().unwrap();
    server.wait().unwrap();
    assert_eq!(well, Ok(Answer::Pass));
    let wrong = wrong.unwrap_err();
    assert_eq!(wrong.to_string(), "GET /healthz answered 404");
    assert!(wrong.suggests_wrong_endpoint());
}
