//! One direction of a connection: bytes in, bytes out, never more than one buffer or pipe of them.

use std::io;
use std::mem::MaybeUninit;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};

use tokio::io::Interest;

use super::pipe::{Pipe, Pipes, is_unsuited};
use super::stream::Wire;

/// What is read at once by copy, in bytes. It is on the stack, and costs nothing while a connection waits.
const BUFFER: usize = 16 * 1024;

/// A direction that fills so many buffers in a row is worth two system calls a piece and a pipe.
const FULL_BUFFERS: u8 = 2;

/// After so many bytes other connections have their turn.
const TURN: usize = 1024 * 1024;

/// Which side broke.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    From,
    To,
}

/// What a direction waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// Bytes to read.
    Reading,
    /// Room for what has been read.
    Writing,
    /// The end has been read; all is on its way.
    Ending,
    /// The end has been passed on.
    Ended,
}

#[derive(Debug)]
pub(super) struct Direction<'a> {
    phase: Phase,
    pipes: &'a Arc<Pipes>,
    passed: &'a AtomicU64,
    /// Bytes that were read into memory and not passed on yet, from `start` on.
    held: Vec<u8>,
    start: usize,
    /// A pipe on loan, while this direction goes by splice and has bytes.
    pipe: Option<Pipe>,
    /// How many full buffers were read in a row.
    full: u8,
    /// Whether the two streams can be spliced, as far as is known.
    may_splice: bool,
    /// Whether something was written and not flushed.
    unflushed: bool,
}

impl<'a> Direction<'a> {
    pub(super) fn new(first: Vec<u8>, pipes: &'a Arc<Pipes>, passed: &'a AtomicU64) -> Self {
        Self {
            phase: Phase::Reading,
            pipes,
            passed,
            held: first,
            start: 0,
            pipe: None,
            full: 0,
            may_splice: true,
            unflushed: false,
        }
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase
    }

    /// Passes on what there is. `moved` grows by the bytes that were. Ready when the end has been passed
    /// on, again and again; with `is_last` both connections are closed then, which passes on the end of a
    /// socket.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Wire<'_>,
        to: &mut Wire<'_>,
        is_last: bool,
        moved: &mut usize,
    ) -> Poll<Result<(), Fault>> {
        let before = *moved;
        while self.phase != Phase::Ended {
            if *moved - before >= TURN {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            ready!(self.poll_drain(cx, to, moved)).map_err(|_| Fault::To)?;
            if self.phase == Phase::Ending {
                if !is_last || to.socket().is_none() {
                    ready!(to.poll_shutdown(cx)).map_err(|_| Fault::To)?;
                }
                self.phase = Phase::Ended;
                break;
            }
            self.phase = Phase::Reading;
            let Poll::Ready(more) = self.poll_fill(cx, from, to, moved)? else {
                // It is empty: others may have it.
                self.pipe = None;
                ready!(self.poll_flush(cx, to)).map_err(|_| Fault::To)?;
                return Poll::Pending;
            };
            self.phase = if more { Phase::Writing } else { Phase::Ending };
        }
        self.pipe = None;
        Poll::Ready(Ok(()))
    }

    /// Passes on all that is held.
    fn poll_drain(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut Wire<'_>,
        moved: &mut usize,
    ) -> Poll<io::Result<()>> {
        if let (Some(pipe), Some(socket)) = (&mut self.pipe, to.socket()) {
            while pipe.held() > 0 {
                match ready!(pipe.poll_drain(cx, socket)) {
                    Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    Ok(passed) => {
                        *moved += passed;
                        self.passed.fetch_add(passed as u64, Relaxed);
                    }
                    Err(error) if is_unsuited(&error) => {
                        self.may_splice = false;
                        self.held = self.pipe.take().map_or(Ok(Vec::new()), Pipe::rescue)?;
                        break;
                    }
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
        }
        while self.start < self.held.len() {
            let passed = match to.poll_write(cx, &self.held[self.start..]) {
                Poll::Ready(passed) => passed?,
                Poll::Pending => {
                    ready!(self.poll_flush(cx, to))?;
                    return Poll::Pending;
                }
            };
            self.start += passed;
            self.note(passed, moved);
        }
        if self.start > 0 {
            (self.held, self.start) = (Vec::new(), 0);
        }
        Poll::Ready(Ok(()))
    }

    /// Reads once, when nothing is held. Ready with false at the end.
    fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Wire<'_>,
        to: &mut Wire<'_>,
        moved: &mut usize,
    ) -> Poll<Result<bool, Fault>> {
        if self.may_splice && self.full >= FULL_BUFFERS {
            if let (Some(source), Some(_)) = (from.socket(), to.socket()) {
                // Only who has bytes takes a pipe.
                ready!(source.poll_ready(cx, Interest::READABLE)).map_err(|_| Fault::From)?;
                self.pipe = self.pipe.take().or_else(|| self.pipes.take());
                if let Some(pipe) = &mut self.pipe {
                    match ready!(pipe.poll_fill(cx, source)) {
                        Ok(came) => {
                            if came < BUFFER {
                                self.full = 0;
                            }
                            return Poll::Ready(Ok(came > 0));
                        }
                        Err(error) if is_unsuited(&error) => self.may_splice = false,
                        Err(_) => return Poll::Ready(Err(Fault::From)),
                    }
                }
                self.full = 0;
            } else {
                self.may_splice = false;
            }
        }
        self.poll_copy(cx, from, to, moved)
    }

    /// Reads once and writes at once. What can't be written is held.
    fn poll_copy(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Wire<'_>,
        to: &mut Wire<'_>,
        moved: &mut usize,
    ) -> Poll<Result<bool, Fault>> {
        // A pipe that is not used is somebody else's.
        self.pipe = None;
        let mut space = [MaybeUninit::uninit(); BUFFER];
        // What is `Pending` outside is reading, inside it is writing.
        let came = from.poll_read_into(cx, &mut space, |bytes, cx| {
            self.full = if bytes.len() == BUFFER { self.full.saturating_add(1) } else { 0 };
            let mut rest = bytes;
            while !rest.is_empty() {
                let Poll::Ready(passed) = to.poll_write(cx, rest)? else {
                    self.held = rest.to_vec();
                    break;
                };
                rest = &rest[passed..];
                self.note(passed, moved);
            }
            Ok(!bytes.is_empty())
        });
        came.map(|came: io::Result<io::Result<bool>>| {
            came.map_err(|_| Fault::From)?.map_err(|_| Fault::To)
        })
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>, to: &mut Wire<'_>) -> Poll<io::Result<()>> {
        if self.unflushed {
            ready!(to.poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    fn note(&mut self, passed: usize, moved: &mut usize) {
        self.unflushed = true;
        *moved += passed;
        self.passed.fetch_add(passed as u64, Relaxed);
    }
}
