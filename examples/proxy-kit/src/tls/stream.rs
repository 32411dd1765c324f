//! A stream that remembers its first bytes: they say what a client speaks that does not speak TLS.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use equipoise_tokio::socket::Socket;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::server::TlsStream;

/// What is spoken in clear above TLS.
pub type ServerStream = TlsStream<Opening>;

/// A client's socket, and the first bytes that were read from it.
#[derive(Debug)]
pub struct Opening {
    socket: Socket,
    /// What was read from it before.
    given: io::Cursor<Vec<u8>>,
    first: [u8; 8],
    length: usize,
}

impl Opening {
    pub(super) fn new(socket: Socket, given: Vec<u8>) -> Self {
        Self { socket, given: io::Cursor::new(given), first: [0; 8], length: 0 }
    }

    /// The socket itself.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Up to eight bytes.
    pub(super) fn first(&self) -> &[u8] {
        &self.first[..self.length]
    }
}

impl AsyncRead for Opening {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = if self.given.position() < self.given.get_ref().len() as u64 {
            Pin::new(&mut self.given).poll_read(context, buffer)
        } else {
            Pin::new(&mut self.socket).poll_read(context, buffer)
        };
        let at = self.length;
        if at < self.first.len() {
            let new = &buffer.filled()[before..];
            let taken = new.len().min(self.first.len() - at);
            self.first[at..at + taken].copy_from_slice(&new[..taken]);
            self.length += taken;
        }
        polled
    }
}

impl AsyncWrite for Opening {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}
