//! Drawing backends at random, in proportion to weight.

use alloc::boxed::Box;
use alloc::vec::Vec;

use equipoise_core::{Rng, Slot, View};

use crate::alias::{Alias, scale};

/// The admitted backends, to be drawn with the probability of their share.
#[derive(Debug)]
pub(crate) struct Lottery {
    slots: Box<[Slot]>,
    /// Only where weights differ.
    alias: Option<Alias>,
}

impl Lottery {
    pub(crate) fn new(view: &View<'_>) -> Self {
        let (slots, weights): (Vec<Slot>, Vec<u16>) =
            view.admitted().map(|(slot, _, weight)| (slot, weight.get())).unzip();
        let equal = weights.windows(2).all(|w| w[0] == w[1]);
        Self { slots: slots.into(), alias: (!equal).then(|| Alias::new(&weights)) }
    }

    /// The admitted backends, in the order of their slots.
    pub(crate) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// The index in [`slots`](Self::slots) that a uniform 64-bit number draws.
    #[inline]
    pub(crate) fn draw_index(&self, random: u64) -> usize {
        match &self.alias {
            None => scale(random, self.slots.len()).0,
            Some(alias) => alias.at(random),
        }
    }

    /// Two different indices, of at least two backends: the first with the probability of its
    /// share, the second uniform over the others. `random` is uniform; `rng` gives more, if need
    /// be.
    #[inline]
    pub(crate) fn draw_pair(&self, random: u64, rng: &mut Rng) -> (usize, usize) {
        let first = self.draw_index(random);
        // The first came of the upper bits; an alias table uses the lower ones too.
        let fresh = if self.alias.is_none() { random } else { rng.next_u64() };
        let others = (self.slots.len() - 1) as u64;
        let second = (((fresh & u64::from(u32::MAX)) * others) >> 32) as usize;
        (first, second + usize::from(second >= first))
    }
}
