//! A socket that accepts connections.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use equipoise_tokio::socket::{Socket, StreamAddr};
use tokio::net::{TcpListener, UnixListener};

use super::accept::Accept;
use crate::peer::Peer;

/// A socket that accepts connections, by TCP or Unix.
#[derive(Debug)]
pub enum Listener {
    /// By TCP.
    Tcp(TcpListener),
    /// Over a Unix socket.
    Unix(UnixListener),
}

impl Listener {
    /// A socket that listens, and does not block.
    ///
    /// # Errors
    /// What the system says.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub(super) fn new(socket: socket2::Socket) -> io::Result<Self> {
        match address_of(&socket)? {
            StreamAddr::Ip(_) => TcpListener::from_std(socket.into()).map(Self::Tcp),
            StreamAddr::Unix(_) => UnixListener::from_std(socket.into()).map(Self::Unix),
        }
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The system does not say it, or says no address that can be written.
    pub fn local_addr(&self) -> io::Result<StreamAddr> {
        address_of(&socket2::SockRef::from(self))
    }
}

/// Where a socket listens.
pub(super) fn address_of(socket: &socket2::Socket) -> io::Result<StreamAddr> {
    let address = socket.local_addr()?;
    if let Some(ip) = address.as_socket() {
        return Ok(ip.into());
    }
    let path = address.as_pathname().ok_or_else(|| io::Error::other("a socket without a path"))?;
    StreamAddr::unix(path).map_err(io::Error::other)
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(listener) => listener.as_fd(),
            Self::Unix(listener) => listener.as_fd(),
        }
    }
}

impl Accept for Listener {
    type Stream = Socket;
    type Client = Peer;

    async fn accept(&self) -> io::Result<(Socket, Peer)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, client) = Accept::accept(listener).await?;
                Ok((Socket::Tcp(stream), Peer::Ip(client)))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok((Socket::Unix(stream), Peer::Unix))
            }
        }
    }

    fn prepare(&self) {
        if let Self::Tcp(listener) = self {
            listener.prepare();
        }
    }
}
