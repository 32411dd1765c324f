//! The least busy of all.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use equipoise_core::{BackendId, PickContext, Picker, Policy, Slot, Tracker, View};

use crate::load_tree::{LoadTree, Seat, Segment, best, exclude, word};
use crate::rotation::Rotation;

/// Least connections, exactly: the backend with the fewest requests in flight per weight, of all.
///
/// Ties go by smooth weighted round robin, never to the first in the list: an idle pool is a plain
/// rotation in proportion to weight. "Exact" is meant of what the counters say; requests that other
/// threads are picking at the same moment may not be counted yet.
///
/// Exactness has a price where several balancers share the backends: each sees only its own
/// requests, and all of them fall upon the same idle backend. There [`P2c`](crate::P2c) does better.
///
/// # Complexity
/// A pick: O(1) while the backend whose turn it is has the least load, O(log n) otherwise; a begin
/// or end of a request likewise. Building: O(n). Memory: 35 KiB for each 4,096 backends that the
/// pool ever had at once, and 8 bytes a backend. A request that has tried some backends looks at
/// all, O(n).
///
/// In an explanation the score is the requests in flight divided by the weight.
#[derive(Debug)]
pub struct LeastConn {
    tree: Arc<LoadTree>,
}

impl LeastConn {
    /// The policy of one pool. Pools must not share one.
    pub fn new() -> Self {
        Self { tree: Arc::new(LoadTree::new()) }
    }
}

impl Default for LeastConn {
    fn default() -> Self {
        Self::new()
    }
}

impl Tracker for Seat {
    fn on_begin(&self) {
        self.begin();
    }

    fn on_end(&self) {
        self.end();
    }
}

/// The picker of [`LeastConn`].
#[derive(Debug)]
pub struct LeastConnPicker {
    segments: Box<[Arc<Segment>]>,
    rotation: Rotation,
    /// The seat in each slot; [`NONE`] for those that are not admitted here.
    seats: Box<[u32]>,
    /// The slot of each seat; [`NONE`] for seats that are not admitted here.
    slots: Box<[u32]>,
}

const NONE: u32 = u32::MAX;

/// A tier's rank in the tree, whose last one is nobody's. The two last tiers share one; at worst a
/// pick among them looks at all.
fn rank(view: &View<'_>) -> u8 {
    view.tier().min(u8::MAX - 1)
}

impl Policy for LeastConn {
    type Picker = LeastConnPicker;

    fn track(&self, _: BackendId) -> Option<Arc<dyn Tracker>> {
        Some(Arc::new(self.tree.take_seat()?))
    }

    fn build(&self, view: &View<'_>, previous: Option<&LeastConnPicker>) -> LeastConnPicker {
        let mut seats = vec![NONE; view.members().len()];
        let mut slots: Vec<u32> = Vec::new();
        for (slot, member, weight) in view.admitted() {
            let Some(seat) = member.tracker::<Seat>() else { continue };
            let number = seat.number() as usize;
            if number >= slots.len() {
                slots.resize(number + 1, NONE);
            }
            slots[number] = slot.index() as u32;
            seats[slot.index()] = seat.number();
            seat.admit(rank(view), weight.get());
        }
        let segments = self.tree.segments();
        for &seat in previous.iter().flat_map(|p| &p.seats).filter(|&&seat| seat != NONE) {
            let gone = slots.get(seat as usize).is_none_or(|&slot| slot == NONE);
            // One that another tier has taken over is that tier's.
            if gone && word(&segments, seat).rank() == rank(view) {
                exclude(&segments, seat);
            }
        }
        LeastConnPicker {
            segments,
            rotation: Rotation::new(view),
            seats: seats.into(),
            slots: slots.into(),
        }
    }
}

impl Picker for LeastConnPicker {
    #[inline(always)]
    fn pick(&self, context: &mut PickContext<'_>) -> Option<Slot> {
        let next = if context.tried().is_empty() {
            self.rotation.next(&mut context.turn)?
        } else {
            self.rotation.retry(context.reborrow())?
        };
        let slot = self.least(next, context);
        if context.is_explained() {
            for &slot in self.rotation.slots() {
                context.consider(slot, self.score(slot));
            }
        }
        slot
    }
}

impl LeastConnPicker {
    #[inline]
    fn least(&self, next: Slot, context: &PickContext<'_>) -> Option<Slot> {
        if context.tried().is_empty()
            && let Some(seat) = self.seat(next).and_then(|seat| best(&self.segments, seat))
            && let Some(&slot) = self.slots.get(seat as usize)
            && slot != NONE
        {
            return Some(Slot::new(slot));
        }
        self.scan(next, context)
    }

    /// Looks at all, from `next` on: for requests that have tried some, and for a moment while a
    /// new snapshot is being published.
    #[cold]
    fn scan(&self, next: Slot, context: &PickContext<'_>) -> Option<Slot> {
        let slots = self.rotation.slots();
        let (before, after) =
            slots.split_at(slots.iter().position(|&slot| slot == next).unwrap_or(0));
        let allowed = after.iter().chain(before).filter(|slot| !context.tried().contains(**slot));
        let mut least: Option<(f64, Slot)> = None;
        for &slot in allowed {
            let score = self.score(slot);
            if least.is_none_or(|(least, _)| score < least) {
                least = Some((score, slot));
            }
        }
        least.map(|(_, slot)| slot)
    }

    #[inline]
    fn seat(&self, slot: Slot) -> Option<u32> {
        self.seats.get(slot.index()).copied().filter(|&seat| seat != NONE)
    }

    fn score(&self, slot: Slot) -> f64 {
        self.seat(slot).map_or(0.0, |seat| word(&self.segments, seat).load())
    }
}
