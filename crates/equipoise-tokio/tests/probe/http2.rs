use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use equipoise_tokio::probe::{Answer, BodyMatch, Http, HttpBuilder, HttpVersion, Target};
use h2::RecvStream;
use h2::server::SendResponse;
use http::{Request, Response};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use crate::support::{ask, assert_bounded, backend, drain, endless, nobody, replies, words};
use crate::tls::Authority;

fn get() -> HttpBuilder {
    Http::get("/healthz").version(HttpVersion::Http2)
}

fn plain() -> Http {
    get().build().unwrap()
}

/// A backend that does this with each request.
pub(crate) fn h2_backend<F>(
    serve: impl Fn(Request<RecvStream>, SendResponse<Bytes>) -> F + Send + Sync + 'static,
) -> Target
where
    F: Future<Output = ()> + Send + 'static,
{
    let serve = Arc::new(serve);
    backend(move |stream| {
        let serve = Arc::clone(&serve);
        async move {
            let Ok(mut connection) = h2::server::handshake(stream).await else { return };
            while let Some(Ok((request, respond))) = connection.accept().await {
                tokio::spawn(serve(request, respond));
            }
        }
    })
}

fn answers(status: u16, body: &'static [u8]) -> Target {
    h2_backend(move |_, mut respond| async move {
        let head = Response::builder().status(status).body(()).unwrap();
        let mut stream = respond.send_response(head, false).unwrap();
        let _ = stream.send_data(Bytes::from_static(body), true);
    })
}

#[tokio::test]
async fn status_and_body_decide_as_in_http1() {
    assert_eq!(ask(&plain(), &answers(200, b"")).await, Ok(Answer::Pass));
    assert_eq!(words(&plain(), &answers(404, b"")).await, "GET /healthz answered 404");
    let drain = get().drain("503".parse().unwrap()).build().unwrap();
    assert_eq!(ask(&drain, &answers(503, b"")).await, Ok(Answer::Drain));
    let text = get().body(BodyMatch::contains("ready").unwrap()).build().unwrap();
    assert_eq!(ask(&text, &answers(200, b"is ready")).await, Ok(Answer::Pass));
    assert_eq!(words(&text, &answers(200, b"is not")).await, "body has no `ready`");
    assert_eq!(words(&plain(), &nobody()).await, "connection refused");
}

#[tokio::test]
async fn the_backend_sees_authority_path_and_headers() {
    let (tell, mut requests) = mpsc::unbounded_channel();
    let target = h2_backend(move |request, mut respond| {
        let tell = tell.clone();
        async move {
            let _ = tell.send(request.map(drop));
            let _ = respond.send_response(Response::new(()), true);
        }
    });
    let probe = get().host("shop.example.com").header("x-key", "1").build().unwrap();
    assert_eq!(ask(&probe, &target).await, Ok(Answer::Pass));
    let request = requests.recv().await.unwrap();
    assert_eq!(request.uri(), "http://shop.example.com/healthz");
    assert_eq!(request.headers()["x-key"], "1");
    assert!(
        !request.headers().contains_key("host") && !request.headers().contains_key("connection")
    );
}

#[tokio::test]
async fn h2_is_chosen_by_alpn_over_tls() {
    let authority = Authority::new();
    let mut config = authority.server("127.0.0.1", 2020, 4000);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let target = backend(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let Ok(mut connection) = h2::server::handshake(stream).await else { return };
            while let Some(Ok((_, mut respond))) = connection.accept().await {
                let _ = respond.send_response(Response::new(()), true);
            }
        }
    });
    let probe = get().tls(authority.client()).build().unwrap();
    assert_eq!(ask(&probe, &target).await, Ok(Answer::Pass));
}

#[tokio::test]
async fn an_endless_body_fails_within_bounds() {
    let sent = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = Arc::clone(&sent);
    let target = h2_backend(move |_, mut respond| {
        let sent = Arc::clone(&counter);
        async move {
            let mut stream = respond.send_response(Response::new(()), false).unwrap();
            loop {
                stream.reserve_capacity(1024);
                match std::future::poll_fn(|context| stream.poll_capacity(context)).await {
                    Some(Ok(room)) => {
                        sent.fetch_add(room, std::sync::atomic::Ordering::Relaxed);
                        if stream.send_data(vec![b'x'; room].into(), false).is_err() {
                            return;
                        }
                    }
                    _ => return,
                }
            }
        }
    });
    assert_eq!(words(&plain(), &target).await, "body longer than 64 KiB");
    assert_bounded(&sent, 64 * 1024);
}

#[tokio::test]
async fn headers_that_are_too_long_and_interim_answers_without_end_fail() {
    let long = h2_backend(|_, mut respond| async move {
        let head = Response::builder().header("x", "y".repeat(17 * 1024)).body(()).unwrap();
        let _ = respond.send_response(head, true);
    });
    assert_eq!(words(&plain(), &long).await, "HTTP/2: headers malformed, or longer than 16 KiB");
    let interim = h2_backend(|_, mut respond| async move {
        let hint = || Response::builder().status(103).body(()).unwrap();
        while respond.send_informational(hint()).is_ok() {
            tokio::task::yield_now().await;
        }
    });
    assert_eq!(words(&plain(), &interim).await, "more than 8 interim answers");
}

#[tokio::test]
async fn garbage_is_not_http2() {
    for garbage in [
        &b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"[..],
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        // An answer on a stream that was not opened, after proper settings.
        b"\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x01\x01\x05\x00\x00\x00\x09\x88",
    ] {
        let error = words(&plain(), &replies(garbage)).await;
        assert_eq!(error, "answer is not HTTP/2", "{}", garbage.escape_ascii());
    }
    let settings = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00";
    let ping = b"\x00\x00\x08\x06\x00\x00\x00\x00\x0012345678";
    let unknown = b"\x00\x00\x08\xee\x00\x00\x00\x00\x0012345678";
    for again in [&ping[..], unknown, settings] {
        let (target, sent) = endless(settings, again.repeat(64));
        let error = words(&plain(), &target).await;
        assert!(error.starts_with("sent more than") || error == "answer is not HTTP/2", "{error}");
        assert_bounded(&sent, 8 * 64 * 1024 + 64 * 1024);
    }
}

#[tokio::test]
async fn a_backend_that_closes_or_refuses_is_told_as_such() {
    let closes = backend(|mut stream| async move {
        let mut preface = [0; 24];
        let _ = tokio::io::AsyncReadExt::read_exact(&mut stream, &mut preface).await;
        let _ = tokio::io::AsyncWriteExt::shutdown(&mut stream).await;
        drain(&mut stream).await;
    });
    assert_eq!(words(&plain(), &closes).await, "closed before an answer");
    let refuses = h2_backend(|_, mut respond| async move {
        respond.send_reset(h2::Reason::REFUSED_STREAM);
    });
    assert_eq!(
        words(&plain(), &refuses).await,
        "HTTP/2: refused stream before processing any application logic"
    );
}

#[tokio::test]
async fn a_probe_that_is_dropped_ends_its_connection() {
    let (tell, mut events) = mpsc::unbounded_channel();
    let target = backend(move |stream| {
        let tell = tell.clone();
        async move {
            let mut connection = h2::server::handshake(stream).await.unwrap();
            let request = connection.accept().await;
            let _ = tell.send("asked");
            while let Some(Ok(_)) = connection.accept().await {}
            drop(request);
            let _ = tell.send("ended");
        }
    });
    let asking = tokio::spawn(async move { ask(&plain(), &target).await });
    assert_eq!(events.recv().await, Some("asked"));
    asking.abort();
    assert_eq!(events.recv().await, Some("ended"));
}
