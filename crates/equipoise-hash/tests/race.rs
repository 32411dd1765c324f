//! The vectorised race gives the answers of the one that compares every node exactly.

use equipoise_core::Rng;
use equipoise_hash::{
    BackendId, ConsistentHash, HashKey, Node, Rendezvous, RendezvousTable, Weight,
};
use proptest::prelude::*;

/// Sizes around those of a vector and of a heat, and any.
fn sizes() -> impl Strategy<Value = usize> {
    let near = |of: usize, times: usize| {
        (1..=times, 0..3_usize).prop_map(move |(k, off)| (of * k + off - 1).max(1))
    };
    prop_oneof![near(8, 20), near(128, 5), 1..700_usize]
}

fn weight(rng: &mut Rng, kind: u8) -> Weight {
    Weight::new(match kind {
        0 => 1,
        1 => 1 + rng.below(5) as u16,
        2 => [1, 50, u16::MAX][rng.below(3) as usize],
        // The reference of the paces is a sixteenth of the heaviest.
        3 => [15, 16, 17, 256][rng.below(4) as usize],
        4 => rng.below(1 << 16) as u16,
        _ => u16::MAX,
    })
}

proptest! {
    // 300 keys in each of 1,000 races.
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn the_race_is_as_if_every_node_were_compared(n in sizes(), kind in 0..6_u8, seed in any::<u64>()) {
        let mut rng = Rng::seeded(seed);
        let nodes: Vec<Node> = (0..n)
            .map(|_| Node::new(BackendId::new(rng.next_u64())).weight(weight(&mut rng, kind)))
            .collect();
        let table = Rendezvous::new(&nodes).unwrap();
        for _ in 0..300 {
            let key = HashKey::new(rng.next_u64());
            let exact = table.lookup_where(key, |_| true);
            prop_assert_eq!(table.lookup(key), exact, "{} nodes, key {}", n, key.get());
        }
    }

    /// The slots of a table are raced for with the vectors, and newcomers by yet another shortcut.
    #[test]
    fn a_newcomer_takes_the_slots_that_it_wins(n in 8..200_usize, kind in 0..6_u8, seed in any::<u64>()) {
        let mut rng = Rng::seeded(seed);
        let node = |rng: &mut Rng| {
            Node::new(BackendId::new(rng.next_u64())).weight(weight(rng, kind))
        };
        let mut nodes: Vec<Node> = (0..n).map(|_| node(&mut rng)).collect();
        let table = RendezvousTable::with_size(&nodes, 500).unwrap();
        nodes.swap_remove(rng.below(n as u32) as usize);
        nodes.push(node(&mut rng));
        let anew = RendezvousTable::with_size(&nodes, 500).unwrap();
        let updated = table.update(&nodes).unwrap();
        for _ in 0..200 {
            let key = HashKey::new(rng.next_u64());
            prop_assert_eq!(updated.lookup(key), anew.lookup(key));
        }
    }
}

#[test]
fn many_nodes_share_exactly_by_weight() {
    // In so many, some ids' seeds have half of their bits in common.
    let node = |i: u64| {
        let weight = Weight::new([1, 2, 5][i as usize % 3]);
        Node::new(BackendId::new(i)).weight(weight)
    };
    let nodes: Vec<Node> = (0..700).map(node).collect();
    let table = Rendezvous::new(&nodes).unwrap();
    let mut counts = vec![0; nodes.len()];
    for key in 0..1_000_000 {
        counts[table.lookup(HashKey::new(key)).unwrap()] += 1;
    }
    // Each, all of a weight, and all of a range of ids: what is off by little everywhere adds up.
    let (mut by_weight, mut by_id) = ([(0, 0.0); 3], [(0, 0.0); 14]);
    let mut each = Vec::new();
    for (i, (node, count)) in nodes.iter().zip(counts).enumerate() {
        let weight = f64::from(node.weight.get());
        each.push((count, weight));
        for (counts, odds) in [&mut by_weight[i % 3], &mut by_id[i / 50]] {
            *counts += count;
            *odds += weight;
        }
    }
    for cells in [&each[..], &by_weight, &by_id] {
        let (counts, odds): (Vec<u64>, Vec<f64>) = cells.iter().copied().unzip();
        equipoise_testkit::statistics::assert_shares(&counts, &odds);
    }
}
