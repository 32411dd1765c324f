//! What a store of sessions does, whatever engine it is.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use equipoise_core::BackendId;
use equipoise_sticky::SessionKey;

/// One step of one session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StoreRequest {
    /// The session.
    pub key: SessionKey,
    /// What is to be done.
    pub verb: Verb,
}

/// What is to be done with a session. Doing it twice does no more than doing it once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verb {
    /// Say who has it. Its idle time starts anew.
    Get,
    /// Pin it, unless it is pinned.
    Bind {
        /// To whom.
        backend: BackendId,
        /// How long it has been pinned there.
        age: Duration,
    },
    /// Move it, if it is pinned to `from` or to nobody.
    Move {
        /// Away from whom.
        from: BackendId,
        /// To whom.
        to: BackendId,
        /// How long it has been pinned there.
        age: Duration,
    },
    /// Forget it.
    Drop,
}

/// How long a store keeps sessions. An engine that counts whole milliseconds rounds them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeepTimes {
    /// How long after it was asked for last.
    pub keep: Duration,
    /// By how much less than `keep` a session may have left before the store has to write that it
    /// was asked for: a store need not write at each question.
    pub slack: Duration,
    /// How long a session stays with a backend, however often it is asked for.
    pub lifetime: Option<Duration>,
}

/// Who has a session, after what was done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Held {
    /// Its backend.
    pub backend: BackendId,
    /// How long it has been pinned there.
    pub age: Duration,
}

/// What a store says to one request.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct StoreReply {
    /// Who has the session now.
    pub held: Option<Held>,
    /// A number that changes when the store has lost what it held. `None` if it can't tell.
    pub generation: Option<u64>,
    /// A number that grows with each new connection, behind which there may be a server that does not
    /// know all that another one has answered. 0 where there are none.
    pub connection: u64,
    /// Whether the store held something under the session's key that is no session. It counts as
    /// nothing, and the next write replaces it.
    pub was_malformed: bool,
}

/// Why a store did not do what it was asked to. It may have done it all the same: an answer that
/// was lost is not told from a request that was.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum StoreError {
    /// It did not answer in time.
    Timeout {
        /// How much it had.
        limit: Duration,
    },
    /// It could not be reached, or the connection broke.
    Connection {
        /// Why, in words.
        reason: String,
    },
    /// It answered with an error: it is full, it is read-only, the password is wrong.
    Refused {
        /// What it said.
        reason: String,
    },
    /// Its answer makes no sense.
    Malformed {
        /// What is wrong with it.
        reason: String,
    },
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout { limit } => write!(f, "no answer within {limit:?}"),
            Self::Connection { reason } | Self::Refused { reason } => f.write_str(reason),
            Self::Malformed { reason } => write!(f, "an answer that makes no sense: {reason}"),
        }
    }
}

impl std::error::Error for StoreError {}

/// What came of each of several requests, or why nothing is known of any.
pub type StoreReplies = Result<Vec<Result<StoreReply, StoreError>>, StoreError>;

/// Where sessions are kept for several balancers. Each request is done as a whole, whatever other
/// balancers ask at the same time.
pub trait SessionStore: Send + Sync + 'static {
    /// Does the requests in their order, in one round trip if it can, and answers each.
    ///
    /// It sets itself no limit of time: whoever calls it does, and drops what takes too long.
    fn exchange(
        &self,
        times: KeepTimes,
        requests: &[StoreRequest],
    ) -> impl Future<Output = StoreReplies> + Send;

    /// Gives up the connection, if there is one: it is not trusted any more. Never waits.
    fn reset(&self);
}
