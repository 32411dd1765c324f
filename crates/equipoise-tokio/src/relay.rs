//! Bytes between two connections, each direction ending by itself.
//!
//! A [`Relay`] is made once and shared; [`Relay::run`] serves one pair of connections to its end.
//!
//! * **Ends** are passed on as what they are. The end of one direction becomes a half-close of the other
//!   side, and the other direction goes on: a client may send its question, close, and wait for the
//!   answer. When one side breaks off, the other sees a reset: an orderly end would tell it that it has
//!   everything.
//! * **Back-pressure**: a side that does not read is not read for. What is in flight is bounded: 16 KiB a
//!   direction by copy, and 256 KiB, in the kernel, by splice.
//! * **Cost**: a connection on which nothing happens holds no buffer and no pipe, only the state of the
//!   future, about 1.3 KiB with both sockets.
//! * **Splice**: on Linux a direction between two sockets that has filled two buffers in a row goes on by
//!   [splice(2)], which moves pages without entering user space, until its bytes come in small pieces
//!   again. Pipes are shared by all connections of a relay. When none can be had, bytes are copied; none
//!   are lost.
//!
//! [splice(2)]: https://man7.org/linux/man-pages/man2/splice.2.html

mod direction;
mod end;
mod limits;
#[cfg_attr(not(target_os = "linux"), path = "relay/no_pipe.rs")]
mod pipe;
mod session;
#[cfg_attr(not(target_os = "linux"), path = "relay/no_socket.rs")]
mod socket;
mod stream;

use std::pin::pin;
use std::sync::Arc;

pub use end::{Bytes, End};
pub use limits::Limits;
pub use stream::{ByCopy, Duplex, Stream, Wire};

use pipe::Pipes;
use session::Session;
use stream::Armed;

/// How many pipes a relay uses at most, unless it is told otherwise. Of 256 KiB each, they are what
/// Linux allows a user without privileges (`/proc/sys/fs/pipe-user-pages-soft`).
const MAX_PIPES: usize = 256;

/// Relays between pairs of connections. Clones share their pipes.
#[derive(Clone, Debug)]
pub struct Relay {
    limits: Limits,
    pipes: Arc<Pipes>,
}

/// What a relay holds and has done, over all of its connections and clones.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Usage {
    /// Pipes that are open, two file descriptors each.
    pub pipes: usize,
    /// Those of them that nobody uses at the moment, at most 32.
    pub idle_pipes: usize,
    /// Bytes that went by splice.
    pub spliced: u64,
    /// How often a pipe was wanted and could not be had, so that bytes were copied.
    pub refused: u64,
}

impl Relay {
    /// A relay that ends connections at these limits, and uses at most 256 pipes.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, pipes: Arc::new(Pipes::new(MAX_PIPES)) }
    }

    /// With at most `max` pipes at a time, of two file descriptors and up to 256 KiB of the kernel's
    /// memory each. Directions beyond that are copied; with 0, all are.
    #[must_use]
    pub fn with_max_pipes(self, max: usize) -> Self {
        Self { limits: self.limits, pipes: Arc::new(Pipes::new(max)) }
    }

    /// The same pipes under other limits.
    #[must_use]
    pub fn with_limits(&self, limits: Limits) -> Self {
        Self { limits, pipes: Arc::clone(&self.pipes) }
    }

    /// What the relay holds and has done. O(1).
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.pipes.usage()
    }

    /// Relays until both directions have ended, one side has broken off, a limit is hit, or `taken_out`
    /// is ready. Then both connections are closed: in order after [`End::Closed`], else with a reset.
    ///
    /// `first` has the bytes that were read from the client before; they go to the backend first.
    /// `bytes` counts what has been passed on, `first` among it, while this runs.
    ///
    /// Dropping the future closes both connections with a reset.
    ///
    /// # Panics
    /// Outside of a tokio runtime; with limits, in one without its timer.
    ///
    /// # Examples
    /// ```
    /// use std::sync::atomic::Ordering::Relaxed;
    /// use equipoise_tokio::relay::{Bytes, End, Limits, Relay};
    /// use tokio::io::{AsyncReadExt, AsyncWriteExt};
    /// use tokio::net::{TcpListener, TcpStream};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// async fn pair() -> std::io::Result<(TcpStream, TcpStream)> {
    ///     let listener = TcpListener::bind("127.0.0.1:0").await?;
    ///     let near = TcpStream::connect(listener.local_addr()?).await?;
    ///     Ok((near, listener.accept().await?.0))
    /// }
    /// let (mut client, from_client) = pair().await?;
    /// let (to_backend, mut backend) = pair().await?;
    ///
    /// let relay = Relay::new(Limits::default());
    /// let (bytes, never) = (Bytes::default(), std::future::pending());
    /// let relayed = relay.run(from_client, b"PROXY UNKNOWN\r\n".to_vec(), to_backend, &bytes, never);
    /// let talk = async {
    ///     client.write_all(b"question").await?;
    ///     client.shutdown().await?;
    ///     let mut heard = String::new();
    ///     backend.read_to_string(&mut heard).await?;
    ///     assert_eq!(heard, "PROXY UNKNOWN\r\nquestion");
    ///     backend.write_all(b"answer").await?;
    ///     drop(backend);
    ///     client.read_to_string(&mut String::new()).await
    /// };
    /// let (end, told) = tokio::join!(relayed, talk);
    /// assert_eq!((end, told?), (End::Closed, 6));
    /// assert_eq!(bytes.from_backend.load(Relaxed), 6);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn run<C: Stream, B: Stream>(
        &self,
        client: C,
        first: Vec<u8>,
        backend: B,
        bytes: &Bytes,
        taken_out: impl Future<Output = ()>,
    ) -> End {
        let (mut client, mut backend) = (Armed::new(client), Armed::new(backend));
        let mut session = Session::new(client.wire(), first, backend.wire(), &self.pipes, bytes);
        let end = session.run(&self.limits, pin!(taken_out)).await;
        if end == End::Closed {
            client.disarm();
            backend.disarm();
        }
        end
    }
}
