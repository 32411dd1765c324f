//! Stream sockets: TCP or Unix, and where they are.

mod address;

use std::io::{self, IoSlice};
use std::net::SocketAddr;
#[cfg(unix)]
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;

pub use address::{BadAddress, StreamAddr, UnixPath};

/// A connection by TCP or over a Unix socket.
#[derive(Debug)]
#[allow(clippy::exhaustive_enums, reason = "tokio has no other stream sockets")]
pub enum Socket {
    /// By TCP.
    Tcp(TcpStream),
    /// Over a Unix socket.
    #[cfg(unix)]
    Unix(UnixStream),
}

/// The same of either.
macro_rules! either {
    ($socket:expr, $stream:ident => $what:expr) => {
        match $socket {
            Self::Tcp($stream) => $what,
            #[cfg(unix)]
            Self::Unix($stream) => $what,
        }
    };
}

impl Socket {
    /// Connects over a Unix socket. It does not wait: the system says at once whether somebody listens.
    ///
    /// # Errors
    /// The system's; [`io::ErrorKind::WouldBlock`], if as many clients wait to be accepted as may.
    /// [`io::ErrorKind::Unsupported`], where there are no Unix sockets.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn connect_unix(path: &UnixPath) -> io::Result<Self> {
        #[cfg(unix)]
        return UnixStream::connect(path).await.map(Self::Unix);
        #[cfg(not(unix))]
        Err(io::Error::new(io::ErrorKind::Unsupported, format!("no Unix sockets here: {path:?}")))
    }

    /// The IP address and port of this side, of a TCP connection. A system call.
    pub fn local_ip(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(stream) => stream.local_addr().ok(),
            #[cfg(unix)]
            Self::Unix(_) => None,
        }
    }

    /// Does `io`, if tokio takes the socket to be ready, and has tokio wait for it to be ready again if `io` fails
    /// with [`io::ErrorKind::WouldBlock`], as [`TcpStream::try_io`].
    ///
    /// # Errors
    /// Those of `io`; [`io::ErrorKind::WouldBlock`] if the socket is not ready.
    pub fn try_io<R>(
        &self,
        interest: Interest,
        io: impl FnOnce() -> io::Result<R>,
    ) -> io::Result<R> {
        either!(self, stream => stream.try_io(interest, io))
    }

    /// Waits until the connection is known to be broken: reset, by TCP. Nothing is read, and an end of what
    /// the peer has to say is no break. For ever where the system does not tell (others than Linux).
    pub async fn broken(&self) {
        #[cfg(target_os = "linux")]
        let ready = either!(self, stream => stream.ready(Interest::ERROR).await);
        // The runtime is being shut down.
        #[cfg(target_os = "linux")]
        if ready.is_ok() {
            return;
        }
        std::future::pending::<()>().await;
    }

    /// Has a TCP connection reset when it is closed. A Unix socket has no way to say so.
    pub fn set_zero_linger(&self) {
        match self {
            Self::Tcp(stream) => _ = stream.set_zero_linger(),
            #[cfg(unix)]
            Self::Unix(_) => {}
        }
    }
}

impl From<TcpStream> for Socket {
    fn from(stream: TcpStream) -> Self {
        Self::Tcp(stream)
    }
}

#[cfg(unix)]
impl From<UnixStream> for Socket {
    fn from(stream: UnixStream) -> Self {
        Self::Unix(stream)
    }
}

#[cfg(unix)]
impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        either!(self, stream => stream.as_fd())
    }
}

#[cfg(feature = "relay")]
impl crate::relay::Stream for Socket {
    fn wire(&mut self) -> crate::relay::Wire<'_> {
        either!(self, stream => stream.wire())
    }

    fn reset(&mut self) {
        either!(self, stream => stream.reset());
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        either!(self.get_mut(), stream => Pin::new(stream).poll_read(context, buffer))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        either!(self.get_mut(), stream => Pin::new(stream).poll_write(context, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self.get_mut(), stream => Pin::new(stream).poll_write_vectored(context, slices))
    }

    fn is_write_vectored(&self) -> bool {
        either!(self, stream => stream.is_write_vectored())
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self.get_mut(), stream => Pin::new(stream).poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self.get_mut(), stream => Pin::new(stream).poll_shutdown(context))
    }
}
