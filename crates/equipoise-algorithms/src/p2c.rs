//! The less busy of two.

use alloc::boxed::Box;
use core::sync::atomic::{Ordering, compiler_fence};

use equipoise_core::{Load, PickContext, Picker, Policy, Slot, View};

use crate::lottery::Lottery;
use crate::retry::first_allowed;

/// Power of d choices: draws d different backends and takes the least busy, by requests in flight
/// per weight.
///
/// Two choices are enough to keep the busiest backend close to the average, where one random
/// choice is not (Azar, Broder, Karlin, Upfal 1994; Mitzenmacher 2001); and unlike an exact minimum
/// over stale knowledge they do not send everybody to the same backend. It is the default of
/// HAProxy (`random(2)`), Envoy's least request, linkerd and Finagle.
///
/// The first is drawn with the probability of its share, the others uniformly, and all are
/// different: of two backends, always both are compared. A later one wins only by being strictly
/// less busy. So with nothing in flight shares follow the weights, and under load in-flight per
/// weight is equalised.
///
/// # Complexity
/// A pick: O(d), for d = 2 one or two random numbers and two loads. Building: O(n). Memory: 28 bytes
/// a backend, or 44 with unequal weights.
///
/// In an explanation the score is the requests in flight divided by the weight.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct P2c {
    choices: u8,
}

impl P2c {
    /// The most choices. More would be a slow way to [`LeastConn`](crate::LeastConn).
    pub const MAX_CHOICES: u8 = 16;

    /// Compares this many backends: 2 to 16. `None` outside this range.
    pub const fn new(choices: u8) -> Option<Self> {
        if choices < 2 || choices > Self::MAX_CHOICES { None } else { Some(Self { choices }) }
    }

    /// How many backends are compared.
    pub const fn choices(self) -> u8 {
        self.choices
    }
}

impl Default for P2c {
    /// Two choices.
    fn default() -> Self {
        Self { choices: 2 }
    }
}

/// The picker of [`P2c`].
#[derive(Debug)]
pub struct P2cPicker {
    choices: usize,
    /// Two choices, of at least two backends: the usual case, which is the fast one.
    in_pairs: bool,
    lottery: Lottery,
    /// By index in the lottery.
    rivals: Box<[Rival]>,
}

/// All that a comparison needs, side by side: one cache line is read for it, not three.
#[derive(Debug)]
struct Rival {
    load: Load,
    slot: Slot,
    weight: u16,
}

impl Policy for P2c {
    type Picker = P2cPicker;

    fn build(&self, view: &View<'_>, _: Option<&P2cPicker>) -> P2cPicker {
        let rivals = view.admitted().map(|(slot, member, weight)| Rival {
            load: member.load.clone(),
            slot,
            weight: weight.get(),
        });
        P2cPicker {
            choices: usize::from(self.choices),
            in_pairs: self.choices == 2 && view.admitted().nth(1).is_some(),
            rivals: rivals.collect(),
            lottery: Lottery::new(view),
        }
    }
}

impl Picker for P2cPicker {
    #[inline(always)]
    fn pick(&self, context: &mut PickContext<'_>) -> Option<Slot> {
        if self.in_pairs && context.tried().is_empty() {
            let (first, second) = self.lottery.draw_pair(context.rng.next_u64(), context.rng);
            if context.is_explained() {
                self.consider(context.reborrow(), first, second);
            }
            let (a, b) = (&self.rivals[first], &self.rivals[second]);
            let (busy, other) = (
                u64::from(a.load.in_flight()) * u64::from(b.weight),
                u64::from(b.load.in_flight()) * u64::from(a.weight),
            );
            if other < busy {
                // A branch, not a conditional move, which is what the fence makes of it: the
                // processor then goes on with the likelier one instead of waiting for both loads.
                compiler_fence(Ordering::SeqCst);
                return Some(b.slot);
            }
            return Some(a.slot);
        }
        self.pick_of_many(context.reborrow())
    }
}

impl P2cPicker {
    #[cold]
    #[inline(never)]
    fn consider(&self, mut context: PickContext<'_>, first: usize, second: usize) {
        for index in [first, second] {
            context.consider(self.lottery.slots()[index], self.score(index));
        }
    }

