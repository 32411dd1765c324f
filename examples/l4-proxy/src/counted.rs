//! A stream that counts what is read from it, and remembers whether it broke.
//!
//! `copy_bidirectional` tells both only of connections that end well; the log wants the numbers of
//! the others too, and the pool wants to know whose fault it was.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

#[derive(Debug)]
pub(crate) struct Counted<'a, S = TcpStream> {
    pub(crate) stream: S,
    /// What was read from the stream before, and comes first.
    first: io::Cursor<Vec<u8>>,
    pub(crate) read: &'a AtomicU64,
    pub(crate) broken: bool,
}

impl<'a, S> Counted<'a, S> {
    pub(crate) fn new(stream: S, first: Vec<u8>, read: &'a AtomicU64) -> Self {
        Self { stream, first: io::Cursor::new(first), read, broken: false }
    }

    fn note<T>(&mut self, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        self.broken |= matches!(polled, Poll::Ready(Err(_)));
        polled
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<'_, S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = if has_more(&self.first) {
            Pin::new(&mut self.first).poll_read(cx, buf)
        } else {
            Pin::new(&mut self.stream).poll_read(cx, buf)
        };
        self.read.fetch_add((buf.filled().len() - before) as u64, Relaxed);
        self.note(polled)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<'_, S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.note(polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(cx);
        self.note(polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.note(polled)
    }
}

fn has_more(first: &io::Cursor<Vec<u8>>) -> bool {
    first.position() < first.get_ref().len() as u64
}
