//! Pipes for `splice`, shared by the connections of a relay.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};

use parking_lot::Mutex;
use rustix::io::Errno;
use rustix::pipe::{
    PipeFlags, SpliceFlags, fcntl_getpipe_size, fcntl_setpipe_size, pipe_with, splice,
};
use tokio::io::Interest;

use super::Usage;
use super::socket::Socket;

/// What a pipe is asked to hold, in bytes. Larger ones leave the processor's cache.
const SIZE: usize = 256 * 1024;

/// With less than this, in bytes, copying is cheaper.
const LEAST: usize = 64 * 1024;

/// How many pipes are kept for later.
const SPARE: usize = 32;

#[derive(Debug)]
pub(super) struct Pipes {
    max: usize,
    state: Mutex<State>,
    spliced: AtomicU64,
    refused: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    idle: Vec<Ends>,
    open: usize,
}

#[derive(Debug)]
struct Ends {
    output: OwnedFd,
    input: OwnedFd,
    size: usize,
}

/// A pipe on loan. It goes back when it is dropped empty; one with bytes in it is closed, so that they
/// never get into another connection.
#[derive(Debug)]
pub(super) struct Pipe {
    /// None only while it is dropped.
    ends: Option<Ends>,
    held: usize,
    pipes: Arc<Pipes>,
}

impl Pipes {
    pub(super) fn new(max: usize) -> Self {
        Self {
            max,
            state: Mutex::default(),
            spliced: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    pub(super) fn usage(&self) -> Usage {
        let state = self.state.lock();
        Usage {
            pipes: state.open,
            idle_pipes: state.idle.len(),
            spliced: self.spliced.load(Relaxed),
            refused: self.refused.load(Relaxed),
        }
    }

    /// An empty pipe, if there is one to be had.
    pub(super) fn take(self: &Arc<Self>) -> Option<Pipe> {
        let lend = |ends| Pipe { ends: Some(ends), held: 0, pipes: Arc::clone(self) };
        {
            let mut state = self.state.lock();
            if let Some(ends) = state.idle.pop() {
                return Some(lend(ends));
            }
            if state.open < self.max {
                state.open += 1;
                drop(state);
                if let Some(ends) = Ends::open() {
                    return Some(lend(ends));
                }
                self.state.lock().open -= 1;
            }
        }
        self.refused.fetch_add(1, Relaxed);
        None
    }
}

impl Ends {
    /// None without file descriptors, or if the user has so much in pipes that Linux gives it only
    /// small ones.
    fn open() -> Option<Self> {
        let (output, input) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok()?;
        let size = fcntl_setpipe_size(&input, SIZE).or_else(|_| fcntl_getpipe_size(&input)).ok()?;
        (size >= LEAST).then_some(Self { output, input, size })
    }
}

impl Pipe {
    /// How many bytes are in it.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// Takes bytes from `socket` into this pipe, which is empty: if nothing can be had now, it is
    /// because the socket has nothing. Ready with 0 at the end.
    pub(super) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        socket: Socket<'_>,
    ) -> Poll<io::Result<usize>> {
        let (ends, held) = (self.ends.as_ref().expect("it is lent"), &mut self.held);
        socket.poll_io(cx, Interest::READABLE, || {
            let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
            *held = splice(socket, None, &ends.input, None, ends.size, flags)?;
            Ok(*held)
        })
    }

    /// Puts bytes of this pipe, which is not empty, into `socket`.
    pub(super) fn poll_drain(
        &mut self,
        cx: &mut Context<'_>,
        socket: Socket<'_>,
    ) -> Poll<io::Result<usize>> {
        let (ends, held) = (self.ends.as_ref().expect("it is lent"), &mut self.held);
        let passed = socket.poll_io(cx, Interest::WRITABLE, || {
            let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
            let passed = splice(&ends.output, None, socket, None, *held, flags)?;
            *held -= passed;
            Ok(passed)
        });
        if let Poll::Ready(Ok(passed)) = passed {
            self.pipes.spliced.fetch_add(passed as u64, Relaxed);
        }
        passed
    }

    /// Reads all that is in the pipe.
    ///
    /// # Errors
    /// The pipe has less than what went in, which no kernel does.
    pub(super) fn rescue(mut self) -> io::Result<Vec<u8>> {
        let ends = self.ends.as_ref().expect("it is lent");
        let mut bytes = vec![0; self.held];
        while self.held > 0 {
            let from = bytes.len() - self.held;
            match rustix::io::read(&ends.output, &mut bytes[from..])? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => self.held -= read,
            }
        }
        Ok(bytes)
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        let ends = self.ends.take();
        let mut state = self.pipes.state.lock();
        match ends {
            Some(ends) if self.held == 0 && state.idle.len() < SPARE => state.idle.push(ends),
            ends => {
                state.open -= 1;
                drop(state);
                drop(ends);
            }
        }
    }
}

/// Whether an error says that these files can't be spliced, and nothing about the connection.
pub(super) fn is_unsuited(error: &io::Error) -> bool {
    let unsuited = [Errno::INVAL, Errno::NOSYS, Errno::PERM, Errno::OPNOTSUPP, Errno::NOMEM];
    error.raw_os_error().is_some_and(|code| unsuited.iter().any(|no| no.raw_os_error() == code))
}
