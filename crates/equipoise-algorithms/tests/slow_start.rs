//! A backend whose weight in effect is less than its weight has that part of its keys.

use std::sync::Arc;

use equipoise_algorithms::{Hashed, HashedPicker};
use equipoise_core::{
    BackendId, HashKey, Load, Member, PickContext, Picker, Policy, Rng, Slot, Turn, View, Weight,
};
use equipoise_hash::Rendezvous;
use equipoise_testkit::statistics::assert_shares;

/// A picker over backends of these ids, all of weight 100, with these weights in effect.
fn picker(ids: &[u64], in_effect: &[u16]) -> HashedPicker<Rendezvous> {
    let record = Arc::new(());
    let member = |&id: &u64| Member {
        id: BackendId::new(id),
        weight: Weight::new(100),
        tier: 0,
        load: Load::of(&record),
        tracker: None,
    };
    let members: Arc<[Member]> = ids.iter().map(member).collect();
    let slots: Vec<Slot> = (0..ids.len() as u32).map(Slot::new).collect();
    let weights: Vec<Weight> = in_effect.iter().copied().map(Weight::new).collect();
    Hashed::new(Rendezvous::default()).build(&View::new(&members, &slots, &weights), None)
}

fn pick(picker: &HashedPicker<Rendezvous>, key: u64) -> usize {
    let (mut rng, mut turn) = (Rng::seeded(1), 0);
    let mut context =
        PickContext::new(&mut rng, Turn::Own(&mut turn)).with_key(Some(HashKey::new(key)));
    picker.pick(&mut context).unwrap().index()
}

const SCATTERED: [u64; 4] =
    [0x9e37_79b9_7f4a_7c15, 0x3c6e_f372_fe94_f82a, 0x0daa_66d2_c7dd_743f, 7];
/// Makes keys of numbers.
type Keys = fn(u64) -> u64;

const KEYS: [(&str, Keys); 4] = [
    ("random", |i| Rng::seeded(i).next_u64()),
    ("in sequence", |i| i),
    ("high", |i| i << 40),
    ("reversed", u64::reverse_bits),
];

#[test]
fn a_part_of_the_keys_goes_to_the_others_by_weight() {
    for ids in [SCATTERED, [0, 1, 2, 3]] {
        for part in [1, 10, 50, 99] {
            let (full, slow) = (picker(&ids, &[100; 4]), picker(&ids, &[100, part, 100, 100]));
            for (kind, key) in KEYS {
                let (mut stayed, mut moved) = (0, [0; 4]);
                for key in (0..40_000).map(key) {
                    let (before, now) = (pick(&full, key), pick(&slow, key));
                    if before != 1 {
                        assert_eq!(now, before, "{kind}");
                    } else if now == 1 {
                        stayed += 1;
                    } else {
                        moved[now] += 1;
                    }
                }
                let gone: u64 = moved.iter().sum();
                assert_shares(&[stayed, gone], &[part.into(), (100 - part).into()]);
                assert_shares(&moved, &[1.0, 0.0, 1.0, 1.0]);
            }
        }
    }
}

#[test]
fn as_the_part_grows_keys_only_return() {
    let mut before = Vec::new();
    for part in [1, 2, 5, 10, 30, 60, 99, 100] {
        let slow = picker(&SCATTERED, &[100, part, 100, 100]);
        let keys: Vec<bool> = (0..20_000).map(|key| pick(&slow, key) == 1).collect();
        let lost = before.iter().zip(&keys).filter(|(before, now)| **before && !**now).count();
        assert_eq!(lost, 0, "lost at {part}");
        before = keys;
    }
}

/// Which keys one has in its part says nothing of which another has in its own: so of two that start
/// together, each takes its part of the keys that the other does not have yet.
#[test]
fn parts_of_several_are_independent() {
    for ids in [SCATTERED, [0, 1, 2, 3]] {
        let (full, slow) = (picker(&ids, &[100; 4]), picker(&ids, &[100, 50, 50, 100]));
        for (_, key) in KEYS {
            let mut moved = [0; 4];
            for key in (0..60_000).map(key) {
                if pick(&full, key) == 1 {
                    moved[pick(&slow, key)] += 1;
                }
            }
            // Half stay. A third of the others asks number 2, which takes half, and passes on half.
            assert_shares(&moved, &[5.0, 12.0, 2.0, 5.0]);
        }
    }
}

#[test]
fn with_nobody_else_one_that_starts_has_all_keys() {
    let alone = picker(&SCATTERED, &[0, 1, 0, 0]);
    assert!((0..1_000).all(|key| pick(&alone, key) == 1));
}
