//! No pipes: only Linux has `splice`. There is never a `Pipe`.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::Usage;
use super::socket::Socket;

#[derive(Debug)]
pub(super) struct Pipes;

#[derive(Debug)]
pub(super) struct Pipe(Infallible);

impl Pipes {
    pub(super) fn new(_max: usize) -> Self {
        Self
    }

    pub(super) fn usage(&self) -> Usage {
        Usage::default()
    }

    pub(super) fn take(self: &Arc<Self>) -> Option<Pipe> {
        None
    }
}

impl Pipe {
    pub(super) fn held(&self) -> usize {
        match self.0 {}
    }

    pub(super) fn poll_fill(
        &mut self,
        _: &mut Context<'_>,
        _: Socket<'_>,
    ) -> Poll<io::Result<usize>> {
        match self.0 {}
    }

    pub(super) fn poll_drain(
        &mut self,
        _: &mut Context<'_>,
        _: Socket<'_>,
    ) -> Poll<io::Result<usize>> {
        match self.0 {}
    }

    pub(super) fn rescue(self) -> io::Result<Vec<u8>> {
        match self.0 {}
    }
}

pub(super) fn is_unsuited(_: &io::Error) -> bool {
    false
}