    /// Any number of choices, of the backends that were not tried.
    #[inline(never)]
    fn pick_of_many(&self, mut context: PickContext<'_>) -> Option<Slot> {
        let context = &mut context;
        let slots = self.lottery.slots();
        let draw = |cx: &mut PickContext<'_>| self.lottery.draw_index(cx.rng.next_u64());
        let first = first_allowed(context, slots, draw)?;
        let mut drawn = [first; P2c::MAX_CHOICES as usize];
        let mut len = 1;
        if slots.len() <= self.choices {
            let others = (0..slots.len()).filter(|&i| i != first);
            for i in others.filter(|&i| !context.tried().contains(slots[i])) {
                drawn[len] = i;
                len += 1;
            }
        } else {
            // A draw that hits a backend twice, or a tried one, is repeated, a bounded number of
            // times: with most backends tried, fewer are compared.
            for _ in 0..4 * self.choices {
                if len == self.choices {
                    break;
                }
                let next = context.rng.below(slots.len() as u32) as usize;
                if !drawn[..len].contains(&next) && !context.tried().contains(slots[next]) {
                    drawn[len] = next;
                    len += 1;
                }
            }
        }
        let mut best = first;
        for &next in &drawn[..len] {
            context.consider(slots[next], self.score(next));
            let (a, b) = (&self.rivals[best], &self.rivals[next]);
            let other = u64::from(b.load.in_flight()) * u64::from(a.weight);
            if other < u64::from(a.load.in_flight()) * u64::from(b.weight) {
                best = next;
            }
        }
        Some(slots[best])
    }

    fn score(&self, index: usize) -> f64 {
        let rival = &self.rivals[index];
        f64::from(rival.load.in_flight()) / f64::from(rival.weight)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use alloc::vec;
    use alloc::vec::Vec;

    use equipoise_core::BackendId;
    use equipoise_pool::Request;
    use equipoise_testkit::Arena;
    use equipoise_testkit::statistics::assert_shares;

    use super::P2c;

    /// Which two backends each of so many picks compared, in order.
    fn pairs(weights: &[u16], picks: usize) -> Vec<(usize, usize)> {
        let mut arena = Arena::new(P2c::default(), 12, weights);
        let number =
            |id: BackendId| (0..weights.len()).position(|i| Arena::<P2c>::id(i) == id).unwrap();
        let mut pair = || {
            let (_, why) = arena.reader.explain(&Request::new());
            let [first, second] = why.considered[..] else { panic!("not a pair: {why}") };
            (number(first.backend), number(second.backend))
        };
        (0..picks).map(|_| pair()).collect()
    }

    #[test]
    fn pairs_are_uniform_over_distinct_pairs() {
        for n in [3, 5, 12] {
            let mut counts = vec![0; n * n];
            for (first, second) in pairs(&vec![1; n], 40_000) {
                counts[first * n + second] += 1;
            }
            let odds = |i: usize| if i / n == i % n { 0.0 } else { 1.0 };
            assert_shares(&counts, &(0..n * n).map(odds).collect::<Vec<_>>());
        }
    }

    #[test]
    fn with_weights_the_first_is_drawn_by_weight_and_the_second_uniformly() {
        let weights = [1, 2, 5, 10];
        let mut counts = vec![0; 16];
        for (first, second) in pairs(&weights, 40_000) {
            counts[first * 4 + second] += 1;
        }
        let odds = |i: usize| if i / 4 == i % 4 { 0.0 } else { f64::from(weights[i / 4]) };
        assert_shares(&counts, &(0..16).map(odds).collect::<Vec<_>>());
    }

    #[test]
    fn of_two_backends_both_are_always_compared() {
        for weights in [[1, 1], [1, 65_535]] {
            assert!(pairs(&weights, 2_000).iter().all(|&(a, b)| a + b == 1));
            // So the less busy one is always found.
            let mut arena = Arena::new(P2c::default(), 3, &[1, 1]);
            let held: Vec<_> = (0..100).map(|_| arena.lease().unwrap()).collect();
            assert_eq!(held.iter().filter(|lease| ***lease == 0).count(), 50);
        }
    }

    #[test]
    fn choices_out_of_range_are_refused() {
        assert!([0, 1, 17, 255].into_iter().all(|choices| P2c::new(choices).is_none()));
        assert!((2..=16).all(|choices| P2c::new(choices).is_some()));
    }
}
