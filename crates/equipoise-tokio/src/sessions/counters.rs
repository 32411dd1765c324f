//! What shared sessions have done, in numbers and in words.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use equipoise_core::Instant;

use super::store::StoreError;

/// What shared sessions have done since they were made. All but the last two only grow.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct SharedCounters {
    /// Lookups that were answered from the local table.
    pub hits_local: u64,
    /// Lookups that the store answered with a backend.
    pub hits_remote: u64,
    /// Lookups that found nothing.
    pub misses: u64,
    /// Writes that the store has done.
    pub writes: u64,
    /// Writes after which another backend than the wanted one had the session.
    pub conflicts_followed: u64,
    /// Questions that had no answer in time.
    pub timeouts: u64,
    /// Questions that failed otherwise: the connection broke, the answer made no sense.
    pub failures: u64,
    /// Questions that the store answered with an error.
    pub refused: u64,
    /// Questions that were not asked, since too many waited already.
    pub shed: u64,
    /// Keys of the store that held something that is no session.
    pub malformed: u64,
    /// Local pins that the store had lost and got again.
    pub reseeded: u64,
    /// Writes that were dropped, since the queue was full.
    pub dropped: u64,
    /// Writes in the queue, now.
    pub queued: usize,
    /// Since when the store is down, if it is.
    pub down_since: Option<Instant>,
}

macro_rules! tallies {
    ($($name:ident),* $(,)?) => {
        /// The same, as threads count them.
        #[derive(Default)]
        pub(super) struct Tallies { $(pub(super) $name: Tally),* }

        impl Tallies {
            pub(super) fn read(&self, queued: usize, down_since: Option<Instant>) -> SharedCounters {
                SharedCounters { $($name: self.$name.0.load(Ordering::Relaxed),)* queued, down_since }
            }
        }
    };
}

tallies!(
    hits_local,
    hits_remote,
    misses,
    writes,
    conflicts_followed,
    timeouts,
    failures,
    refused,
    shed,
    malformed,
    reseeded,
    dropped,
);

#[derive(Default)]
pub(super) struct Tally(AtomicU64);

impl Tally {
    pub(super) fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Something that an operator may want to know. `Display` says it in words.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum StoreNotice {
    /// The store is not asked any more.
    Down {
        /// Why: the last of the failures.
        because: StoreError,
    },
    /// The store is asked again.
    Up {
        /// After how long.
        after: Duration,
        /// How many queued writes it has got.
        replayed: usize,
        /// Of how many of these another backend had the session.
        followed: usize,
    },
    /// The store has lost what it held.
    DataLost,
    /// The store answers, but does not write: it is full, say. Told once, until it writes again.
    WritesRefused {
        /// What it said.
        because: StoreError,
    },
    /// The store writes again.
    WritesAccepted,
    /// The queue is full and writes are dropped. Told once, until the queue was empty.
    Overflow {
        /// How many it holds.
        capacity: usize,
    },
}

impl fmt::Display for StoreNotice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Down { because } => write!(
                f,
                "the session store is down: {because}; sessions go by what this balancer knows"
            ),
            Self::Up { after, replayed, followed } => write!(
                f,
                "the session store is up, after {} ms; {replayed} queued writes replayed, another \
                 balancer was first in {followed} of them",
                after.as_millis()
            ),
            Self::DataLost => f.write_str(
                "the session store has lost its data; sessions are put back as they are used",
            ),
            Self::WritesRefused { because } => {
                write!(f, "the session store takes no writes: {because}; they are queued")
            }
            Self::WritesAccepted => f.write_str("the session store takes writes again"),
            Self::Overflow { capacity } => write!(
                f,
                "more than {capacity} writes wait for the session store; the oldest are dropped"
            ),
        }
    }
}
