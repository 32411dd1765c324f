//! The properties, each for any structure: made by `empty`, which has its settings and no nodes.

use std::cell::Cell;

use equipoise_core::Rng;
use equipoise_hash::{BackendId, ConsistentHash, HashKey, Node, Weight};
use equipoise_testkit::statistics::{assert_shares, binomial_limit};

/// What a structure promises beyond what every one must keep.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Promises {
    /// Shares are exactly the weights.
    pub(crate) exact: bool,
    /// A table depends on its nodes alone, and not on those before.
    pub(crate) forgetful: bool,
    /// A change of one node moves at most so many keys between others, as a multiple of the keys
    /// that it must move.
    pub(crate) needless: f64,
    /// Each key that is not allowed its owner goes on by itself, and not with all of its slot.
    pub(crate) one_by_one: bool,
    /// A node that has become heavier loses no key, and one that has become lighter gains none.
    pub(crate) monotone: bool,
}

/// Moves no key needlessly, whatever the past.
pub(crate) const MINIMAL: Promises =
    Promises { exact: false, forgetful: true, needless: 0.0, one_by_one: true, monotone: true };

pub(crate) fn node(id: u64, weight: u16) -> Node {
    Node::new(BackendId::new(id)).weight(Weight::new(weight))
}

/// Nodes with these weights, of scattered ids.
pub(crate) fn nodes(weights: &[u16]) -> Vec<Node> {
    weights.iter().zip(0..).map(|(&w, i)| node(Rng::seeded(i).next_u64(), w)).collect()
}

/// So many keys, the extremes among them.
pub(crate) fn keys(seed: u64, count: usize) -> Vec<HashKey> {
    let mut rng = Rng::seeded(seed);
    let random = std::iter::repeat_with(move || rng.next_u64());
    [0, 1, u64::MAX].into_iter().chain(random).map(HashKey::new).take(count).collect()
}

/// Who has each key, by id.
pub(crate) fn owners<T: ConsistentHash>(table: &T, keys: &[HashKey]) -> Vec<Option<BackendId>> {
    keys.iter().map(|&key| Some(table.nodes()[table.lookup(key)?].id)).collect()
}

/// How many of the keys each node has.
pub(crate) fn histogram<T: ConsistentHash>(table: &T, keys: &[HashKey]) -> Vec<u64> {
    let mut counts = vec![0; table.nodes().len()];
    keys.iter().for_each(|&key| counts[table.lookup(key).expect("somebody has a weight")] += 1);
    counts
}

/// Lists of many shapes: sizes from 0 to 40, weights equal, small, far apart and 0.
fn lists() -> impl Iterator<Item = Vec<Node>> {
    (0..48).map(|seed| {
        let mut rng = Rng::seeded(seed);
        let n = rng.below([4, 12, 41][seed as usize % 3]) as usize;
        let weight = |rng: &mut Rng| match seed % 4 {
            0 => 1,
            1 => 1 + rng.below(9) as u16,
            2 => [0, 0, 1, 2, 40][rng.below(5) as usize],
            _ => 0,
        };
        let weights: Vec<u16> = (0..n).map(|_| weight(&mut rng)).collect();
        nodes(&weights)
    })
}

/// A key has an owner if and only if somebody has a weight; everybody with a weight is a candidate
/// once, the owner first; each candidate is who has the key when those before it may not.
pub(crate) fn everybody_with_a_weight_is_a_candidate_once<T: ConsistentHash>(
    empty: impl Fn() -> T,
    _: Promises,
) {
    for list in lists() {
        let (table, again) = (empty().update(&list).unwrap(), empty().update(&list).unwrap());
        assert_eq!(table.nodes(), list);
        let heavy = (0..list.len()).filter(|&i| list[i].weight > Weight::ZERO);
        let heavy: Vec<usize> = heavy.collect();
        for key in keys(1, 30) {
            let order: Vec<usize> = table.candidates(key).collect();
            assert_eq!(table.lookup(key), order.first().copied());
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, heavy);
            for (k, &next) in order.iter().enumerate() {
                let found = table.lookup_where(key, |node| {
                    assert!(list[node].weight > Weight::ZERO, "asked about a node without weight");
                    !order[..k].contains(&node)
                });
                assert_eq!(found, Some(next), "candidate {k} of {order:?}");
            }
            assert_eq!(table.lookup_where(key, |_| false), None);
            assert!(again.candidates(key).eq(order));
        }
    }
}

/// One node of 300 that is allowed is found, and it takes at most one question a node and one a
/// jump; 2,000 candidates come to an end.
pub(crate) fn the_only_one_allowed_is_found<T: ConsistentHash>(empty: impl Fn() -> T, _: Promises) {
    let table = empty().update(&nodes(&[1; 300])).unwrap();
    for key in keys(2, 300) {
        let asked = Cell::new(0);
        let found = table.lookup_where(key, |node| {
            asked.set(asked.get() + 1);
            node == 123
        });
        assert_eq!(found, Some(123));
        assert!(asked.get() <= 300 + 16, "{} questions", asked.get());
    }
    let large = empty().update(&nodes(&[1; 2_000])).unwrap();
    for key in keys(3, 2) {
        let mut order: Vec<usize> = large.candidates(key).collect();
        order.sort_unstable();
        assert!(order.into_iter().eq(0..2_000));
    }
}

