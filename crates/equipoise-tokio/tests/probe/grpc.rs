use std::sync::Arc;

use bytes::Bytes;
use equipoise_tokio::probe::{Answer, Grpc, Target};
use http::{HeaderMap, Response};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use crate::http2::h2_backend;
use crate::support::{ask, backend, replies, words};
use crate::tls::Authority;

fn probe() -> Grpc {
    Grpc::new("").unwrap()
}

/// A backend that answers with this message and this status of the call.
pub(crate) fn answers(message: &'static [u8], status: Option<&'static str>) -> Target {
    h2_backend(move |_, mut respond| async move {
        let head = Response::builder().header("content-type", "application/grpc").body(()).unwrap();
        let mut stream = respond.send_response(head, false).unwrap();
        let _ = stream.send_data(Bytes::from_static(message), status.is_none());
        if let Some(status) = status {
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", status.parse().unwrap());
            let _ = stream.send_trailers(trailers);
        }
    })
}

/// A backend that ends the call at once.
fn ends(status: &'static str) -> Target {
    h2_backend(move |_, mut respond| async move {
        let head = Response::builder()
            .header("content-type", "application/grpc+proto")
            .header("grpc-status", status)
            .body(())
            .unwrap();
        let _ = respond.send_response(head, true);
    })
}

pub(crate) const SERVING: &[u8] = &[0, 0, 0, 0, 2, 8, 1];

#[tokio::test]
async fn serving_passes_and_anything_else_fails_by_its_name() {
    assert_eq!(ask(&probe(), &answers(SERVING, Some("0"))).await, Ok(Answer::Pass));
    for (message, wanted) in [
        (&[0, 0, 0, 0, 0][..], "gRPC health: UNKNOWN"),
        (&[0, 0, 0, 0, 2, 8, 2], "gRPC health: NOT_SERVING"),
        (&[0, 0, 0, 0, 2, 8, 3], "gRPC health: SERVICE_UNKNOWN"),
        (&[0, 0, 0, 0, 2, 8, 9], "gRPC health: a status that is not defined"),
        (&[0, 0, 0, 0, 2, 8], "answer is not a gRPC health message"),
        (&[1, 0, 0, 0, 2, 8, 1], "answer is not a gRPC health message"),
        (b"", "answer is not a gRPC health message"),
        (&[0; 5000], "body longer than 4 KiB"),
    ] {
        assert_eq!(words(&probe(), &answers(message, Some("0"))).await, wanted);
    }
}

#[tokio::test]
async fn a_call_that_does_not_end_well_fails_whatever_the_message() {
    assert_eq!(words(&probe(), &answers(SERVING, Some("13"))).await, "gRPC health: INTERNAL");
    assert_eq!(words(&probe(), &answers(SERVING, Some("x"))).await, "gRPC health: UNKNOWN");
    assert_eq!(words(&probe(), &answers(SERVING, None)).await, "answer is not gRPC");
    assert_eq!(words(&probe(), &ends("14")).await, "gRPC health: UNAVAILABLE");
}

#[tokio::test]
async fn a_server_without_health_and_one_that_is_no_grpc_suggest_a_wrong_endpoint() {
    let error = ask(&probe(), &ends("12")).await.unwrap_err();
    assert_eq!(error.to_string(), "gRPC health: UNIMPLEMENTED, there is no health service");
    assert!(error.suggests_wrong_endpoint());
    assert!(ask(&probe(), &ends("5")).await.unwrap_err().suggests_wrong_endpoint());
    assert!(!ask(&probe(), &ends("14")).await.unwrap_err().suggests_wrong_endpoint());

    let page = h2_backend(|_, mut respond| async move {
        let head = Response::builder().status(404).body(()).unwrap();
        let _ = respond.send_response(head, true);
    });
    let error = ask(&probe(), &page).await.unwrap_err();
    assert_eq!(error.to_string(), "POST /grpc.health.v1.Health/Check answered 404");
    assert!(error.suggests_wrong_endpoint());

    let html = h2_backend(|_, mut respond| async move {
        let head = Response::builder().header("content-type", "text/html").body(()).unwrap();
        let _ = respond.send_response(head, true);
    });
    assert_eq!(words(&probe(), &html).await, "answer is not gRPC");
    assert_eq!(words(&probe(), &replies("HTTP/1.1 400 X\r\n\r\n")).await, "answer is not HTTP/2");
}

#[tokio::test]
async fn the_backend_sees_a_call_as_the_protocol_has_it_over_tls_too() {
    let authority = Authority::new();
    let mut config = authority.server("127.0.0.1", 2020, 4000);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let (tell, mut calls) = mpsc::unbounded_channel();
    let target = backend(move |stream| {
        let (acceptor, tell) = (acceptor.clone(), tell.clone());
        async move {
            let stream = acceptor.accept(stream).await.unwrap();
            let mut connection = h2::server::handshake(stream).await.unwrap();
            while let Some(Ok((request, mut respond))) = connection.accept().await {
                let tell = tell.clone();
                tokio::spawn(async move {
                    let (head, mut body) = request.into_parts();
                    let message = body.data().await.unwrap().unwrap();
                    let _ = tell.send((head, message));
                    let ok = Response::builder()
                        .header("content-type", "application/grpc")
                        .body(())
                        .unwrap();
                    let mut stream = respond.send_response(ok, false).unwrap();
                    stream.send_data(Bytes::from_static(SERVING), false).unwrap();
                    let mut trailers = HeaderMap::new();
                    trailers.insert("grpc-status", "0".parse().unwrap());
                    stream.send_trailers(trailers).unwrap();
                });
            }
        }
    });
    let probe = Grpc::new("shop.Cart").unwrap().with_tls(authority.client());
    assert_eq!(ask(&probe, &target).await, Ok(Answer::Pass));
    let (head, message) = calls.recv().await.unwrap();
    assert_eq!(head.method, "POST");
    assert_eq!(
        head.uri.to_string(),
        format!("https://{}/grpc.health.v1.Health/Check", target.host())
    );
    assert_eq!(head.headers["content-type"], "application/grpc");
    assert_eq!(head.headers["te"], "trailers");
    assert_eq!(message[..], *b"\0\0\0\0\x0b\x0a\x09shop.Cart");
}

#[test]
fn a_name_that_is_too_long_is_refused() {
    assert_eq!(Grpc::new(&"a".repeat(1025)).unwrap_err().field(), "service");
}
