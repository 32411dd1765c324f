//! What changed in a table, for whoever follows it: another balancer, or a store.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use equipoise_core::BackendId;

use crate::SessionKey;

/// A change of a table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Delta {
    /// A session was bound.
    Bound {
        /// The session.
        key: SessionKey,
        /// Its backend.
        backend: BackendId,
    },
    /// A session moved.
    Rebound {
        /// The session.
        key: SessionKey,
        /// Where it was.
        from: BackendId,
        /// Where it is.
        to: BackendId,
    },
    /// A session was used. Only with [`refreshes`](crate::TableBuilder::refreshes), and not each time.
    Refreshed {
        /// The session.
        key: SessionKey,
        /// Its backend.
        backend: BackendId,
    },
    /// A session is no more.
    Removed {
        /// The session.
        key: SessionKey,
        /// Where it was.
        backend: BackendId,
        /// Why.
        cause: Removal,
    },
    /// A backend was unbound, and so were all of its sessions. No other change tells of them.
    BackendUnbound {
        /// The backend.
        backend: BackendId,
    },
}

/// Why a session is no more.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Removal {
    /// [`unbind_session`](crate::Table::unbind_session) was called.
    Unbound,
    /// Its time was up.
    Expired,
    /// The table was full, and it was the one that had been idle for longest in a sample.
    Evicted,
}

/// What [`take_deltas`](crate::Table::take_deltas) returns.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Deltas {
    /// The changes in their order. Those of one session are in the order in which they were made.
    pub changes: Vec<Delta>,
    /// How many older changes were dropped since the last call. If any were, start anew from an export.
    pub lost: u64,
}

/// Whoever is told of changes.
pub(crate) trait Record {
    fn record(&mut self, delta: Delta);
}

/// The changes that nobody has taken yet.
#[derive(Debug)]
pub(crate) struct Journal {
    changes: VecDeque<Delta>,
    max: usize,
    lost: u64,
}

/// What a journal of so many changes takes at the most.
pub(super) const fn bytes(max: usize) -> usize {
    // A queue doubles, and the old one is there while it does.
    max.saturating_mul(3 * size_of::<Delta>())
}

impl Journal {
    /// `None` if it is to keep nothing.
    pub(crate) fn new(max: usize) -> Option<Self> {
        (max > 0).then(|| Self { changes: VecDeque::new(), max, lost: 0 })
    }

    pub(crate) fn take(&mut self) -> Deltas {
        let changes = core::mem::take(&mut self.changes).into();
        Deltas { changes, lost: core::mem::take(&mut self.lost) }
    }
}

impl Record for Journal {
    fn record(&mut self, delta: Delta) {
        if self.changes.len() >= self.max {
            self.changes.pop_front();
            self.lost = self.lost.saturating_add(1);
        }
        self.changes.push_back(delta);
    }
}

impl Record for Option<Journal> {
    #[inline]
    fn record(&mut self, delta: Delta) {
        if let Some(journal) = self {
            journal.record(delta);
        }
    }
}