/// Of a node that is not allowed only its own keys move, to all others in proportion to their
/// shares.
pub(crate) fn the_keys_of_one_that_is_not_allowed_spread_over_all<T: ConsistentHash>(
    empty: impl Fn() -> T,
    promises: Promises,
) {
    if !promises.one_by_one {
        return;
    }
    for weights in [&[1; 12][..], &[1, 2, 3, 4, 5], &[1, 1, 0, 8], &[2; 40]] {
        let table = empty().update(&nodes(weights)).unwrap();
        // Where shares are not exactly the weights, they are taken from keys enough that their
        // error does not count.
        let odds: Vec<f64> = if promises.exact {
            weights.iter().map(|&w| f64::from(w)).collect()
        } else {
            histogram(&table, &keys(4, 400_000)).into_iter().map(|n| n as f64).collect()
        };
        let keys = keys(5, 100_000);
        for dead in [0, weights.len() - 1] {
            let (mut odds, mut counts) = (odds.clone(), vec![0; weights.len()]);
            odds[dead] = 0.0;
            for &key in &keys {
                let (owner, found) =
                    (table.lookup(key), table.lookup_where(key, |node| node != dead));
                if owner == Some(dead) {
                    counts[found.unwrap()] += 1;
                } else {
                    assert_eq!(found, owner);
                }
            }
            assert_shares(&counts, &odds);
        }
    }
}

/// Of a few that are allowed among many that are not, each has its part by weight.
pub(crate) fn the_few_that_are_allowed_share_by_weight<T: ConsistentHash>(
    empty: impl Fn() -> T,
    promises: Promises,
) {
    let weights: Vec<u16> = (0..300).map(|i| [1, 2, 5][i % 3]).collect();
    let table = empty().update(&nodes(&weights)).unwrap();
    let mut counts = [0; 3];
    for key in keys(11, 6_000) {
        let found = table.lookup_where(key, |node| (150..153).contains(&node)).unwrap();
        counts[found - 150] += 1;
    }
    if promises.exact {
        assert_shares(&counts, &[1.0, 2.0, 5.0]);
    } else {
        // A fifth or so are as uneven as the table.
        for (count, fair) in counts.into_iter().zip([750, 1_500, 3_750]) {
            assert!((fair * 3 / 4..=fair * 5 / 4).contains(&count), "{counts:?}");
        }
    }
}

/// A change of one node, and what the list is after it.
fn change(rng: &mut Rng, list: &mut Vec<Node>) -> BackendId {
    let place = rng.below(list.len().max(1) as u32) as usize;
    match rng.below(3) {
        0 if list.len() > 2 => list.remove(place).id,
        1 if list.len() > 2 => {
            list[place].weight = Weight::new(rng.below(6) as u16);
            list[place].id
        }
        _ => {
            list.insert(place, node(rng.next_u64(), 1 + rng.below(5) as u16));
            list[place].id
        }
    }
}

/// After any number of changes, the answers are those of a table built anew, whatever the order of
/// either list.
pub(crate) fn a_table_depends_on_its_nodes_alone<T: ConsistentHash>(
    empty: impl Fn() -> T,
    promises: Promises,
) {
    if !promises.forgetful {
        return;
    }
    let keys = keys(6, 1_000);
    for seed in 0..12 {
        let mut rng = Rng::seeded(seed);
        let (mut list, mut table) = (Vec::new(), empty());
        for step in 0..30 {
            // Now and then several changes at a time; and now and then all nodes go.
            (0..1 + rng.below(3) * rng.below(4)).for_each(|_| _ = change(&mut rng, &mut list));
            (step % 13 == 12).then(|| list.clear());
            // One in eight lists is in another order; small changes to long lists are the usual.
            let len = list.len();
            (0..len).filter(|_| step % 8 == 7).for_each(|i| {
                list.swap(i, rng.below(len as u32) as usize);
            });
            (seed % 3 == 0 && step == 0).then(|| list.extend(nodes(&[2; 40])));
            table = table.update(&list).unwrap();
            assert_eq!(table.nodes(), list);
            let sorted = || {
                let mut list = list.clone();
                list.sort_by_key(|node| node.id);
                list
            };
            let anew = empty().update(&sorted()).unwrap();
            assert_eq!(owners(&table, &keys), owners(&anew, &keys), "seed {seed}, step {step}");
            for &key in &keys[..20] {
                let names = |table: &T| -> Vec<BackendId> {
                    table.candidates(key).take(4).map(|i| table.nodes()[i].id).collect()
                };
                assert_eq!(names(&table), names(&anew), "seed {seed}, step {step}");
            }
        }
    }
}

