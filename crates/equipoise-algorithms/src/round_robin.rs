//! Each in turn.

use equipoise_core::{PickContext, Picker, Policy, Slot, View};

use crate::retry::first_allowed;
use crate::rotation::Rotation;

/// Smooth weighted round robin: each backend in turn, as often as its weight says, spread evenly.
///
/// With equal weights it is the plain rotation. With weights 5, 1, 1 it picks a a b a c a a, as
/// nginx does; no backend is ever a whole pick ahead of its share or behind it, so there are no
/// bursts. (LVS and Pingora would pick a a a a a b c.)
///
/// # How
/// The order of one round is worked out when the picker is built, by Tijdeman's solution of the
/// chairman assignment problem (1980), and a pick is one step along it: O(1) at any size. The
/// position belongs to the picking worker (see [`Turn`](equipoise_core::Turn)) as a fraction of a
/// round, so it starts where the seed says, survives updates, and needs no shared counter.
///
/// A round has Σ weight / gcd picks. When that is more than 65,536, an exact schedule would not fit
/// in a cache; the picker then walks an alias table with a golden-ratio sequence. Shares are still
/// exact in the long run and a pick still costs O(1), but a backend may be a few picks off.
///
/// # Complexity
/// A pick: O(1), no write to shared memory through a reader. Building: O(n), or O(s log s) for a
/// schedule of s picks with s distinct weights. Memory: 4 bytes a backend, 2 a pick of the schedule.
///
/// In an explanation the score is always 0: it was the backend's turn.
#[derive(Clone, Copy, Debug, Default)]
pub struct RoundRobin;

/// The picker of [`RoundRobin`].
#[derive(Debug)]
pub struct RoundRobinPicker(Rotation);

impl Policy for RoundRobin {
    type Picker = RoundRobinPicker;

    fn build(&self, view: &View<'_>, _: Option<&RoundRobinPicker>) -> RoundRobinPicker {
        RoundRobinPicker(Rotation::new(view))
    }
}

impl Picker for RoundRobinPicker {
    #[inline]
    fn pick(&self, context: &mut PickContext<'_>) -> Option<Slot> {
        let slot = self.0.next(&mut context.turn)?;
        let slot = if context.tried().contains(slot) {
            // Each try takes a turn of its own: otherwise the backend after a dead one would get
            // the dead one's share.
            first_allowed(context, self.0.slots(), |cx| self.0.next(&mut cx.turn))?
        } else {
            slot
        };
        context.consider(slot, 0.0);
        Some(slot)
    }
}
