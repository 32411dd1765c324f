//! A connection that gives so many bytes and no more.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Part, ProbeError};

/// How much was read of how much may be.
///
/// It counts below TLS and HTTP, so that it bounds everything that they would read and drop: empty
/// records, pings, frames of unknown types, chunks of one byte.
#[derive(Debug)]
pub(super) struct Meter {
    read: AtomicUsize,
    limit: usize,
}

impl Meter {
    /// The bytes read so far.
    #[cfg(feature = "http")]
    pub(super) fn read(&self) -> usize {
        self.read.load(Ordering::Relaxed)
    }

    /// The reason, if all that may be read was read.
    pub(super) fn excess(&self) -> Option<ProbeError> {
        let spent = self.read.load(Ordering::Relaxed) >= self.limit;
        spent.then_some(ProbeError::TooLong { part: Part::Wire, limit: self.limit })
    }

    fn left(&self) -> usize {
        self.limit.saturating_sub(self.read.load(Ordering::Relaxed))
    }
}

/// A stream behind a [`Meter`].
#[derive(Debug)]
pub(super) struct Metered<S> {
    stream: S,
    meter: Arc<Meter>,
}

impl<S> Metered<S> {
    pub(super) fn new(stream: S, limit: usize) -> (Self, Arc<Meter>) {
        let meter = Arc::new(Meter { read: AtomicUsize::new(0), limit });
        (Self { stream, meter: Arc::clone(&meter) }, meter)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let left = self.meter.left();
        if left == 0 {
            return Poll::Ready(Err(io::Error::other("more bytes than a probe takes")));
        }
        let length = left.min(buffer.remaining());
        let mut part = ReadBuf::new(buffer.initialize_unfilled_to(length));
        let result = Pin::new(&mut self.stream).poll_read(context, &mut part);
        let read = part.filled().len();
        buffer.advance(read);
        self.meter.read.fetch_add(read, Ordering::Relaxed);
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn it_gives_as_many_bytes_as_it_may_and_then_an_error() {
        let (mut stream, meter) = Metered::new(&b"0123456789"[..], 7);
        let mut bytes = [0; 5];
        assert_eq!(stream.read(&mut bytes).await.unwrap(), 5);
        assert_eq!(meter.excess(), None);
        assert_eq!(stream.read(&mut bytes).await.unwrap(), 2);
        assert_eq!(bytes[..2], *b"56");
        assert_eq!(meter.excess(), Some(ProbeError::TooLong { part: Part::Wire, limit: 7 }));
        assert_eq!(stream.read(&mut bytes).await.unwrap_err().kind(), io::ErrorKind::Other);
    }
}
