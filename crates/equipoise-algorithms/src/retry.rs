//! Picking again, for a request that has tried some backends or met full ones.

use equipoise_core::{PickContext, Slot};

/// How often a policy draws anew before it goes through the list.
const DRAWS: usize = 16;

/// The index of the first slot that may be picked, of a few that `draw` proposes, and then of `slots`
/// from a random place on. `None` only if there is none.
#[cold]
#[inline(never)]
pub(crate) fn first_allowed(
    context: &mut PickContext<'_>,
    slots: &[Slot],
    mut draw: impl FnMut(&mut PickContext<'_>) -> usize,
) -> Option<usize> {
    for _ in 0..DRAWS {
        let index = draw(context);
        if !context.tried().contains(*slots.get(index)?) {
            return Some(index);
        }
    }
    let start = context.rng.below(slots.len() as u32) as usize;
    (start..slots.len()).chain(0..start).find(|&index| !context.tried().contains(slots[index]))
}
