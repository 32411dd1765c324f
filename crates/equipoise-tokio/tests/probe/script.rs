use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use equipoise_tokio::probe::{Answer, ProbeError, Script, ScriptBuilder, Target, TlsClient, Unmet};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use crate::support::{
    LONG, ask, ask_within, assert_bounded, backend, drain, endless, nobody, words,
};
use crate::tls::Authority;

const MS: Duration = Duration::from_millis(1);

/// What a scripted server does.
#[derive(Clone, Copy)]
enum Do {
    Say(&'static [u8]),
    /// Byte by byte, each in a packet of its own.
    SaySlowly(&'static [u8]),
    Hear(&'static [u8]),
    Hang,
}
use Do::{Hang, Hear, Say, SaySlowly};

/// Plays the server's part, and then closes.
async fn play(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), part: &[Do]) {
    for act in part {
        match *act {
            Say(bytes) => stream.write_all(bytes).await.unwrap(),
            SaySlowly(bytes) => {
                for byte in bytes {
                    if stream.write_u8(*byte).await.is_err() {
                        return;
                    }
                    tokio::time::sleep(2 * MS).await;
                }
            }
            Hear(bytes) => {
                let mut heard = vec![0; bytes.len()];
                stream.read_exact(&mut heard).await.unwrap();
                assert_eq!(heard, bytes);
            }
            Hang => drain(stream).await,
        }
        stream.flush().await.unwrap();
    }
    let _ = stream.shutdown().await;
    drain(stream).await;
}

fn server(part: &'static [Do]) -> Target {
    backend(move |mut stream| async move {
        stream.set_nodelay(true).unwrap();
        play(&mut stream, part).await;
    })
}

async fn passes(script: ScriptBuilder, part: &'static [Do]) {
    assert_eq!(ask(&script.build().unwrap(), &server(part)).await, Ok(Answer::Pass));
}

async fn fails(script: ScriptBuilder, part: &'static [Do]) -> String {
    words(&script.build().unwrap(), &server(part)).await
}

fn redis() -> ScriptBuilder {
    Script::builder().send("PING\r\n").expect_prefix("+PONG")
}

fn smtp() -> ScriptBuilder {
    Script::builder().expect_regex("^220[ -]").send("QUIT\r\n").expect("221 ")
}

fn postgresql() -> ScriptBuilder {
    Script::builder().send(b"\x00\x00\x00\x08\x04\xd2\x16\x2f").expect_regex("^[SN]").within(1)
}

fn mysql() -> ScriptBuilder {
    Script::builder().expect_regex(r"(?s-u)^.{3}\x00\x0a").within(5)
}

const SSL_REQUEST: &[u8] = b"\x00\x00\x00\x08\x04\xd2\x16\x2f";

#[tokio::test]
async fn servers_that_are_well_pass_in_one_piece_and_byte_by_byte() {
    passes(redis(), &[Hear(b"PING\r\n"), Say(b"+PONG\r\n"), Hang]).await;
    passes(redis(), &[Hear(b"PING\r\n"), SaySlowly(b"+PONG\r\n"), Hang]).await;
    passes(smtp(), &[Say(b"220 mail ESMTP\r\n"), Hear(b"QUIT\r\n"), Say(b"221 bye\r\n")]).await;
    passes(
        smtp(),
        &[SaySlowly(b"220-mail\r\n220 ESMTP\r\n"), Hear(b"QUIT\r\n"), SaySlowly(b"221 bye\r\n")],
    )
    .await;
    passes(postgresql(), &[Hear(SSL_REQUEST), Say(b"S"), Hang]).await;
    passes(postgresql(), &[Hear(SSL_REQUEST), Say(b"N"), Hang]).await;
    passes(mysql(), &[Say(b"\x4a\x00\x00\x00\x0a8.4.0\x00\xff\xfe"), Hang]).await;
    passes(mysql(), &[SaySlowly(b"\xff\x00\x00\x00\x0a8.4.0\x00"), Hang]).await;
}

#[tokio::test]
async fn a_step_goes_on_where_the_one_before_has_found_what_it_wants() {
    let said: &[Do] = &[Say(b"one two three"), Hang];
    let one = || Script::builder().expect("one");
    passes(one().expect_prefix(" two").expect("three"), said).await;
    let error = fails(one().expect("three").expect("two").deadline(300 * MS), said).await;
    assert_eq!(error, "step 3, expect `two`: not in time, got nothing");
}

#[tokio::test]
async fn a_wrong_answer_is_told_with_the_step_and_what_came() {
    let error = fails(redis(), &[Hear(b"PING\r\n"), Say(b"-NOAUTH no\r\n"), Hang]).await;
    assert_eq!(error, r"step 2, expect_prefix `+PONG`: something else, got `-NOAUTH no\r\n`");
    let error = fails(postgresql(), &[Hear(SSL_REQUEST), Say(b"E\x00"), Hang]).await;
    assert_eq!(error, r"step 2, expect_regex `^[SN]`: not within 1 bytes, got `E\0`");
    let error = fails(mysql(), &[Say(b"\x45\x00\x00\x00\xff\x6a\x04Host"), Hang]).await;
    assert_eq!(
        error,
        r"step 1, expect_regex `(?s-u)^.{3}\x00\x0a`: not within 5 bytes, got `E\0\0\0\xffj\u{4}Host`"
    );
    // One that may still become right is waited for, and told when the deadline is over.
    let waits = Script::builder().send("PING\r\n").expect("+PONG").deadline(300 * MS);
    let error = fails(waits, &[Hear(b"PING\r\n"), Say(b"-LOADING \x1b[31m\r\n"), Hang]).await;
    assert_eq!(error, r"step 2, expect `+PONG`: not in time, got `-LOADING \u{1b}[31m\r\n`");
}

#[tokio::test]
async fn an_end_before_the_answer_is_told() {
    let error = fails(redis(), &[Hear(b"PING\r\n")]).await;
    assert_eq!(error, "step 2, expect_prefix `+PONG`: closed, got nothing");
    let error = fails(redis(), &[Hear(b"PING\r\n"), Say(b"+PO")]).await;
    assert_eq!(error, "step 2, expect_prefix `+PONG`: closed, got `+PO`");
    let resets = backend(|mut stream| async move {
        stream.write_all(b"220 mail\r\n").await.unwrap();
        stream.read_u8().await.unwrap();
        let _ = stream.set_zero_linger();
    });
    let error = words(&smtp().build().unwrap(), &resets).await;
    assert_eq!(error, r"step 3, expect `221 `: connection reset, got `mail\r\n`");
    assert_eq!(words(&redis().build().unwrap(), &nobody()).await, "connection refused");
}

#[tokio::test]
async fn an_endless_answer_fails_within_bounds() {
    for (script, wanted) in [
        (Script::builder().expect("ready"), "step 1, expect `ready`: not within 1 KiB, got `xxx"),
        (
            Script::builder().expect_regex("ready$").within(Script::MAX_READ),
            "step 1, expect_regex `ready$`: not within 16 KiB, got `xxx",
        ),
        // Each step has its own bound, and all of them have one.
        (
            (0..16)
                .fold(Script::builder(), |script, _| {
                    script.expect_regex("^(?s-u:.){1024}").within(1024)
                })
                .expect("ready"),
            "step 17, expect `ready`: not within 16 KiB, got nothing",
        ),
    ] {
        let (target, sent) = endless("", vec![b'x'; 4096]);
        let error = words(&script.build().unwrap(), &target).await;
        assert!(error.starts_with(wanted), "{error}");
        assert_bounded(&sent, Script::MAX_READ);
    }
}

#[tokio::test]
async fn who_says_nothing_or_does_not_read_is_left_when_the_time_is_over() {
    let silent = server(&[Hang]);
    let since = Instant::now();
    let script = redis().deadline(200 * MS).build().unwrap();
    let wanted = ProbeError::Step {
        step: 2,
        doing: "expect_prefix `+PONG`".into(),
        why: Unmet::TimedOut,
        came: "".into(),
    };
    assert_eq!(ask(&script, &silent).await, Err(wanted));
    assert!(since.elapsed() < LONG / 4);
    // Without one of its own it is the caller's.
    let script = redis().build().unwrap();
    assert_eq!(ask_within(200 * MS, &script, &silent).await, Err(ProbeError::TimedOut));
}

#[tokio::test]
async fn a_script_is_played_over_tls() {
    let authority = Authority::new();
    let acceptor = TlsAcceptor::from(Arc::new(authority.server("127.0.0.1", 2020, 4000)));
    let over_tls = move |part: &'static [Do]| {
        let acceptor = acceptor.clone();
        backend(move |stream| {
            let acceptor = acceptor.clone();
            async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                play(&mut stream, part).await;
            }
        })
    };
    let script = redis().tls(authority.client()).build().unwrap();
    let well = over_tls(&[Hear(b"PING\r\n"), SaySlowly(b"+PONG\r\n"), Hang]);
    assert_eq!(ask(&script, &well).await, Ok(Answer::Pass));
    let wrong = over_tls(&[Hear(b"PING\r\n"), Say(b"+PO")]);
    let closed = "step 2, expect_prefix `+PONG`: closed, got `+PO`";
    assert_eq!(words(&script, &wrong).await, closed);
    let stranger = redis().tls(Authority::new().client()).build().unwrap();
    assert!(words(&stranger, &well).await.starts_with("TLS: certificate "));
    let plain = server(&[Say(b"+PONG\r\n"), Hang]);
    let insecure = redis().tls(TlsClient::insecure().unwrap()).build().unwrap();
    assert_eq!(words(&insecure, &plain).await, "TLS: answer is not TLS");
}

