//! Turns, in proportion to weight.

use alloc::boxed::Box;
use alloc::vec::Vec;

use equipoise_core::{PickContext, Slot, Turn, View};

use crate::alias::scale;
use crate::intervals::Intervals;
use crate::retry::first_allowed;
use crate::schedule::schedule;

/// The admitted backends in an order that gives each its share, walked by a [`Turn`].
#[derive(Debug)]
pub(crate) struct Rotation {
    slots: Box<[Slot]>,
    /// How far one pick moves the turn.
    step: u64,
    order: Order,
}

#[derive(Debug)]
enum Order {
    /// All weights are equal: one after the other.
    Equal,
    /// One round, as indices into `slots`.
    Schedule(Box<[u16]>),
    /// The round would be too long: a low-discrepancy sequence through intervals as long as the
    /// weights.
    Sampled(Intervals),
}

/// 2⁶⁴ over the golden ratio. Multiples of it modulo 2⁶⁴ visit every interval in proportion to its
/// length, never off by more than a few visits, and come back to one of length 1/k within about 3k
/// steps (the three-distance theorem; Knuth, TAOCP 3, section 6.4, theorem S).
///
/// That holds for one interval a backend. It would not hold for the pieces of an alias table: there
/// a visit is to a column and a place within it, and with a Fibonacci number of columns the place
/// hardly moves.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

impl Rotation {
    pub(crate) fn new(view: &View<'_>) -> Self {
        let (slots, weights): (Vec<Slot>, Vec<u16>) =
            view.admitted().map(|(slot, _, weight)| (slot, weight.get())).unzip();
        let (order, step) = if weights.windows(2).all(|w| w[0] == w[1]) {
            (Order::Equal, step(slots.len()))
        } else if let Some(round) = schedule(&weights) {
            let step = step(round.len());
            (Order::Schedule(round), step)
        } else {
            (Order::Sampled(Intervals::new(&weights)), GOLDEN)
        };
        Self { slots: slots.into(), step, order }
    }

    /// The admitted backends, in the order of their slots.
    pub(crate) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// Whose turn it is. `None` if nobody is admitted.
    #[inline]
    pub(crate) fn next(&self, turn: &mut Turn<'_>) -> Option<Slot> {
        self.slots.get(self.index_at(turn.advance(self.step))).copied()
    }

    /// A backend for a request that has tried some: at random, in proportion to weight, not by
    /// turns. The next turn, left where it is, would give the backend after a dead one twice its
    /// share; used up, it would make two backends fall into step, so that every request meets the
    /// dead one first. `None` if no other is admitted.
    #[cold]
    #[inline(never)]
    pub(crate) fn retry(&self, mut context: PickContext<'_>) -> Option<Slot> {
        let draw = |cx: &mut PickContext<'_>| self.index_at(cx.rng.next_u64());
        first_allowed(&mut context, &self.slots, draw).map(|index| self.slots[index])
    }

    #[inline]
    fn index_at(&self, position: u64) -> usize {
        match &self.order {
            Order::Equal => scale(position, self.slots.len()).0,
            Order::Schedule(round) => usize::from(round[scale(position, round.len()).0]),
            Order::Sampled(intervals) => intervals.at(position),
        }
    }
}

/// One `len`th of a turn, rounded up so that `len` steps from 0 visit 0, 1, 2, ... The rounding
/// shifts a round by less than `len` / 2⁶⁴.
fn step(len: usize) -> u64 {
    match len as u64 {
        0 | 1 => 0,
        len => u64::MAX / len + 1,
    }
}
