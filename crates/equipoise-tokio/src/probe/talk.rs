//! A connection, and a talk over it.

#[cfg(any(feature = "http", feature = "grpc"))]
use std::future::{Future, poll_fn};
#[cfg(any(feature = "http", feature = "grpc"))]
use std::pin::pin;
use std::sync::Arc;
#[cfg(any(feature = "http", feature = "grpc"))]
use std::task::Poll;

use tokio::io::{AsyncRead, AsyncWrite};

use super::meter::{Meter, Metered};
use super::wire::connect;
use super::{ProbeError, Target};

/// The most bytes of headers.
#[cfg(any(feature = "http", feature = "grpc"))]
pub(super) const HEADERS_LIMIT: usize = 16 * 1024;
/// The most interim answers (1xx) before the answer proper.
#[cfg(any(feature = "http", feature = "grpc"))]
pub(super) const INTERIM_LIMIT: usize = 8;

/// What may come over the wire for a body of so many bytes: as much again seven times for its
/// framing, which is what chunks of one byte need, and the headers.
pub(super) const fn wire_limit(body: usize) -> usize {
    body.saturating_mul(8).saturating_add(64 * 1024)
}

/// A connection in clear or over TLS.
pub(super) trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// An open connection.
pub(super) struct Line {
    pub(super) wire: Box<dyn Wire>,
    pub(super) meter: Arc<Meter>,
    /// What was read of the answer itself, without the handshake of TLS and its tickets.
    #[cfg(feature = "http")]
    pub(super) heard: Arc<Meter>,
}

impl Line {
    /// Opens a connection in clear; `limit` bytes may come.
    pub(super) async fn open(target: &Target, limit: usize) -> Result<Self, ProbeError> {
        let (stream, meter) = Metered::new(connect(target).await?, limit);
        Ok(Self {
            wire: Box::new(stream),
            #[cfg(feature = "http")]
            heard: Arc::clone(&meter),
            meter,
        })
    }

    /// Opens a connection over TLS; `limit` bytes may come after the handshake. `h2`: the backend must
    /// have chosen HTTP/2.
    #[cfg(feature = "tls")]
    pub(super) async fn open_tls(
        target: &Target,
        client: &super::TlsClient,
        limit: usize,
        h2: bool,
    ) -> Result<Self, ProbeError> {
        let (stream, meter) = client.open(target, limit).await?;
        // Where it chose nothing at all it may still speak it, but RFC 9113, 3.3, says that it must
        // choose; proxies and clients would not find out.
        if h2 && stream.get_ref().1.alpn_protocol() != Some(b"h2") {
            return Err(ProbeError::Tls("backend does not offer h2".into()));
        }
        #[cfg(feature = "http")]
        let (stream, heard) = Metered::new(stream, usize::MAX);
        Ok(Self {
            wire: Box::new(stream),
            meter,
            #[cfg(feature = "http")]
            heard,
        })
    }
}

/// Runs a connection for as long as the talk over it takes.
///
/// Both are polled in one task, so that dropping the future ends both at once, where a spawned
/// connection would live on. At the end the connection may say goodbye, as far as that does not wait.
#[cfg(any(feature = "http", feature = "grpc"))]
pub(super) async fn talk<T>(
    connection: impl Future<Output = ()>,
    talk: impl Future<Output = T>,
) -> T {
    let mut connection = pin!(connection);
    let mut open = true;
    let answer = {
        let mut talk = pin!(talk);
        poll_fn(|context| {
            if let Poll::Ready(answer) = talk.as_mut().poll(context) {
                return Poll::Ready(answer);
            }
            if open && connection.as_mut().poll(context).is_ready() {
                open = false;
            }
            // What the connection has just read is worth a look; otherwise it wakes the task itself.
            talk.as_mut().poll(context)
        })
        .await
    };
    if open {
        poll_fn(|context| {
            let _ = connection.as_mut().poll(context);
            Poll::Ready(())
        })
        .await;
    }
    answer
}
