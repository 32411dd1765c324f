//! A socket on Linux.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::task::{Context, Poll, ready};

use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};
use tokio::io::Interest;
use tokio::net::{TcpStream, UnixStream};

#[derive(Clone, Copy, Debug)]
pub(super) enum Socket<'a> {
    Tcp(&'a TcpStream),
    Unix(&'a UnixStream),
}

impl Socket<'_> {
    /// Reads once into `space`, and hands over what came: nothing at the end.
    pub(super) fn poll_read_into<R>(
        self,
        cx: &mut Context<'_>,
        space: &mut [MaybeUninit<u8>],
        take: impl FnOnce(&[u8], &mut Context<'_>) -> R,
    ) -> Poll<io::Result<R>> {
        loop {
            ready!(self.poll_ready(cx, Interest::READABLE))?;
            let mut came = None;
            let tried = self.try_io(Interest::READABLE, || {
                let ((filled, rest), _) = recv(self, &mut *space, RecvFlags::empty())?;
                let is_short = !filled.is_empty() && !rest.is_empty();
                came = Some(&*filled);
                all_or_blocked(!is_short)
            });
            match (came, tried) {
                (Some(bytes), _) => return Poll::Ready(Ok(take(bytes, cx))),
                (None, Err(error)) if !again(&error) => return Poll::Ready(Err(error)),
                _ => {}
            }
        }
    }

    pub(super) fn poll_write(self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.poll_ready(cx, Interest::WRITABLE))?;
            let mut written = None;
            let tried = self.try_io(Interest::WRITABLE, || {
                let count = send(self, bytes, SendFlags::NOSIGNAL)?;
                written = Some(count);
                all_or_blocked(count == bytes.len())
            });
            match (written, tried) {
                (Some(count), _) => return Poll::Ready(Ok(count)),
                (None, Err(error)) if !again(&error) => return Poll::Ready(Err(error)),
                _ => {}
            }
        }
    }

    /// Does `io` when the socket is ready, until it does not block.
    pub(super) fn poll_io(
        self,
        cx: &mut Context<'_>,
        interest: Interest,
        mut io: impl FnMut() -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.poll_ready(cx, interest))?;
            match self.try_io(interest, &mut io) {
                Err(error) if again(&error) => {}
                done => return Poll::Ready(done),
            }
        }
    }

    pub(super) fn shutdown(self) -> io::Result<()> {
        Ok(shutdown(self, Shutdown::Write)?)
    }

    /// Waits until the socket has an error.
    pub(super) async fn broken(self) {
        let ready = match self {
            Self::Tcp(stream) => stream.ready(Interest::ERROR).await,
            Self::Unix(stream) => stream.ready(Interest::ERROR).await,
        };
        // The runtime is being shut down.
        if ready.is_err() {
            std::future::pending::<()>().await;
        }
    }

    pub(super) fn poll_ready(
        self,
        cx: &mut Context<'_>,
        interest: Interest,
    ) -> Poll<io::Result<()>> {
        match (self, interest.is_readable()) {
            (Self::Tcp(stream), true) => stream.poll_read_ready(cx),
            (Self::Tcp(stream), false) => stream.poll_write_ready(cx),
            (Self::Unix(stream), true) => stream.poll_read_ready(cx),
            (Self::Unix(stream), false) => stream.poll_write_ready(cx),
        }
    }

    fn try_io<R>(self, interest: Interest, io: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
        match self {
            Self::Tcp(stream) => stream.try_io(interest, io),
            Self::Unix(stream) => stream.try_io(interest, io),
        }
    }
}

impl AsFd for Socket<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}

/// Less than was asked for shows that there is no more for now, as epoll(7) says. Tokio is told so, and
/// saves us the system call that finds out.
fn all_or_blocked(all: bool) -> io::Result<()> {
    if all { Ok(()) } else { Err(io::ErrorKind::WouldBlock.into()) }
}

fn again(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
