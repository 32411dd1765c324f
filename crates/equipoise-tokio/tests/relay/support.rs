//! Pairs of connected streams, and a relay between two of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use equipoise_tokio::relay::{Bytes, End, Relay, Stream};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Longer than anything here takes.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

pub(crate) async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let far = listener.accept().await.unwrap().0;
    near.set_nodelay(true).unwrap();
    far.set_nodelay(true).unwrap();
    (near, far)
}

/// A relay at work.
pub(crate) struct Running {
    pub(crate) bytes: Arc<Bytes>,
    pub(crate) take_out: oneshot::Sender<()>,
    task: JoinHandle<End>,
}

impl Running {
    pub(crate) fn start(
        relay: &Relay,
        client: impl Stream + Send + 'static,
        first: &[u8],
        backend: impl Stream + Send + 'static,
    ) -> Self {
        let (bytes, relay, first) = (Arc::new(Bytes::default()), relay.clone(), first.to_vec());
        let (take_out, taken_out) = oneshot::channel();
        let counted = Arc::clone(&bytes);
        let task = tokio::spawn(async move {
            let taken_out = async {
                if taken_out.await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            relay.run(client, first, backend, &counted, taken_out).await
        });
        Self { bytes, take_out, task }
    }

    /// How it ended, and the bytes from the client and from the backend.
    pub(crate) async fn end(self) -> (End, u64, u64) {
        let end = timeout(LIMIT, self.task).await.expect("the relay ends").unwrap();
        (end, count(&self.bytes.from_client), count(&self.bytes.from_backend))
    }

    pub(crate) fn abort(self) {
        self.task.abort();
    }
}

pub(crate) fn count(bytes: &AtomicU64) -> u64 {
    bytes.load(Relaxed)
}

/// A client and a backend with a relay between them.
pub(crate) async fn between(relay: &Relay) -> (TcpStream, TcpStream, Running) {
    let (client, from_client) = pair().await;
    let (to_backend, backend) = pair().await;
    (client, backend, Running::start(relay, from_client, b"", to_backend))
}

pub(crate) async fn rest(
    stream: &mut (impl AsyncRead + Unpin + ?Sized),
) -> std::io::Result<Vec<u8>> {
    let mut all = Vec::new();
    timeout(LIMIT, stream.read_to_end(&mut all)).await.expect("an end comes")?;
    Ok(all)
}

/// Says one thing each way, so that the relay is known to be at work.
pub(crate) async fn greet(
    client: &mut (impl AsyncRead + AsyncWrite + Unpin),
    backend: &mut (impl AsyncRead + AsyncWrite + Unpin),
) {
    let mut heard = [0; 4];
    client.write_all(b"ping").await.unwrap();
    timeout(LIMIT, backend.read_exact(&mut heard)).await.unwrap().unwrap();
    assert_eq!(&heard, b"ping");
    backend.write_all(b"pong").await.unwrap();
    timeout(LIMIT, client.read_exact(&mut heard)).await.unwrap().unwrap();
    assert_eq!(&heard, b"pong");
}

pub(crate) async fn sees_reset(stream: &mut (impl AsyncRead + Unpin)) {
    let error = rest(stream).await.expect_err("not an orderly end");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

/// Bytes that look random, from a seed: xorshift64*.
pub(crate) struct Noise(pub(crate) u64);

impl Noise {
    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            let word = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D).to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }
}
