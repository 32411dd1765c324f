//! Writes that the store has not done yet.

use std::collections::{BTreeMap, VecDeque};

use equipoise_core::{BackendId, Instant};
use equipoise_sticky::SessionKey;

use super::store::{StoreRequest, Verb};

/// What is to be written of one session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Pending {
    Bind { backend: BackendId, since: Instant },
    Move { from: BackendId, to: BackendId, since: Instant },
    Drop,
}

impl Pending {
    /// One write that does what both did, the earlier one first. The store may have done the
    /// earlier one already.
    fn then(self, later: Self) -> Self {
        match (self, later) {
            (
                Self::Bind { backend: from, since } | Self::Move { from, since, .. },
                Self::Move { to, .. },
            ) if from != to => Self::Move { from, to, since },
            // It is back where it was.
            (Self::Bind { .. } | Self::Move { .. }, Self::Move { to, since, .. }) => {
                Self::Bind { backend: to, since }
            }
            // A bind that follows a pin says what that pin says.
            (pinned @ (Self::Bind { .. } | Self::Move { .. }), Self::Bind { .. }) => pinned,
            (_, later) => later,
        }
    }

    fn verb(self, now: Instant) -> Verb {
        match self {
            Self::Bind { backend, since } => Verb::Bind { backend, age: now.since(since) },
            Self::Move { from, to, since } => Verb::Move { from, to, age: now.since(since) },
            Self::Drop => Verb::Drop,
        }
    }
}

/// Writes in the order in which their sessions came, one a session, up to a number. Those that are
/// on their way count as well, until they are [done](Self::done) or [put back](Self::put_back).
pub(super) struct Queue {
    order: VecDeque<SessionKey>,
    waiting: BTreeMap<SessionKey, Pending>,
    on_their_way: BTreeMap<SessionKey, Pending>,
    capacity: usize,
    /// Whether a write was dropped since the queue was empty last.
    has_overflowed: bool,
}

/// What became of the queue when a write came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Pushed {
    /// Whether the oldest one was dropped for it.
    pub(super) dropped: bool,
    /// Whether that was the first since the queue was empty.
    pub(super) is_first: bool,
}

impl Queue {
    pub(super) fn new(capacity: usize) -> Self {
        let (order, waiting, on_their_way) = Default::default();
        Self { order, waiting, on_their_way, capacity: capacity.max(1), has_overflowed: false }
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len().saturating_add(self.on_their_way.len())
    }

    /// Whether something is to be written of this session.
    pub(super) fn holds(&self, key: &SessionKey) -> bool {
        self.waiting.contains_key(key) || self.on_their_way.contains_key(key)
    }

    pub(super) fn push(&mut self, key: SessionKey, pending: Pending) -> Pushed {
        let mut pushed = Pushed { dropped: false, is_first: false };
        if let Some(earlier) = self.waiting.get_mut(&key) {
            *earlier = earlier.then(pending);
            return pushed;
        }
        if self.len() >= self.capacity {
            let oldest = self.order.pop_front();
            let Some(oldest) = oldest else {
                // All are on their way, and this one finds no place.
                return self.overflow();
            };
            self.waiting.remove(&oldest);
            pushed = self.overflow();
        }
        self.order.push_back(key);
        self.waiting.insert(key, pending);
        pushed
    }

    fn overflow(&mut self) -> Pushed {
        let is_first = !std::mem::replace(&mut self.has_overflowed, true);
        Pushed { dropped: true, is_first }
    }

    /// The oldest ones, up to `most`; they are on their way now, and nothing else is.
    pub(super) fn take(&mut self, most: usize, now: Instant) -> Vec<StoreRequest> {
        let mut taken = Vec::new();
        while taken.len() < most {
            let Some(key) = self.order.pop_front() else { break };
            let Some(pending) = self.waiting.remove(&key) else { continue };
            self.on_their_way.insert(key, pending);
            taken.push(StoreRequest { key, verb: pending.verb(now) });
        }
        taken
    }

    /// The store has done this one. Whether nothing more is to be written of the session.
    pub(super) fn done(&mut self, key: &SessionKey) -> bool {
        self.on_their_way.remove(key);
        if self.len() == 0 {
            self.has_overflowed = false;
        }
        !self.waiting.contains_key(key)
    }

    /// The store has not done this one, as far as one knows.
    pub(super) fn put_back(&mut self, key: SessionKey) {
        let Some(earlier) = self.on_their_way.remove(&key) else { return };
        if let Some(later) = self.waiting.get_mut(&key) {
            *later = earlier.then(*later);
        } else {
            self.waiting.insert(key, earlier);
            self.order.push_front(key);
        }
    }
}
