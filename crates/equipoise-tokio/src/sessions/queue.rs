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
    /// One write that does what both did, the earlier one first, whether the store has done none or
    /// both of them. If it has done the earlier one alone, and its answer was lost, and that was a
    /// move, then it stays with that: all follow, and a request that finds this backend out moves
    /// the session again.
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

    /// The first ones, so many, go last.
    pub(super) fn last(&mut self, first: usize) {
        self.order.rotate_left(first.min(self.order.len()));
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

#[cfg(test)]
mod tests {
    use super::*;

    const A: BackendId = BackendId::new(1);
    const B: BackendId = BackendId::new(2);
    const C: BackendId = BackendId::new(3);

    fn key(number: u8) -> SessionKey {
        SessionKey::from_bytes([number; 8])
    }

    fn bind(backend: BackendId) -> Pending {
        Pending::Bind { backend, since: Instant::ZERO }
    }

    fn shift(from: BackendId, to: BackendId) -> Pending {
        Pending::Move { from, to, since: Instant::ZERO }
    }

    /// What a store makes of a write.
    fn write(held: Option<BackendId>, pending: Pending) -> Option<BackendId> {
        match pending {
            Pending::Bind { backend, .. } => held.or(Some(backend)),
            Pending::Move { from, to, .. } if held.is_none_or(|held| held == from) => Some(to),
            Pending::Move { .. } => held,
            Pending::Drop => None,
        }
    }

    /// What may happen to a session here that is with `held`.
    fn changes(held: Option<BackendId>) -> Vec<Pending> {
        let all = [A, B, C];
        match held {
            None => all.map(bind).into(),
            Some(held) => {
                let others = all.into_iter().filter(|other| *other != held);
                others.map(|to| shift(held, to)).chain([bind(held), Pending::Drop]).collect()
            }
        }
    }

    /// Every run of changes up to this length, from this state.
    fn runs(held: Option<BackendId>, length: usize) -> Vec<Vec<Pending>> {
        let mut runs = vec![vec![]];
        if length > 0 {
            for change in changes(held) {
                for mut rest in runs_after(held, change, length) {
                    rest.insert(0, change);
                    runs.push(rest);
                }
            }
        }
        runs
    }

    fn runs_after(held: Option<BackendId>, change: Pending, length: usize) -> Vec<Vec<Pending>> {
        // One that was ended and pinned again is another session; see the next test.
        if change == Pending::Drop { vec![vec![]] } else { runs(write(held, change), length - 1) }
    }

    #[test]
    fn one_write_does_what_several_did_whether_the_store_has_done_them_or_not() {
        let mut tested = 0;
        for start in [None, Some(A)] {
            for run in runs(start, 4).into_iter().filter(|run| !run.is_empty()) {
                let expected = run.iter().copied().fold(start, write);
                let merged = run.iter().copied().reduce(Pending::then).unwrap();
                let is_pinned_first = matches!(run[0], Pending::Bind { .. });
                for done in [0, usize::from(is_pinned_first), run.len()] {
                    let held = run[..done].iter().copied().fold(start, write);
                    assert_eq!(write(held, merged), expected, "{run:?}, {done} done: {merged:?}");
                    tested += 1;
                }
            }
        }
        assert!(tested > 500, "{tested}");
    }

    #[test]
    fn one_that_was_ended_and_pinned_again_is_with_whom_the_store_says() {
        assert_eq!(Pending::Drop.then(bind(B)), bind(B));
        assert_eq!(write(Some(A), bind(B)), Some(A));
    }

    #[test]
    fn the_oldest_go_first_and_one_that_comes_again_keeps_its_place() {
        let mut queue = Queue::new(10);
        for number in [1, 2, 3, 1] {
            queue.push(key(number), bind(A));
        }
        queue.push(key(2), shift(A, B));
        let taken = |queue: &mut Queue| -> Vec<_> {
            queue.take(2, Instant::ZERO).into_iter().map(|request| request.key).collect()
        };
        assert_eq!(taken(&mut queue), [key(1), key(2)]);
        assert!(queue.holds(&key(2)) && queue.len() == 3);
        assert!(queue.done(&key(1)) && !queue.holds(&key(1)));
        queue.put_back(key(2));
        queue.last(1);
        assert_eq!(taken(&mut queue), [key(3), key(2)]);
    }

    #[test]
    fn what_comes_while_a_write_is_on_its_way_goes_after_it() {
        let mut queue = Queue::new(10);
        queue.push(key(1), bind(A));
        assert_eq!(queue.take(9, Instant::ZERO).len(), 1);
        queue.push(key(1), shift(A, B));
        assert!(!queue.done(&key(1)), "more is to be written");
        assert_eq!(queue.take(9, Instant::ZERO)[0].verb, shift(A, B).verb(Instant::ZERO));
        queue.push(key(1), shift(B, C));
        queue.put_back(key(1));
        assert_eq!(queue.take(9, Instant::ZERO)[0].verb, shift(A, C).verb(Instant::ZERO));
    }

    #[test]
    fn a_full_queue_drops_the_oldest_and_says_so_once() {
        let mut queue = Queue::new(2);
        let pushed = |dropped, is_first| Pushed { dropped, is_first };
        assert_eq!(queue.push(key(1), bind(A)), pushed(false, false));
        assert_eq!(queue.push(key(2), bind(A)), pushed(false, false));
        assert_eq!(queue.push(key(2), shift(A, B)), pushed(false, false));
        assert_eq!(queue.push(key(3), bind(A)), pushed(true, true));
        assert_eq!(queue.push(key(4), bind(A)), pushed(true, false));
        assert!(!queue.holds(&key(1)) && !queue.holds(&key(2)) && queue.len() == 2);
        assert_eq!(queue.take(9, Instant::ZERO).len(), 2);
        assert_eq!(queue.push(key(5), bind(A)), pushed(true, false), "all are on their way");
        assert!(!queue.holds(&key(5)));
        queue.done(&key(3));
        queue.done(&key(4));
        queue.push(key(6), bind(A));
        queue.push(key(7), bind(A));
        assert_eq!(queue.push(key(8), bind(A)), pushed(true, true), "it was empty meanwhile");
    }

    #[test]
    fn a_write_that_waits_ages() {
        let mut queue = Queue::new(1);
        let age = std::time::Duration::from_secs(3);
        queue.push(key(1), bind(A));
        let taken = queue.take(1, Instant::ZERO + age);
        assert_eq!(taken[0].verb, Verb::Bind { backend: A, age });
    }
}
