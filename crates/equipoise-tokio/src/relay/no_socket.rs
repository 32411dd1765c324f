//! No sockets that are known as such: elsewhere than on Linux they are streams like any other. There is
//! never a `Socket`.

use std::convert::Infallible;
use std::io;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::task::{Context, Poll};

use tokio::io::Interest;

#[derive(Clone, Copy, Debug)]
pub(super) struct Socket<'a>(Infallible, PhantomData<&'a ()>);

impl Socket<'_> {
    pub(super) fn poll_read_into<R>(
        self,
        _: &mut Context<'_>,
        _: &mut [MaybeUninit<u8>],
        _: impl FnOnce(&[u8], &mut Context<'_>) -> R,
    ) -> Poll<io::Result<R>> {
        match self.0 {}
    }

    pub(super) fn poll_write(self, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        match self.0 {}
    }

    pub(super) fn poll_ready(self, _: &mut Context<'_>, _: Interest) -> Poll<io::Result<()>> {
        match self.0 {}
    }

    pub(super) fn shutdown(self) -> io::Result<()> {
        match self.0 {}
    }

    pub(super) async fn broken(self) {
        match self.0 {}
    }
}
