//! Each in turn.

use equipoise_core::{PickContext, Picker, Policy, Slot, View};

use crate::rotation::Rotation;

/// Smooth weighted round robin: each backend in turn, as often as its weight says, spread evenly.
///
/// With equal weights it is the plain rotation. With weights 5, 1, 1 it picks a a b a c a a, as
/// nginx does. From the beginning of a round no backend is ever a whole pick ahead of its share or
/// behind it (from a start elsewhere: two picks), so there are no bursts. (LVS and Pingora would pick
/// a a a a a b c.)
///
/// # How
/// The order of one round is worked out when the picker is built, by Tijdeman's solution of the
/// chairman assignment problem (1980), and a pick is one step along it: O(1) at any size. The
/// position belongs to the picking worker (see [`Turn`](equipoise_core::Turn)) as a fraction of a
/// round, so it starts where the seed says, survives updates, and needs no shared counter.
///
/// A round has Σ weight / gcd picks. When that is more than 65,536 (or, of more than 4,096 backends
/// with many different weights, when working it out would take too long), the picker walks the
/// backends' intervals of the unit interval with a golden-ratio sequence instead. Shares are still
/// exact in the long run, but a backend may be a few picks off: 3.4 at most in all that we tried.
///
/// # Complexity
/// A pick: O(1) (by golden ratio: on average; O(log n) at worst), no write to shared memory through a
/// reader. Building: O(n), or O(s log c) for a
/// schedule of s picks and c distinct weights. Memory: 4 bytes a backend, 2 a pick of the schedule.
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
    #[inline(always)]
    fn pick(&self, context: &mut PickContext<'_>) -> Option<Slot> {
        let slot = if context.tried().is_empty() {
            self.0.next(&mut context.turn)?
        } else {
            self.0.retry(context.reborrow())?
        };
        context.consider(slot, 0.0);
        Some(slot)
    }
}

#[cfg(test)]
mod tests {
    use alloc::sync::Arc;
    use alloc::vec::Vec;

    use equipoise_core::{BackendId, Load, Member, Rng, SlotSet, Turn, Weight};

    use super::*;

    fn picker(weights: &[u16]) -> RoundRobinPicker {
        let record = Arc::new(());
        let member = |(i, &weight): (usize, &u16)| Member {
            tier: 0,
            id: BackendId::new(i as u64),
            weight: Weight::new(weight),
            load: Load::of(&record),
            tracker: None,
        };
        let members: Arc<[Member]> = weights.iter().enumerate().map(member).collect();
        let slots: Vec<Slot> = (0..weights.len() as u32).map(Slot::new).collect();
        let weights: Vec<Weight> = weights.iter().map(|&w| Weight::new(w)).collect();
        RoundRobin.build(&View::new(&members, &slots, &weights), None)
    }

    fn picks(weights: &[u16], n: usize) -> Vec<usize> {
        let picker = picker(weights);
        let (mut rng, mut turn) = (Rng::seeded(1), 0);
        let mut pick = || picker.pick(&mut PickContext::new(&mut rng, Turn::Own(&mut turn)));
        (0..n).map(|_| pick().unwrap().index()).collect()
    }

    #[test]
    fn the_order_is_that_of_nginx() {
        assert_eq!(picks(&[5, 1, 1], 14), [0, 0, 1, 0, 2, 0, 0, 0, 0, 1, 0, 2, 0, 0]);
        assert_eq!(picks(&[1, 1, 1], 7), [0, 1, 2, 0, 1, 2, 0]);
        assert_eq!(picks(&[3], 3), [0, 0, 0]);
    }

    #[test]
    fn nobody_admitted_is_nobody_picked() {
        let picker = picker(&[0, 0]);
        let (mut rng, mut turn) = (Rng::seeded(1), 0);
        let tried = SlotSet::EMPTY;
        let mut context = PickContext::new(&mut rng, Turn::Own(&mut turn)).avoiding(&tried);
        assert_eq!(picker.pick(&mut context), None);
    }

    /// How far any backend is off its exact share, at most.
    fn worst(weights: &[u16], n: usize) -> f64 {
        let total: f64 = weights.iter().map(|&w| f64::from(w)).sum();
        let mut counts = alloc::vec![0_u32; weights.len()];
        let mut worst = 0.0_f64;
        for (i, pick) in picks(weights, n).into_iter().enumerate() {
            counts[pick] += 1;
            for (&count, &weight) in counts.iter().zip(weights) {
                let share = (i + 1) as f64 * f64::from(weight) / total;
                worst = worst.max((f64::from(count) - share).abs());
            }
        }
        worst
    }

    #[test]
    fn rounds_too_long_to_schedule_stay_close_to_exact() {
        let mut rng = Rng::seeded(1);
        // Among them Fibonacci numbers, the golden ratio's own.
        for n in [2, 3, 5, 20, 89, 100, 144, 300, 987, 1_000, 2_584] {
            let weights: Vec<u16> = (0..n).map(|_| 1 + rng.below(u16::MAX.into()) as u16).collect();
            let off = worst(&weights, 8_000);
            assert!(off < 4.0, "{n} random weights: {off}");
            let mut skewed: Vec<u16> = (1..n).map(|_| 1 + rng.below(50) as u16).collect();
            skewed.push(u16::MAX);
            let off = worst(&skewed, 8_000);
            assert!(off < 4.0, "{n} skewed weights: {off}");
        }
    }
}
