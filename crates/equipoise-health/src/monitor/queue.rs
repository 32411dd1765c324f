//! Whom to look at when.

use alloc::collections::BinaryHeap;
use core::cmp::Reverse;

use equipoise_core::{BackendId, Instant};

use super::{Member, Members};

/// Whom to look at when, the earliest first.
///
/// An entry is not taken out when its member is planned anew, but passed over when its time comes: it
/// counts only if the member still has that time.
#[derive(Default, Debug)]
pub(super) struct Queue(BinaryHeap<Reverse<(Instant, BackendId)>>);

impl Queue {
    /// When to look at the first one; it may be one to pass over.
    pub(super) fn first(&self) -> Option<Instant> {
        self.0.peek().map(|Reverse((due, _))| *due)
    }

    /// Takes the first one, if its time has come.
    pub(super) fn pop(&mut self, now: Instant) -> Option<(Instant, BackendId)> {
        let first = self.0.peek_mut().filter(|first| first.0.0 <= now)?;
        Some(alloc::collections::binary_heap::PeekMut::pop(first).0)
    }

    pub(super) fn extend(&mut self, entry: Option<(Instant, BackendId)>) {
        self.0.extend(entry.map(Reverse));
    }

    /// Drops the entries to pass over, once they are more than the others: a time may be a day away, and
    /// many are planned anew by then. O(1) for each entry that was added.
    pub(super) fn prune(&mut self, members: &Members, time: impl Fn(&Member) -> Option<Instant>) {
        if self.0.len() > Self::most(members.len()) {
            self.0.clear();
            let planned = members.iter().filter_map(|(id, m)| Some(Reverse((time(m)?, *id))));
            self.0.extend(planned);
        }
    }

    /// How many entries it has at most, with so many members.
    pub(super) const fn most(members: usize) -> usize {
        2 * members + 64
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
