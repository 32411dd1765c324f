//! What a request brings to a pick.

use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

use crate::{Considered, HashKey, Instant, Rng, Slot, SlotSet};

/// What a request brings to a pick, besides the snapshot: its key, what it has tried, the time,
/// and the picking worker's randomness and turn.
///
/// A pool makes it; a test or a simulator makes its own:
///
/// ```
/// use equipoise_core::{PickContext, Rng, Turn};
///
/// let (mut rng, mut turn) = (Rng::seeded(1), 0);
/// let mut context = PickContext::new(&mut rng, Turn::Own(&mut turn));
/// assert!(context.tried().is_empty() && context.key().is_none());
/// assert!(context.rng.below(10) < 10);
/// ```
pub struct PickContext<'a> {
    /// The worker's random generator.
    pub rng: &'a mut Rng,
    /// The worker's position in the rotation of round-robin policies.
    pub turn: Turn<'a>,
    now: Instant,
    key: Option<HashKey>,
    tried: &'a SlotSet,
    considered: Option<&'a mut Vec<Considered>>,
}

impl<'a> PickContext<'a> {
    /// A request without a key, at the epoch, that has tried nothing.
    #[inline]
    pub const fn new(rng: &'a mut Rng, turn: Turn<'a>) -> Self {
        const NOTHING: &SlotSet = &SlotSet::EMPTY;
        Self { rng, turn, now: Instant::ZERO, key: None, tried: NOTHING, considered: None }
    }

    /// Sets the time.
    #[inline]
    pub const fn at(mut self, now: Instant) -> Self {
        self.now = now;
        self
    }

    /// Sets the key that hash policies pick by.
    #[inline]
    pub const fn with_key(mut self, key: Option<HashKey>) -> Self {
        self.key = key;
        self
    }

    /// Sets the slots that must not be picked.
    #[inline]
    pub const fn avoiding(mut self, tried: &'a SlotSet) -> Self {
        self.tried = tried;
        self
    }

    /// Asks the picker to note in `list` whom it considers, and with what score.
    #[inline]
    pub const fn explained(mut self, list: Option<&'a mut Vec<Considered>>) -> Self {
        self.considered = list;
        self
    }

    /// The same context, borrowed for a call. Hand this to what is rarely called and not inlined:
    /// the context itself then stays in registers.
    #[inline]
    pub fn reborrow(&mut self) -> PickContext<'_> {
        PickContext {
            rng: self.rng,
            turn: self.turn.reborrow(),
            now: self.now,
            key: self.key,
            tried: self.tried,
            considered: self.considered.as_deref_mut(),
        }
    }

    /// The time of the pick.
    #[inline]
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// The request's key, if it has one.
    #[inline]
    pub const fn key(&self) -> Option<HashKey> {
        self.key
    }

    /// The slots that must not be picked. They may be any slots, also ones not admitted.
    ///
    /// Where this is not empty, the request has been here before: it tries again. A policy that
    /// takes turns should then draw at random instead. Were the retry to use up a turn, two
    /// backends would fall into step, and every request would meet the dead one first.
    #[inline]
    pub const fn tried(&self) -> &SlotSet {
        self.tried
    }

    /// Whether somebody wants to know why; a picker may then take a slower way to the same answer.
    #[inline]
    pub const fn is_explained(&self) -> bool {
        self.considered.is_some()
    }

    /// Notes that the picker looked at a backend and gave it this score: the lower, the better, in
    /// a unit that the policy documents. Does nothing, at the price of one branch, when nobody
    /// asked.
    #[inline]
    pub fn consider(&mut self, slot: Slot, score: f64) {
        if let Some(list) = self.considered.as_deref_mut() {
            note(list, slot, score);
        }
    }
}

/// Out of line, so that pickers stay small enough to be inlined into the pool's pick.
#[cold]
#[inline(never)]
fn note(list: &mut Vec<Considered>, slot: Slot, score: f64) {
    list.push(Considered::new(slot, score));
}

impl fmt::Debug for PickContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PickContext")
            .field("now", &self.now)
            .field("key", &self.key)
            .field("tried", &self.tried)
            .finish_non_exhaustive()
    }
}

/// A position in a rotation, as a fraction of one round: 2⁶⁴ is once around.
///
/// It belongs to whoever picks, not to the picker, and so survives every update: after one, the
/// rotation goes on where it was. A worker that owns its turn moves it with a plain addition, and
/// shares no cache line with the others; a turn that several threads share makes one rotation of
/// all their picks, for the price of a contended atomic addition.
///
/// With n equal backends a pick advances by 2⁶⁴ / n, and a position stands for the backend number
/// (position · n) / 2⁶⁴:
///
/// ```
/// use equipoise_core::Turn;
///
/// let (n, mut position) = (3_u64, 0);
/// let mut turn = Turn::Own(&mut position);
/// let mut next = || (u128::from(turn.advance(u64::MAX / n + 1)) * u128::from(n)) >> 64;
/// assert_eq!([next(), next(), next(), next()], [0, 1, 2, 0]);
/// ```
#[derive(Debug)]
pub enum Turn<'a> {
    /// This worker's own.
    Own(&'a mut u64),
    /// Shared by all who pick.
    Shared(&'a AtomicU64),
}

impl Turn<'_> {
    /// The same turn, borrowed for one more pick.
    #[inline]
    pub const fn reborrow(&mut self) -> Turn<'_> {
        match self {
            Self::Own(turn) => Turn::Own(turn),
            Self::Shared(turn) => Turn::Shared(turn),
        }
    }

    /// Moves on by `step` and returns the position before; wraps around.
    #[inline]
    pub fn advance(&mut self, step: u64) -> u64 {
        match self {
            Self::Own(turn) => {
                let before = **turn;
                **turn = before.wrapping_add(step);
                before
            }
            // Relaxed: the position orders nothing but itself.
            Self::Shared(turn) => turn.fetch_add(step, Ordering::Relaxed),
        }
    }
}
