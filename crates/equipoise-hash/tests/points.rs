//! Tables of points on a circle.

use equipoise_core::Rng;
use equipoise_hash::{BackendId, ConsistentHash, HashKey, MultiProbe, Node, Probing, Ring};
use equipoise_testkit::statistics::binomial_limit;

fn nodes(count: u64) -> Vec<Node> {
    (0..count).map(|i| Node::new(BackendId::new(Rng::seeded(i).next_u64()))).collect()
}

fn keys(count: u64) -> impl Iterator<Item = HashKey> {
    (0..count).map(|i| HashKey::new(Rng::seeded(!i).next_u64()))
}

/// Among 160,000 points of 32 bits some are in the same place, and there the smallest id is first,
/// whoever came first.
#[test]
fn points_in_the_same_place_belong_to_the_smallest_id() {
    let all = nodes(40);
    let anew = Ring::with_points(&all, Ring::MAX_POINTS).unwrap();
    for leaver in 0..all.len() {
        let mut without = all.clone();
        without.remove(leaver);
        let table = Ring::with_points(&without, Ring::MAX_POINTS).unwrap().update(&all).unwrap();
        for key in keys(60_000) {
            assert_eq!(table.lookup(key), anew.lookup(key));
        }
    }
}

/// A node whose point is alone on its circle for long has the keys whose k probes are all nearer to it
/// than to any other: 1 + 1 / (k - 1) times its share in the limit of many nodes.
#[test]
fn with_k_probes_nobody_has_more_than_one_in_k_beyond_its_share() {
    for probes in [2, 3, 5, 21] {
        let table = MultiProbe::with(&nodes(1_000), Probing { probes, points: 1 }).unwrap();
        let (count, mut counts) = (300_000, vec![0_u64; 1_000]);
        keys(count).for_each(|key| counts[table.lookup(key).unwrap()] += 1);
        let most = (1.0 + 1.0 / (f64::from(probes) - 1.0)) / 1_000.0;
        let fullest = counts.into_iter().max().unwrap();
        assert!(fullest as f64 <= binomial_limit(count, most), "{fullest} with {probes} probes");
        if probes == 2 {
            // And not one in k, which would be half.
            assert!(fullest as f64 > binomial_limit(count, 1.5 / 1_000.0), "{fullest}");
        }
    }
}