#[tokio::test]
async fn a_real_redis_says_pong() {
    let installed = Command::new("redis-server").arg("--version").stdout(Stdio::null()).status();
    if installed.is_err() {
        eprintln!("redis-server is not installed: nothing was tested");
        return;
    }
    // A port that was free just now: for a moment somebody else might take it.
    let target = nobody();
    let port = target.address().ip().unwrap().port().to_string();
    let mut redis_server = Command::new("redis-server")
        .args(["--bind", "127.0.0.1", "--port", &port, "--save", "", "--requirepass", "hunter2"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let script = redis().build().unwrap();
    let since = Instant::now();
    let mut answer = ask(&script, &target).await;
    while answer == Err(ProbeError::Refused) && since.elapsed() < LONG {
        tokio::time::sleep(20 * MS).await;
        answer = ask(&script, &target).await;
    }
    let login = Script::builder().send("AUTH hunter2\r\nPING\r\n").expect("+OK\r\n+PONG\r\n");
    let well = ask(&login.build().unwrap(), &target).await;
    redis_server.kill().unwrap();
    redis_server.wait().unwrap();
    let refused = answer.unwrap_err().to_string();
    let wanted = r"step 2, expect_prefix `+PONG`: something else, got `-NOAUTH Authentication required.\r\n`";
    assert_eq!(refused, wanted);
    assert_eq!(well, Ok(Answer::Pass));
}