/// When one node comes, goes or changes its weight, keys don't move between the others, up to what is
/// promised; and the heavier have more keys, the lighter fewer.
pub(crate) fn a_change_moves_only_the_keys_that_it_must<T: ConsistentHash>(
    empty: impl Fn() -> T,
    promises: Promises,
) {
    let keys = keys(7, 20_000);
    for seed in 0..4 {
        let mut rng = Rng::seeded(!seed);
        let mut list = nodes(&vec![1 + seed as u16 % 2; 10 + 5 * seed as usize]);
        let mut table = empty().update(&list).unwrap();
        for step in 0..30 {
            let weight_of = |list: &[Node], id| -> u64 {
                list.iter().find(|node| node.id == id).map_or(0, |node| node.weight.get().into())
            };
            let before = (owners(&table, &keys), list.clone());
            let id = change(&mut rng, &mut list);
            table = table.update(&list).unwrap();
            let after = owners(&table, &keys);
            let (was, is) = (weight_of(&before.1, id), weight_of(&list, id));
            let (mut lost, mut gained, mut needless) = (0, 0, 0);
            for (from, to) in before.0.iter().zip(&after).filter(|(from, to)| from != to) {
                match (*from == Some(id), *to == Some(id)) {
                    (true, _) => lost += 1,
                    (_, true) => gained += 1,
                    _ => needless += 1,
                }
            }
            // Those that must move: the difference of its shares.
            let total = |list: &[Node]| list.iter().map(|n| u64::from(n.weight.get())).sum::<u64>();
            let share = |weight: u64, list: &[Node]| weight as f64 / total(list).max(1) as f64;
            let must = (share(was, &before.1) - share(is, &list)).abs().min(1.0);
            let most = if promises.needless == 0.0 {
                0.0
            } else {
                binomial_limit(keys.len() as u64, (must * promises.needless).min(1.0))
            };
            let what = format!("seed {seed}, step {step}: weight {was} to {is} of {list:?}");
            assert!(f64::from(needless) <= most, "{needless} > {most}, {what}");
            if promises.monotone {
                assert!(was <= is || gained == 0, "{gained} gained, {what}");
                assert!(was >= is || lost == 0, "{lost} lost, {what}");
            }
        }
    }
}

/// A node that leaves and comes back has the keys that it had.
pub(crate) fn who_comes_back_has_the_same_keys<T: ConsistentHash>(
    empty: impl Fn() -> T,
    promises: Promises,
) {
    if promises.needless > 0.0 && !promises.forgetful {
        return;
    }
    let (list, keys) = (nodes(&[1, 2, 3, 1, 5, 1, 1, 9]), keys(8, 5_000));
    let table = empty().update(&list).unwrap();
    for leaver in 0..list.len() {
        let mut without = list.clone();
        without.remove(leaver);
        let again = table.update(&without).unwrap().update(&list).unwrap();
        assert_eq!(owners(&again, &keys), owners(&table, &keys));
    }
}

/// Shares follow the weights: exactly, or up to the table's own deviation.
pub(crate) fn shares_follow_the_weights<T: ConsistentHash>(
    empty: impl Fn() -> T,
    promises: Promises,
) {
    let keys = keys(9, 200_000);
    for weights in [&[1; 10][..], &[1, 2, 3, 4, 5], &[1, 0, 30], &[1; 70], &[7]] {
        let table = empty().update(&nodes(weights)).unwrap();
        let counts = histogram(&table, &keys);
        if promises.exact {
            assert_shares(&counts, &weights.iter().map(|&w| f64::from(w)).collect::<Vec<_>>());
            continue;
        }
        let total: u64 = weights.iter().map(|&w| u64::from(w)).sum();
        for (&count, &weight) in counts.iter().zip(weights) {
            let fair = keys.len() as f64 * f64::from(weight) / total as f64;
            assert!((fair * 0.4..=fair * 1.6).contains(&(count as f64)), "{count} for {fair}");
        }
    }
}

/// Ids that are numbers in sequence, that differ in one bit, and the extremes, are as good as any;
/// and so are keys.
pub(crate) fn neither_ids_nor_keys_need_be_random<T: ConsistentHash>(
    empty: impl Fn() -> T,
    promises: Promises,
) {
    let sequence: Vec<u64> = (0..20).chain([u64::MAX, u64::MAX - 1]).collect();
    let bits: Vec<u64> = (0..64).step_by(3).map(|i| 1 << i).collect();
    let low = |i: u64| i;
    let high = |i: u64| i << 40;
    let spaced = |i: u64| i * 1_000;
    let golden = |i: u64| i.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let reversed = u64::reverse_bits;
    for ids in [sequence, bits] {
        let list: Vec<Node> = ids.iter().map(|&id| node(id, 1)).collect();
        let table = empty().update(&list).unwrap();
        let odds: Vec<f64> = if promises.exact {
            vec![1.0; list.len()]
        } else {
            let counts = histogram(&table, &keys(10, 1_000_000));
            counts.into_iter().map(|n| n as f64).collect()
        };
        for key in [low, high, spaced, golden, reversed] {
            let keys: Vec<HashKey> = (0..60_000).map(|i| HashKey::new(key(i))).collect();
            let counts = histogram(&table, &keys);
            // A sequence may be more even than random keys, not less.
            assert_shares(&counts, &odds);
        }
    }
}
