//! How a connection ended, and what has passed until then.

use std::fmt;
use std::sync::atomic::AtomicU64;

/// Bytes that have been passed on: that the other side's socket has taken. Of a connection that was cut,
/// the last of them may not have arrived.
#[derive(Debug, Default)]
pub struct Bytes {
    /// From the client to the backend.
    pub from_client: AtomicU64,
    /// From the backend to the client.
    pub from_backend: AtomicU64,
}

/// How a connection ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum End {
    /// Both sides said all they had to say.
    Closed,
    /// Reading from the client or writing to it failed.
    BrokenByClient,
    /// Reading from the backend or writing to it failed.
    BrokenByBackend,
    /// No byte passed for [`Limits::idle`](super::Limits::idle).
    Idle,
    /// One direction had ended, and no byte passed in the other for
    /// [`Limits::half_closed`](super::Limits::half_closed).
    HalfClosed,
    /// It lasted for [`Limits::total`](super::Limits::total).
    TooLong,
    /// The caller ended it: the backend was taken out.
    TakenOut,
}

impl End {
    /// In a few words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::BrokenByClient => "broken by client",
            Self::BrokenByBackend => "broken by backend",
            Self::Idle => "idle for too long",
            Self::HalfClosed => "half-closed for too long",
            Self::TooLong => "open for too long",
            Self::TakenOut => "the backend was taken out",
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
