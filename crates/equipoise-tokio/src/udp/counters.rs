//! What is counted of UDP sessions and datagrams.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use super::session::End;
use super::way::Sent;

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
///
/// Of each client's datagram that was read, one count says where it went: on to a backend, dropped, or
/// it waits. The counts are read one after the other, so those of a moment under load need not add up.
#[derive(Debug, Default)]
pub struct Counters {
    sessions: AtomicUsize,
    opened: AtomicU64,
    ended: [AtomicU64; 5],
    waiting: AtomicUsize,
    from_clients: AtomicU64,
    to_backends: AtomicU64,
    from_backends: AtomicU64,
    to_clients: AtomicU64,
    dropped: [AtomicU64; 4],
}

impl Counters {
    /// How many sessions there are.
    pub fn sessions(&self) -> usize {
        self.sessions.load(Relaxed)
    }

    /// How many sessions there have been, those that got no backend too.
    pub fn opened(&self) -> u64 {
        self.opened.load(Relaxed)
    }

    /// How many sessions have ended so. One that got no backend, or was cut off with its runtime, has
    /// not: [`opened`](Self::opened) counts it, and no end.
    pub fn ended(&self, how: End) -> u64 {
        self.ended[how as usize].load(Relaxed)
    }

    /// How many bytes wait for sessions that have no backend yet.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Relaxed)
    }

    /// How many datagrams of clients were read.
    pub fn from_clients(&self) -> u64 {
        self.from_clients.load(Relaxed)
    }

    /// How many datagrams of clients were sent to backends.
    pub fn to_backends(&self) -> u64 {
        self.to_backends.load(Relaxed)
    }

    /// How many datagrams of backends were read.
    pub fn from_backends(&self) -> u64 {
        self.from_backends.load(Relaxed)
    }

    /// How many datagrams of backends were sent to clients.
    pub fn to_clients(&self) -> u64 {
        self.to_clients.load(Relaxed)
    }

    /// How many datagrams were dropped, and why.
    pub fn dropped(&self, why: Dropped) -> u64 {
        self.dropped[why as usize].load(Relaxed)
    }

    pub(super) fn drop_some(&self, why: Dropped, count: usize) {
        if count > 0 {
            self.dropped[why as usize].fetch_add(count as u64, Relaxed);
        }
    }

    pub(super) fn read_of_clients(&self, count: usize) {
        self.from_clients.fetch_add(count as u64, Relaxed);
    }

    pub(super) fn read_of_a_backend(&self, count: usize) {
        self.from_backends.fetch_add(count as u64, Relaxed);
    }

    pub(super) fn sent_to_backend(&self, sent: Sent) {
        self.to_backends.fetch_add(sent.count as u64, Relaxed);
        self.drop_some(Dropped::Unsent, sent.unsent);
    }

    pub(super) fn sent_to_client(&self, sent: Sent) {
        self.to_clients.fetch_add(sent.count as u64, Relaxed);
        self.drop_some(Dropped::Unsent, sent.unsent);
    }

    /// Takes a place, if fewer than `most` are taken.
    pub(super) fn enter(&self, most: usize) -> bool {
        let one_more = |now| (now < most).then_some(now + 1);
        let is_in = self.sessions.fetch_update(Relaxed, Relaxed, one_more).is_ok();
        self.opened.fetch_add(u64::from(is_in), Relaxed);
        is_in
    }

    pub(super) fn leave(&self) {
        self.sessions.fetch_sub(1, Relaxed);
    }

    pub(super) fn end(&self, how: End) {
        self.ended[how as usize].fetch_add(1, Relaxed);
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
