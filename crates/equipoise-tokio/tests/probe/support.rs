//! Backends that do as they are told.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use equipoise_tokio::probe::{Answer, Probe, ProbeError, Target};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// Longer than any test takes that is well.
pub(crate) const LONG: Duration = Duration::from_secs(20);

/// Asks as a caller does, who does not wait for ever.
pub(crate) async fn ask(probe: &impl Probe, target: &Target) -> Result<Answer, ProbeError> {
    ask_within(LONG, probe, target).await
}

pub(crate) async fn ask_within(
    limit: Duration,
    probe: &impl Probe,
    target: &Target,
) -> Result<Answer, ProbeError> {
    tokio::time::timeout(limit, probe.probe(target)).await.unwrap_or(Err(ProbeError::TimedOut))
}

/// The failure, in words.
pub(crate) async fn words(probe: &impl Probe, target: &Target) -> String {
    ask(probe, target).await.unwrap_err().to_string()
}

/// A listener whose connections send from small buffers, so that what was sent is about what was read.
fn listen() -> (TcpListener, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_send_buffer_size(16 * 1024).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(64).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A backend that does this with each connection.
pub(crate) fn backend<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> Target
where
    F: Future<Output = ()> + Send + 'static,
{
    let (listener, address) = listen();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    Target::new(address)
}

/// A backend that reads a request, writes these bytes, and closes when it has seen the other's end.
pub(crate) fn replies(bytes: impl Into<Vec<u8>>) -> Target {
    let bytes: Arc<[u8]> = bytes.into().into();
    backend(move |mut stream| {
        let bytes = Arc::clone(&bytes);
        async move {
            read_head(&mut stream).await;
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
            drain(&mut stream).await;
        }
    })
}

/// A backend that writes the bytes once, then these for ever, and counts what it could send.
pub(crate) fn endless(
    once: impl Into<Vec<u8>>,
    again: impl Into<Vec<u8>>,
) -> (Target, Arc<AtomicUsize>) {
    let (once, again): (Arc<[u8]>, Arc<[u8]>) = (once.into().into(), again.into().into());
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&sent);
    let target = backend(move |mut stream| {
        let (once, again, sent) = (Arc::clone(&once), Arc::clone(&again), Arc::clone(&counter));
        async move {
            let mut rest: &[u8] = &once;
            while let Ok(count) = stream.write(rest).await {
                sent.fetch_add(count, Ordering::Relaxed);
                rest = &rest[count..];
                if rest.is_empty() {
                    rest = &again;
                }
            }
        }
    });
    (target, sent)
}

/// What was sent to a probe that reads at most `limit` bytes: that, and what the kernel holds.
pub(crate) fn assert_bounded(sent: &AtomicUsize, limit: usize) {
    let sent = sent.load(Ordering::Relaxed);
    assert!(sent > 0, "nothing was sent");
    assert!(sent <= limit + 256 * 1024, "{sent} bytes were sent");
}

/// Reads the head of a request.
pub(crate) async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(head).unwrap()
}

/// Waits for the other's end.
pub(crate) async fn drain(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    let mut bytes = [0; 1024];
    while matches!(stream.read(&mut bytes).await, Ok(1..)) {}
}

/// An answer with this status and body.
pub(crate) fn answer(status: u16, body: &[u8]) -> Vec<u8> {
    let mut bytes =
        format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n", body.len()).into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// An address at which nobody listens.
pub(crate) fn nobody() -> Target {
    Target::new(listen().1)
}
