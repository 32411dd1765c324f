//! Turns, in proportion to weight.

use alloc::boxed::Box;
use alloc::vec::Vec;

use equipoise_core::{PickContext, Slot, Turn, View};

use crate::alias::{Alias, scale};
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
    /// The round would be too long: a low-discrepancy sequence through an alias table.
    Sampled(Alias),
}

/// 2⁶⁴ over the golden ratio. Multiples of it modulo 2⁶⁴ visit every interval in proportion to its
/// length with the least possible discrepancy (Knuth, TAOCP 3, section 6.4, theorem S), and come
/// back to an interval of length 1/k within about 3k steps.
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
            (Order::Sampled(Alias::new(&weights)), GOLDEN)
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
        self.at(turn.advance(self.step))
    }

    /// A backend for a request that has tried some: at random, in proportion to weight, not by
    /// turns. The next turn, left where it is, would give the backend after a dead one twice its
    /// share; used up, it would make two backends fall into step, so that every request meets the
    /// dead one first. `None` if no other is admitted.
    #[cold]
    #[inline(never)]
    pub(crate) fn retry(&self, mut context: PickContext<'_>) -> Option<Slot> {
        first_allowed(&mut context, &self.slots, |cx| self.at(cx.rng.next_u64()))
    }

    #[inline]
    fn at(&self, position: u64) -> Option<Slot> {
        let index = match &self.order {
            Order::Equal => scale(position, self.slots.len()).0,
            Order::Schedule(round) => usize::from(*round.get(scale(position, round.len()).0)?),
            Order::Sampled(alias) => alias.at(position),
        };
        self.slots.get(index).copied()
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
