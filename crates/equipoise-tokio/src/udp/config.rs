//! The limits of UDP sessions, and what is counted.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

/// The limits of a listener's sessions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UdpConfig {
    /// A session ends when neither side has sent anything for so long. 60 s by default.
    pub idle: Duration,
    /// As many sessions as there may be over all listeners that share [`Counters`]: 10,000 by default.
    /// Each has a file descriptor. When it is reached, datagrams of new clients are dropped; no session
    /// that lives makes way.
    pub max_sessions: usize,
    /// A session ends after so many answers, as nginx's `proxy_responses`: 1 suits DNS. `None`, the
    /// default, ends none for that.
    pub responses: Option<NonZeroU32>,
}

impl Default for UdpConfig {
    fn default() -> Self {
        Self { idle: Duration::from_secs(60), max_sessions: 10_000, responses: None }
    }
}

/// Why a datagram was dropped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Dropped {
    /// A new client's, and there are as many sessions as may be.
    Full,
    /// Its session got no backend, or ended before the datagram could be sent.
    Unserved,
    /// More came than is kept while a session gets its backend.
    Waiting,
    /// The system did not take it: its buffer was full, or the datagram is too large for the way.
    Unsent,
}

/// What happens, counted; listeners may share one.
#[derive(Debug, Default)]
pub struct Counters {
    sessions: AtomicUsize,
    waiting: AtomicUsize,
    dropped: [AtomicU64; 4],
}

impl Counters {
    /// How many sessions there are.
    pub fn sessions(&self) -> usize {
        self.sessions.load(Relaxed)
    }

    /// How many bytes wait for sessions that have no backend yet.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Relaxed)
    }

    /// How many datagrams were dropped, and why.
    pub fn dropped(&self, why: Dropped) -> u64 {
        self.dropped[why as usize].load(Relaxed)
    }

    pub(super) fn drop_some(&self, why: Dropped, count: usize) {
        self.dropped[why as usize].fetch_add(count as u64, Relaxed);
    }

    /// Takes a place, if fewer than `most` are taken.
    pub(super) fn enter(&self, most: usize) -> bool {
        let one_more = |now| (now < most).then_some(now + 1);
        self.sessions.fetch_update(Relaxed, Relaxed, one_more).is_ok()
    }

    pub(super) fn leave(&self) {
        self.sessions.fetch_sub(1, Relaxed);
    }

    /// Sets memory aside for a datagram that waits, if less than `most` is.
    pub(super) fn keep(&self, bytes: usize, most: usize) -> bool {
        let more = |now: usize| (now + bytes <= most).then_some(now + bytes);
        self.waiting.fetch_update(Relaxed, Relaxed, more).is_ok()
    }

    pub(super) fn release(&self, bytes: usize) {
        self.waiting.fetch_sub(bytes, Relaxed);
    }
}
