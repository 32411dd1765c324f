//! How much more a table may hold: in sessions and in bytes, over all of its shards.

use crate::primitive::{AtomicUsize, Ordering};

/// Both caps. Room is taken before it is used and given back after, so a cap is never passed.
#[derive(Debug)]
pub(crate) struct Room {
    sessions: AtomicUsize,
    max_sessions: usize,
    bytes: AtomicUsize,
    max_bytes: usize,
}

impl Room {
    /// With so many bytes in use from the start.
    pub(crate) fn new(max_sessions: usize, bytes: usize, max_bytes: Option<usize>) -> Self {
        Self {
            sessions: AtomicUsize::new(0),
            max_sessions,
            bytes: AtomicUsize::new(bytes),
            max_bytes: max_bytes.unwrap_or(usize::MAX),
        }
    }

    /// Takes the room of a session.
    pub(crate) fn take(&self) -> bool {
        take(&self.sessions, 1, self.max_sessions)
    }

    /// Gives the room of so many sessions back.
    pub(crate) fn give_back(&self, sessions: usize) {
        self.sessions.fetch_sub(sessions, Ordering::Relaxed);
    }

    pub(crate) fn take_bytes(&self, bytes: usize) -> bool {
        take(&self.bytes, bytes, self.max_bytes)
    }

    pub(crate) fn give_back_bytes(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(crate) fn sessions(&self) -> usize {
        self.sessions.load(Ordering::Relaxed)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}

fn take(used: &AtomicUsize, more: usize, max: usize) -> bool {
    let mut now = used.load(Ordering::Relaxed);
    loop {
        let Some(then) = now.checked_add(more).filter(|&then| then <= max) else { return false };
        match used.compare_exchange_weak(now, then, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => return true,
            Err(changed) => now = changed,
        }
    }
}
