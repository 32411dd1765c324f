//! What can be relayed.

use std::fmt;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::socket::Socket;

/// A connection that can be relayed: a TCP or Unix socket, or any other stream in [`ByCopy`].
///
/// Implement it for an enum of such streams by delegating.
pub trait Stream {
    /// Where its bytes come from and go to.
    fn wire(&mut self) -> Wire<'_>;

    /// Sees to it that closing this stream tells the peer that it has not had everything. A Unix socket
    /// has no way to say so.
    fn reset(&mut self);
}

/// Where a stream's bytes come from and go to.
#[derive(Debug)]
pub struct Wire<'a>(pub(super) Inner<'a>);

pub(super) enum Inner<'a> {
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "there are none"))]
    Socket(Socket<'a>),
    Other(&'a mut (dyn Duplex + 'a)),
}

/// What can be read from and written to.
pub trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

/// A stream whose bytes are copied, such as a TLS one.
///
/// # Examples
/// ```
/// use equipoise_tokio::relay::ByCopy;
///
/// let (near, _far) = tokio::io::duplex(64);
/// let stream = ByCopy::new(near, |_| {});
/// # let _ = stream;
/// ```
pub struct ByCopy<S> {
    stream: S,
    reset: fn(&mut S),
}

impl<S: Duplex> ByCopy<S> {
    /// `reset` prepares the stream for being closed after something broke, as [`Stream::reset`] does: of
    /// TLS over TCP it calls `set_zero_linger` on the TCP stream.
    pub fn new(stream: S, reset: fn(&mut S)) -> Self {
        Self { stream, reset }
    }
}

impl<S: fmt::Debug> fmt::Debug for ByCopy<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ByCopy").field(&self.stream).finish()
    }
}

impl<S: Duplex> Stream for ByCopy<S> {
    fn wire(&mut self) -> Wire<'_> {
        Wire::copied(&mut self.stream)
    }

    fn reset(&mut self) {
        (self.reset)(&mut self.stream);
    }
}

impl Stream for TcpStream {
    fn wire(&mut self) -> Wire<'_> {
        #[cfg(target_os = "linux")]
        return Wire(Inner::Socket(Socket::Tcp(self)));
        #[cfg(not(target_os = "linux"))]
        Wire::copied(self)
    }

    fn reset(&mut self) {
        let _ = self.set_zero_linger();
    }
}

#[cfg(unix)]
impl Stream for tokio::net::UnixStream {
    fn wire(&mut self) -> Wire<'_> {
        #[cfg(target_os = "linux")]
        return Wire(Inner::Socket(Socket::Unix(self)));
        #[cfg(not(target_os = "linux"))]
        Wire::copied(self)
    }

    fn reset(&mut self) {}
}

impl<'a> Wire<'a> {
    /// Bytes are copied from and to this stream.
    pub fn copied(stream: &'a mut (dyn Duplex + 'a)) -> Self {
        Self(Inner::Other(stream))
    }

    pub(super) fn socket(&self) -> Option<Socket<'a>> {
        match self.0 {
            Inner::Socket(socket) => Some(socket),
            Inner::Other(_) => None,
        }
    }

    /// Reads once into `space`, and hands over what came: nothing at the end.
    pub(super) fn poll_read_into<R>(
        &mut self,
        cx: &mut Context<'_>,
        space: &mut [MaybeUninit<u8>],
        take: impl FnOnce(&[u8], &mut Context<'_>) -> R,
    ) -> Poll<io::Result<R>> {
        match &mut self.0 {
            Inner::Socket(socket) => socket.poll_read_into(cx, space, take),
            Inner::Other(stream) => {
                let mut buffer = ReadBuf::uninit(space);
                ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
                Poll::Ready(Ok(take(buffer.filled(), cx)))
            }
        }
    }

    /// Writes some of `bytes`, which are not empty, and says how many: not 0.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = match &mut self.0 {
            Inner::Socket(socket) => ready!(socket.poll_write(cx, bytes))?,
            Inner::Other(stream) => ready!(Pin::new(stream).poll_write(cx, bytes))?,
        };
        Poll::Ready(if written == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(written) })
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Inner::Socket(_) => Poll::Ready(Ok(())),
            Inner::Other(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Inner::Socket(socket) => Poll::Ready(socket.shutdown()),
            Inner::Other(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    /// Waits until the connection is broken, which is heard of without reading. For ever if this kind of
    /// stream can't tell.
    pub(super) fn broken(&self) -> impl Future<Output = ()> + use<'a> {
        let socket = self.socket();
        async move {
            match socket {
                Some(socket) => socket.broken().await,
                None => std::future::pending().await,
            }
        }
    }
}

impl fmt::Debug for Inner<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(socket) => socket.fmt(f),
            Self::Other(_) => f.write_str("Other"),
        }
    }
}

/// A stream that is reset when it is dropped, unless all went well.
#[derive(Debug)]
pub(super) struct Armed<S: Stream> {
    stream: S,
    armed: bool,
}

impl<S: Stream> Armed<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, armed: true }
    }

    pub(super) fn wire(&mut self) -> Wire<'_> {
        self.stream.wire()
    }

    pub(super) fn disarm(&mut self) {
        self.armed = false;
    }
}

impl<S: Stream> Drop for Armed<S> {
    fn drop(&mut self) {
        if self.armed {
            self.stream.reset();
        }
    }
}
