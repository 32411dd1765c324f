//! Bytes both ways, each direction ending by itself.

use std::fmt;
use std::sync::atomic::AtomicU64;

use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;

use crate::counted::Counted;

/// Bytes that have passed.
#[derive(Debug, Default)]
pub(crate) struct Bytes {
    pub(crate) from_client: AtomicU64,
    pub(crate) from_backend: AtomicU64,
}

/// How a connection ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// Both sides said all they had to say.
    Closed,
    BrokenByClient,
    BrokenByBackend,
    /// The backend was taken out.
    TakenOut,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "closed",
            Self::BrokenByClient => "broken by client",
            Self::BrokenByBackend => "broken by backend",
            Self::TakenOut => "the backend was taken out",
        })
    }
}

/// Relays until both directions have ended. The end of one is passed on as a half-close, and the
/// other goes on: a client may send its question, close, and wait for the answer.
///
/// If one side breaks off, so does the relay, with a reset: an orderly end would tell the other
/// side that it has everything.
///
/// So it is when the backend is `gone`.
///
/// What was read from the client already, `first`, goes first.
pub(crate) async fn relay(
    client: TcpStream,
    first: Vec<u8>,
    backend: TcpStream,
    bytes: &Bytes,
    gone: impl Future<Output = ()>,
) -> End {
    let mut client = Counted::new(client, first, &bytes.from_client);
    let mut backend = Counted::new(backend, Vec::new(), &bytes.from_backend);
    let copied = tokio::select! {
        copied = copy_bidirectional(&mut client, &mut backend) => Some(copied.is_ok()),
        () = gone => None,
    };
    if copied == Some(true) {
        return End::Closed;
    }
    let _ = client.stream.set_zero_linger();
    let _ = backend.stream.set_zero_linger();
    if copied.is_none() {
        End::TakenOut
    } else if backend.broken {
        End::BrokenByBackend
    } else {
        End::BrokenByClient
    }
}
