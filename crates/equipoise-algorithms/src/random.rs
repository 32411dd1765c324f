//! Anyone.

use equipoise_core::{PickContext, Picker, Policy, Slot, View};

use crate::lottery::Lottery;
use crate::retry::first_allowed;

/// Weighted random: each pick is independent, and hits a backend with the probability of its share.
///
/// It keeps no state at all, so any number of balancers need no agreement; the price is that loads
/// vary: of n requests on m backends, a backend gets n/m give or take √(n/m).
///
/// # Complexity
/// A pick: O(1), one random number; with unequal weights also one look-up in an alias table (Walker,
/// 1977). Building: O(n). Memory: 4 bytes a backend, or 20 with unequal weights.
///
/// In an explanation the score is always 0.
#[derive(Clone, Copy, Debug, Default)]
pub struct Random;

/// The picker of [`Random`].
#[derive(Debug)]
pub struct RandomPicker(Lottery);

impl Policy for Random {
    type Picker = RandomPicker;

    fn build(&self, view: &View<'_>, _: Option<&RandomPicker>) -> RandomPicker {
        RandomPicker(Lottery::new(view))
    }
}

impl Picker for RandomPicker {
    #[inline(always)]
    fn pick(&self, context: &mut PickContext<'_>) -> Option<Slot> {
        let slots = self.0.slots();
        let draw = |cx: &mut PickContext<'_>| self.0.draw_index(cx.rng.next_u64());
        let index = if context.tried().is_empty() {
            draw(context)
        } else {
            first_allowed(&mut context.reborrow(), slots, draw)?
        };
        let slot = *slots.get(index)?;
        context.consider(slot, 0.0);
        Some(slot)
    }
}
