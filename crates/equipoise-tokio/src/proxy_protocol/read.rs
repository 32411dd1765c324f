//! A preamble from a stream.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;

use super::{Decoded, Header, MAX_LENGTH, ReadError, Source, Trusted, decode};

/// Room for most preambles and what comes with them, in one read.
const USUAL: usize = 512;

/// Whether a stream has to begin with a preamble.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(clippy::exhaustive_enums, reason = "it may or it must")]
pub enum Mode {
    /// It may. Only for protocols in which the client speaks first: who says nothing is waited for until
    /// the deadline.
    Optional,
    /// It must.
    Required,
}

/// How preambles are received.
///
/// | source | sends | optional | required |
/// |---|---|---|---|
/// | trusted | a preamble | taken | taken |
/// | trusted | something else, or less than a signature | handed on | refused |
/// | not trusted | a preamble | refused | refused |
/// | not trusted | something else | handed on | refused, and nothing is read |
/// | not trusted | less than a signature, until the deadline | refused: the rest may still come | refused, and nothing is read |
///
/// So nobody can name another client, neither to the proxy nor, through it, to a backend.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use equipoise_tokio::proxy_protocol::{Mode, Receiver, Trusted};
///
/// let receiver = Receiver::new(Mode::Required, Trusted::new(["10.0.0.0/8"])?, Duration::from_secs(3));
/// let mut stream = &b"PROXY TCP4 192.0.2.1 192.0.2.2 4321 80\r\nhello"[..];
/// let preamble = receiver.read(&mut stream, "10.1.2.3".parse::<std::net::IpAddr>()?).await?;
/// assert_eq!(preamble.header.and_then(|header| header.source()), Some("192.0.2.1:4321".parse()?));
/// assert_eq!([&preamble.rest, stream].concat(), b"hello");
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Receiver {
    mode: Mode,
    trusted: Trusted,
    limit: Duration,
}

/// What a stream began with.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[allow(clippy::exhaustive_structs, reason = "there is nothing else")]
pub struct Preamble {
    /// The preamble, if there was one.
    pub header: Option<Box<Header>>,
    /// What was read and does not belong to it: it comes before what the stream still has. At most
    /// [`MAX_LENGTH`] bytes.
    pub rest: Vec<u8>,
}

impl Receiver {
    /// Waits no longer than `limit` for a preamble. The specification asks for at least 3 seconds, so that
    /// a packet may be lost.
    pub const fn new(mode: Mode, trusted: Trusted, limit: Duration) -> Self {
        Self { mode, trusted, limit }
    }

    /// Reads the preamble of a stream from this source, and at most [`MAX_LENGTH`] bytes.
    ///
    /// Not to be dropped half-way, or what was read is lost.
    ///
    /// # Errors
    /// There is none that can be used, as the table says.
    pub async fn read<S: AsyncRead + Unpin>(
        &self,
        stream: &mut S,
        from: impl Into<Source>,
    ) -> Result<Preamble, ReadError> {
        let from = from.into();
        let is_trusted = self.trusted.contains(from);
        if !is_trusted && self.mode == Mode::Required {
            return Err(ReadError::Untrusted { from });
        }
        let mut bytes = Vec::with_capacity(USUAL);
        // What was read before the time is over is in `bytes`, not in the future that is dropped.
        let ended = match timeout(self.limit, fill(stream, &mut bytes, is_trusted)).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error),
            Err(_) => Some(ReadError::Timeout { got: bytes.len() }),
        };
        match (decode(&bytes), ended) {
            (Ok(Decoded::Other | Decoded::Incomplete { signed: false }), ended) => match ended {
                Some(ReadError::Io(error)) => Err(error.into()),
                // It may still come, and would name somebody to the backend then.
                Some(late @ ReadError::Timeout { .. }) if !is_trusted => Err(late),
                _ if self.mode == Mode::Optional => Ok(Preamble { header: None, rest: bytes }),
                Some(error) => Err(error),
                None => Err(ReadError::Missing),
            },
            _ if !is_trusted => Err(ReadError::Untrusted { from }),
            (Err(invalid), _) => Err(invalid.into()),
            (Ok(Decoded::Whole(header, length)), _) => {
                bytes.drain(..length);
                Ok(Preamble { header: Some(header), rest: bytes })
            }
            (Ok(Decoded::Incomplete { .. }), ended) => {
                Err(ended.unwrap_or(ReadError::Truncated { got: bytes.len() }))
            }
        }
    }
}

/// Reads until there is a whole preamble, or can't be one; from a source that is not trusted, until it
/// is known that there will be one.
async fn fill<S: AsyncRead + Unpin>(
    stream: &mut S,
    bytes: &mut Vec<u8>,
    is_trusted: bool,
) -> Result<(), ReadError> {
    loop {
        match decode(bytes) {
            Ok(Decoded::Incomplete { signed }) if is_trusted || !signed => {}
            _ => return Ok(()),
        }
        // One read, straight into `bytes`: it is cancelled before it has read, or not at all.
        let room = (MAX_LENGTH - bytes.len()) as u64;
        if (&mut *stream).take(room).read_buf(bytes).await? == 0 {
            return Err(ReadError::Truncated { got: bytes.len() });
        }
    }
}
