//! How tables of slots share them out.

use equipoise_core::Rng;
use equipoise_hash::{BackendId, ConsistentHash, Maglev, Node, RendezvousTable, Weight};
use proptest::prelude::*;

fn nodes(weights: &[u16]) -> Vec<Node> {
    let id = |i| BackendId::new(Rng::seeded(i).next_u64());
    weights.iter().zip(0..).map(|(&w, i)| Node::new(id(i)).weight(Weight::new(w))).collect()
}

fn weights() -> impl Strategy<Value = Vec<u16>> {
    let weight = prop_oneof![
        Just(0_u16),
        1..4_u16,
        1..200_u16,
        prop_oneof![Just(1_u16), Just(50), Just(u16::MAX)],
    ];
    let alike = (1..9_u16, 1..80_usize).prop_map(|(weight, n)| vec![weight; n]);
    // One that is heavy and many that have less than a slot each.
    let one_heavy = (1..300_u16, 1..80_usize)
        .prop_map(|(heavy, n)| [vec![heavy.saturating_mul(10)], vec![1; n]].concat());
    prop_oneof![proptest::collection::vec(weight, 1..60), alike, one_heavy]
}

/// A node's exact share of the slots, as a fraction.
fn shares(weights: &[u16], slots: usize) -> impl Iterator<Item = (u64, u64)> + '_ {
    let total: u64 = weights.iter().map(|&w| u64::from(w)).sum();
    weights.iter().map(move |&w| (slots as u64 * u64::from(w), total.max(1)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn maglev_is_within_one_slot_of_the_exact_share(weights in weights(), size in 100..3_000_usize) {
        prop_assume!(weights.iter().any(|&w| w > 0));
        let table = Maglev::with_size(&nodes(&weights), size).unwrap();
        let slots = table.slots();
        prop_assert_eq!(slots.iter().sum::<usize>(), size);
        for (&slots, (share, of)) in slots.iter().zip(shares(&weights, size)) {
            let off = (slots as u64 * of).abs_diff(share);
            prop_assert!(off < of, "{} slots where {} is right", slots, share as f64 / of as f64);
        }
    }

    #[test]
    fn no_node_has_more_than_its_quota(
        weights in weights(),
        size in 100..2_000_usize,
        percent in prop_oneof![Just(0_u16), Just(5), 0..=RendezvousTable::MAX_QUOTA],
    ) {
        prop_assume!(weights.iter().any(|&w| w > 0));
        let table = RendezvousTable::with_size(&nodes(&weights), size).unwrap();
        let table = table.with_quota(percent).unwrap();
        let slots = table.slots();
        prop_assert_eq!(slots.iter().sum::<usize>(), size);
        for (&slots, (share, of)) in slots.iter().zip(shares(&weights, size)) {
            let most = (share * (100 + u64::from(percent))).div_ceil(100 * of);
            prop_assert!(slots as u64 <= most, "{} slots, {} at most", slots, most);
        }
    }

    /// A quota takes slots only from who has too many: the others keep what they won.
    #[test]
    fn who_is_below_its_quota_has_all_that_it_has_without(
        weights in weights(), size in 100..1_000_usize, percent in 0..100_u16,
    ) {
        prop_assume!(weights.iter().any(|&w| w > 0));
        let plain = RendezvousTable::with_size(&nodes(&weights), size).unwrap();
        let bounded = plain.with_quota(percent).unwrap();
        let shares = shares(&weights, size);
        for (i, (share, of)) in shares.enumerate() {
            let most = (share * (100 + u64::from(percent))).div_ceil(100 * of) as usize;
            let (won, has) = (plain.slots()[i], bounded.slots()[i]);
            prop_assert!(has >= won.min(most), "{} of the {} that it won", has, won);
        }
    }
}

#[test]
fn nodes_of_one_weight_differ_by_a_slot_in_maglev() {
    for (n, weight, size) in [(1, 1, 1), (3, 1, 65_536), (7, 9, 65_537), (1_000, 1, 65_537)] {
        let table = Maglev::with_size(&nodes(&vec![weight; n]), size).unwrap();
        let slots = table.slots();
        let (least, most) = (slots.iter().min().unwrap(), slots.iter().max().unwrap());
        assert!(most - least <= 1, "{least} to {most}");
    }
}

/// What the documentation says of 1,000 nodes: one that leaves takes 0.1 % of the keys with it, and
/// 0.5 % move besides.
#[test]
fn maglev_moves_as_few_as_it_says() {
    let all = nodes(&[1; 1_000]);
    let keys: Vec<_> =
        (0..200_000).map(|i| equipoise_hash::HashKey::new(Rng::seeded(i).next_u64())).collect();
    let table = Maglev::with_size(&all, 65_537).unwrap();
    let mut without = all.clone();
    let leaver = without.remove(500);
    let after = table.update(&without).unwrap();
    let moved = keys.iter().filter(|&&key| {
        let from = all[table.lookup(key).unwrap()].id;
        from != leaver.id && from != without[after.lookup(key).unwrap()].id
    });
    let part = moved.count() as f64 / keys.len() as f64;
    assert!((0.004..0.007).contains(&part), "{part}");
}
