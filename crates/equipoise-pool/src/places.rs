//! The limit on a backend's requests in flight.

use crate::primitive::{AtomicU32, Ordering};

/// A number of places, of which each request in flight takes one.
///
/// Without a limit nothing is counted and nothing is written.
#[derive(Debug)]
pub(crate) struct Places {
    /// 0: no limit.
    limit: AtomicU32,
    taken: AtomicU32,
}

/// How a request got in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Entry {
    /// There was no limit, so nothing is to be given back.
    Free,
    /// It took a place, which must be given back.
    Placed,
}

impl Places {
    /// So many places; `None` for no limit.
    pub(crate) fn new(limit: Option<core::num::NonZeroU32>) -> Self {
        let limit = limit.map_or(0, core::num::NonZeroU32::get);
        Self { limit: AtomicU32::new(limit), taken: AtomicU32::new(0) }
    }

    /// Changes the limit. Requests above a lowered limit run on; requests that came in while there
    /// was none are not counted.
    pub(crate) fn set_limit(&self, limit: Option<core::num::NonZeroU32>) {
        self.limit.store(limit.map_or(0, core::num::NonZeroU32::get), Ordering::Relaxed);
    }

    /// The limit; 0 for none.
    pub(crate) fn limit(&self) -> u32 {
        self.limit.load(Ordering::Relaxed)
    }

    /// Whether nobody can get in.
    pub(crate) fn is_full(&self) -> bool {
        let limit = self.limit();
        limit != 0 && self.taken.load(Ordering::Relaxed) >= limit
    }

    /// Takes a place; `None` if there is none. Never lets one more in than the limit, and never
    /// turns one away while there is a place.
    #[inline]
    pub(crate) fn enter(&self) -> Option<Entry> {
        match self.limit() {
            0 => Some(Entry::Free),
            limit => self.take(limit),
        }
    }

    fn take(&self, limit: u32) -> Option<Entry> {
        // Relaxed: the count guards no memory but itself.
        self.taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| (n < limit).then(|| n + 1))
            .ok()
            .map(|_| Entry::Placed)
    }

    /// Gives back what [`enter`](Self::enter) took.
    #[inline]
    pub(crate) fn leave(&self, entry: Entry) {
        if entry == Entry::Placed {
            self.taken.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
