//! An order of picks in which nobody is ever more than one pick off its share.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BinaryHeap};
use alloc::vec::Vec;
use core::cmp::Reverse;

/// The longest schedule: what a 16-bit index and a megabyte of cache allow.
pub(crate) const LONGEST: u64 = 1 << 16;

/// Pools up to this size are scheduled backend by backend, which spreads them best; larger ones
/// weight by weight.
const SMALL: usize = 64;

/// Pools over this size must not take long to schedule: a change of one backend is felt by all.
const LARGE: usize = 4096;
/// The longest round of weight classes in a large pool: a third of a millisecond's work.
const LONGEST_OF_LARGE: u64 = 1 << 13;

/// One round of picks, as indices into `weights`: each index comes `weight / gcd` times, and after
/// every number of picks it has come less than once more or less than its exact share.
///
/// `None` if the round would be longer than 64 Ki picks, or, of more than 4,096 backends, a round of
/// their weight classes longer than 8 Ki. The weights must not be 0.
pub(crate) fn schedule(weights: &[u16]) -> Option<Box<[u16]>> {
    let divisor = weights.iter().copied().fold(0, gcd);
    let total = weights.iter().map(|&w| u64::from(w)).sum::<u64>() / u64::from(divisor.max(1));
    if total > LONGEST || weights.is_empty() {
        return None;
    }
    if weights.len() <= SMALL {
        let rates: Vec<u64> = weights.iter().map(|&w| u64::from(w / divisor)).collect();
        return Some(chairmen(&rates).into_iter().map(|i| i as u16).collect());
    }
    // All backends of a weight take turns in its class. A class is less than one pick off, so each
    // of its m backends is less than 1/m off for that, and at most (m - 1)/m for its turn.
    let mut classes: BTreeMap<u16, Vec<u16>> = BTreeMap::new();
    for (i, &weight) in weights.iter().enumerate() {
        classes.entry(weight).or_default().push(i as u16);
    }
    let rates: Vec<u64> =
        classes.iter().map(|(&w, class)| u64::from(w / divisor) * class.len() as u64).collect();
    let divisor = rates.iter().copied().fold(0, gcd64);
    let longest = if weights.len() > LARGE { LONGEST_OF_LARGE } else { LONGEST };
    if rates.iter().sum::<u64>() / divisor > longest {
        return None;
    }
    let round = chairmen(&rates.iter().map(|rate| rate / divisor).collect::<Vec<_>>());
    let mut turns: Vec<_> = classes.values().map(|class| class.iter().cycle()).collect();
    let picks = round.iter().cycle().take(total as usize);
    Some(picks.map(|&class| turns[class].next().copied().unwrap_or_default()).collect())
}

/// The chairman assignment (Tijdeman, "The chairman assignment problem", Discrete Mathematics 32,
/// 1980): state i provides the chairman `rates[i]` times in a round, and at no time is off its
/// share by more than 1 - 1/(2n - 2).
///
/// Of the states that would not get ahead by too much, it takes the one that would soonest fall
/// behind by too much. Of several the one of the smallest rate, then the first: so rates 5, 1, 1
/// give a a b a c a a, the order that nginx's smooth round robin has made familiar.
fn chairmen(rates: &[u64]) -> Vec<usize> {
    let total: u64 = rates.iter().sum();
    let n = rates.len() as u64;
    if n == 1 {
        return alloc::vec![0; total as usize];
    }
    // A state's next turn may come when its share reaches `taken + d`, and has to come when it
    // reaches `taken + 1 - d`, with d = 1 / (2n - 2).
    let parts = 2 * n - 2;
    let when = |share_in_parts: u64, rate: u64| (share_in_parts * total).div_ceil(parts * rate);
    let earliest = |taken: u64, rate: u64| when(parts * taken + 1, rate);
    let latest = |taken: u64, rate: u64| when(parts * (taken + 1) - 1, rate);

    let mut taken = alloc::vec![0_u64; rates.len()];
    let mut waiting: BinaryHeap<Reverse<(u64, usize)>> =
        rates.iter().enumerate().map(|(i, &rate)| Reverse((earliest(0, rate), i))).collect();
    let mut ready: BinaryHeap<Reverse<(u64, u64, usize)>> = BinaryHeap::new();
    let mut order = Vec::with_capacity(total as usize);
    for now in 1..=total {
        while let Some(&Reverse((at, i))) = waiting.peek()
            && at <= now
        {
            waiting.pop();
            ready.push(Reverse((latest(taken[i], rates[i]), rates[i], i)));
        }
        // Tijdeman's theorem: somebody is always ready. Were it wrong, a place would stay empty.
        let Some(Reverse((_, rate, i))) = ready.pop() else { continue };
        order.push(i);
        taken[i] += 1;
        waiting.push(Reverse((earliest(taken[i], rate), i)));
    }
    order
}

const fn gcd(a: u16, b: u16) -> u16 {
    if b == 0 { a } else { gcd(b, a % b) }
}

const fn gcd64(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd64(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;
    use proptest::prelude::*;

    fn letters(weights: &[u16]) -> String {
        schedule(weights).unwrap().iter().map(|&i| char::from(b'a' + i as u8)).collect()
    }

    #[test]
    fn nginx_order() {
        assert_eq!(letters(&[5, 1, 1]), "aabacaa");
        assert_eq!(letters(&[10, 2, 2]), "aabacaa");
        assert_eq!(letters(&[1, 1, 1]), "abc");
        assert_eq!(letters(&[7]), "a");
        assert!(schedule(&[]).is_none());
    }

    #[test]
    fn the_longest_round() {
        assert_eq!(schedule(&[65_535, 1]).unwrap().len(), 65_536);
        assert!(schedule(&[65_535, 2]).is_none());
        assert_eq!(schedule(&[65_535; 3]).unwrap().len(), 3);
    }

    /// |picks * total - n * weight| < total, for every prefix.
    fn assert_within_one(weights: &[u16]) -> Result<(), TestCaseError> {
        let order = schedule(weights).unwrap();
        let total: i64 = weights.iter().map(|&w| i64::from(w)).sum();
        let mut lead = alloc::vec![0_i64; weights.len()];
        for (n, &pick) in order.iter().enumerate() {
            for (lead, &w) in lead.iter_mut().zip(weights) {
                *lead -= i64::from(w);
            }
            lead[usize::from(pick)] += total;
            for lead in &lead {
                prop_assert!(lead.abs() < total, "after {} picks: {lead} of {total}", n + 1);
            }
        }
        prop_assert!(lead.iter().all(|&lead| lead == 0));
        Ok(())
    }

    proptest! {
        #[test]
        fn small_pools_are_within_one_pick(weights in prop::collection::vec(1_u16..100, 1..64)) {
            assert_within_one(&weights)?;
        }

        #[test]
        fn large_pools_are_within_one_pick(weights in prop::collection::vec(1_u16..7, 65..300)) {
            assert_within_one(&weights)?;
        }

        #[test]
        fn far_apart_weights_are_within_one_pick(
            weights in prop::collection::vec(prop_oneof![1_u16..4, 900_u16..1000], 1..20),
        ) {
            assert_within_one(&weights)?;
        }
    }
}
