//! What a client says before it has a backend.

use std::io::ErrorKind::{Interrupted, WouldBlock};
use std::io::{self, Read};
use std::time::Duration;

use equipoise_tokio::socket::Socket;
use socket2::SockRef;
use tokio::io::{AsyncReadExt, Interest};
use tokio::time::timeout;

use crate::client_hello::{Asked, ClientHello, Progress};

/// Most bytes that are read before a backend is picked. A ClientHello with post-quantum key shares
/// has about 2 KiB.
const MAX: usize = 16 * 1024;

/// Room for most ClientHellos, in one read.
const USUAL: usize = 2 * 1024;

/// The bytes that a client sent first, all of them still to be passed on, and what they say.
#[derive(Debug, Default)]
pub(crate) struct FirstBytes {
    pub(crate) bytes: Vec<u8>,
    /// What a ClientHello asks for, or what was agreed upon with a client whose TLS ends here.
    pub(crate) asked: Asked,
}

impl FirstBytes {
    /// What the client has said already, without waiting for it: most clients that speak first have by the
    /// time they are accepted.
    ///
    /// # Errors
    /// The client's connection is broken.
    pub(crate) fn at_hand(client: &Socket) -> io::Result<Self> {
        let (mut space, mut said) = ([0; USUAL], 0);
        // Tokio takes a socket that was just accepted to be ready. Less than there was room for is all there is:
        // it is told so, and saves us the system call that finds out.
        let tried = client.try_io(Interest::READABLE, || {
            said = (&*SockRef::from(client)).read(&mut space)?;
            if (1..USUAL).contains(&said) { Err(WouldBlock.into()) } else { Ok(()) }
        });
        match tried {
            Err(error) if !matches!(error.kind(), WouldBlock | Interrupted) => Err(error),
            _ => Ok(Self { bytes: space[..said].to_vec(), asked: Asked::default() }),
        }
    }

    /// Reads until there is a ClientHello, or can't be one: the client says something else, says no more,
    /// or takes longer than `limit`. It begins with what was read already, `given`.
    ///
    /// # Errors
    /// The client's connection is broken.
    pub(crate) async fn read(
        client: &mut Socket,
        given: Vec<u8>,
        limit: Duration,
    ) -> io::Result<Self> {
        let mut first = Self { bytes: given, asked: Asked::default() };
        first.bytes.reserve(USUAL);
        // What was read before the time is over is in `first`, not in the future that is dropped.
        timeout(limit, first.read_hello(client)).await.unwrap_or(Ok(()))?;
        Ok(first)
    }

    async fn read_hello(&mut self, client: &mut Socket) -> io::Result<()> {
        let mut hello = ClientHello::default();
        let mut before = 0;
        loop {
            if before < self.bytes.len() {
                match hello.read(&self.bytes[before..]) {
                    Progress::Incomplete => {}
                    Progress::Hello(asked) => {
                        self.asked = asked;
                        return Ok(());
                    }
                    Progress::Other => return Ok(()),
                }
            }
            before = self.bytes.len();
            // One read, straight into `bytes`: it is cancelled before it has read, or not at all.
            let room = (MAX - before) as u64;
            if client.take(room).read_buf(&mut self.bytes).await? == 0 {
                return Ok(());
            }
        }
    }
}
