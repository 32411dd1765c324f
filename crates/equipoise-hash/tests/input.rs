//! Every list of nodes and every setting makes a table, or an error that names what is wrong.

use equipoise_hash::{
    Anchor, BackendId, BuildError, ConsistentHash, HashKey, Jump, Maglev, Memento, MultiProbe,
    Node, Probing, Rendezvous, RendezvousTable, Ring, Weight,
};

/// Calls `$check` with an empty table of every structure, and its name.
macro_rules! each_structure {
    ($check:expr) => {{
        $check(&Rendezvous::default(), "rendezvous");
        $check(&RendezvousTable::default(), "rendezvous table");
        $check(&RendezvousTable::default().with_quota(0).unwrap(), "quota");
        $check(&Maglev::default(), "maglev");
        $check(&Ring::with_points(&[], 10).unwrap(), "ring");
        let few = Probing { probes: 2, points: 1 };
        $check(&MultiProbe::with(&[], few).unwrap(), "multi-probe");
        $check(&Jump::default(), "jump");
        $check(&Anchor::with_capacity(&[], 200_000).unwrap(), "anchor");
        $check(&Memento::default(), "memento");
    }};
}

fn nodes(weights: &[u16]) -> Vec<Node> {
    let node = |(&w, id): (&u16, u64)| Node::new(BackendId::new(id)).weight(Weight::new(w));
    weights.iter().zip(0..).map(node).collect()
}

fn ones(count: usize) -> Vec<Node> {
    nodes(&vec![1; count])
}

fn owner(table: &impl ConsistentHash, key: u64) -> Option<usize> {
    let (key, owner) = (HashKey::new(key), table.lookup(HashKey::new(key)));
    assert_eq!(table.candidates(key).next(), owner);
    owner
}

fn no_node_no_owner(empty: &impl ConsistentHash, kind: &str) {
    let nobody = [vec![], nodes(&[0]), nodes(&[0, 0, 0])];
    let mut table = empty.update(&[]).unwrap();
    for list in nobody.iter().chain(&[ones(3)]).chain(&nobody) {
        table = table.update(list).unwrap();
        let somebody = list.iter().any(|node| node.weight > Weight::ZERO);
        assert_eq!(owner(&table, 5).is_some(), somebody, "{kind}");
        assert_eq!(owner(&table, u64::MAX).is_some(), somebody, "{kind}");
    }
}

#[test]
fn there_is_an_owner_where_somebody_has_a_weight() {
    each_structure!(no_node_no_owner);
}

fn light_and_heavy(empty: &impl ConsistentHash, kind: &str) {
    let list = nodes(&[1, u16::MAX, 0, 1]);
    let table = empty.update(&list).unwrap();
    let to_heavy = (0..1_000).filter(|&key| owner(&table, key) == Some(1)).count();
    assert!(to_heavy > 980, "{kind}: {to_heavy}");
    for key in 0..20 {
        assert_eq!(table.candidates(HashKey::new(key)).count(), 3, "{kind}");
        assert_eq!(table.lookup_where(HashKey::new(key), |node| node == 3), Some(3), "{kind}");
    }
    let all_heavy = empty.update(&nodes(&[u16::MAX; 3])).unwrap();
    assert!(owner(&all_heavy, 1).is_some(), "{kind}");
}

#[test]
fn weights_may_be_as_far_apart_as_can_be() {
    each_structure!(light_and_heavy);
}

fn twice_the_same(empty: &impl ConsistentHash, kind: &str) {
    for id in [0, 7, u64::MAX] {
        let node = Node::new(BackendId::new(id));
        let mut list = nodes(&[1; 3]);
        // Also where one of them, or both, have no weight.
        let shadow = node.weight(Weight::ZERO);
        for pair in [[node, node], [node, shadow], [shadow, shadow]] {
            list.retain(|other| other.id != node.id);
            list.splice(1..1, pair);
            let error = empty.update(&list).err();
            assert_eq!(error, Some(BuildError::DuplicateId(node.id)), "{kind}");
        }
        // The table that refused is as it was, and goes on.
        assert!(empty.update(&list[..2]).is_ok(), "{kind}");
    }
}

#[test]
fn an_id_that_is_there_twice_is_named() {
    each_structure!(twice_the_same);
}

#[test]
fn a_table_has_as_many_slots_as_it_is_told() {
    let odd = [1, 2, 3, 64, 65_536, 65_537];
    for size in odd.into_iter().chain([1 << 24]) {
        let list = ones(size.min(2));
        let maglev = Maglev::with_size(&list, size).unwrap();
        assert_eq!(maglev.slots().iter().sum::<usize>(), size);
        assert!(owner(&maglev, u64::MAX).is_some());
        let table = RendezvousTable::with_size(&list, size).unwrap();
        assert_eq!(table.slots().iter().sum::<usize>(), size);
        assert!(owner(&table, u64::MAX).is_some());
        if size < 1 << 24 {
            assert_eq!(table.with_quota(0).unwrap().slots().iter().sum::<usize>(), size);
        }
    }
    for size in odd {
        // As many nodes as slots: each has one.
        let full = Maglev::with_size(&ones(size.min(64)), size.min(64)).unwrap();
        assert!(full.slots().into_iter().all(|slots| slots == 1));
    }
}

#[test]
fn a_number_of_slots_out_of_range_is_named() {
    for (given, text) in
        [(0, "0"), ((1 << 24) + 1, "16777217"), (usize::MAX, "18446744073709551615")]
    {
        let text = format!("slots: {text} is out of range; allowed are 1 to 16777216");
        assert_eq!(Maglev::with_size(&ones(1), given).unwrap_err().to_string(), text);
        assert_eq!(RendezvousTable::with_size(&ones(1), given).unwrap_err().to_string(), text);
    }
}

#[test]
fn more_nodes_than_slots_are_too_many() {
    let too_many = BuildError::TooManyNodes { nodes: 4, limit: 3 };
    // One more has no weight, and needs no slot.
    let list = nodes(&[1, 1, 0, 1, 1]);
    let maglev = Maglev::with_size(&list[..4], 3).unwrap();
    assert_eq!(maglev.update(&list).unwrap_err(), too_many);
    assert_eq!(Maglev::with_size(&list, 3).unwrap_err(), too_many);
    let table = RendezvousTable::with_size(&list[..4], 3).unwrap();
    assert_eq!(table.update(&list).unwrap_err(), too_many);
    assert_eq!(RendezvousTable::with_size(&list, 3).unwrap_err(), too_many);
}

#[test]
fn settings_out_of_range_are_named() {
    let range = |setting, given, min, max| BuildError::OutOfRange { setting, given, min, max };
    for given in [0, 4_097, u16::MAX] {
        let error = range("points", given.into(), 1, 4_096);
        assert_eq!(Ring::with_points(&[], given).unwrap_err(), error);
        let probing = Probing { probes: 1, points: given };
        assert_eq!(MultiProbe::with(&[], probing).unwrap_err(), error);
    }
    for probes in [0, 129, u8::MAX] {
        let error = range("probes", probes.into(), 1, 128);
        assert_eq!(MultiProbe::with(&[], Probing { probes, points: 1 }).unwrap_err(), error);
    }
    for given in [0, Anchor::MAX_CAPACITY + 1, usize::MAX] {
        let error = range("capacity", given as u64, 1, 1 << 20);
        assert_eq!(Anchor::with_capacity(&[], given).unwrap_err(), error);
    }
    let quota = RendezvousTable::default().with_quota(1_001).unwrap_err();
    assert_eq!(quota, range("quota", 1_001, 0, 1_000));
    // The limits themselves are allowed.
    assert!(Ring::with_points(&ones(1), Ring::MAX_POINTS).is_ok());
    let most = Probing { probes: MultiProbe::MAX_PROBES, points: Ring::MAX_POINTS };
    assert!(MultiProbe::with(&ones(1), most).is_ok());
    assert!(Anchor::with_capacity(&ones(1), 1).is_ok());
    assert!(Anchor::with_capacity(&ones(1), Anchor::MAX_CAPACITY).is_ok());
    assert!(RendezvousTable::default().with_quota(RendezvousTable::MAX_QUOTA).is_ok());
}

#[test]
fn weights_that_add_up_to_too_much_are_refused() {
    let too_large = |sum, limit| Some(BuildError::WeightsTooLarge { sum, limit });
    let list = nodes(&[u16::MAX; 17]);
    let sum = 17 * 65_535;
    assert_eq!(Jump::new(&list).err(), too_large(sum, 1 << 20));
    assert_eq!(Memento::new(&list).err(), too_large(sum, 1 << 20));
    assert_eq!(Anchor::new(&list).err(), too_large(sum, 1 << 20));
    assert_eq!(Ring::new(&list).err(), too_large(sum, (1 << 21) / 160));
    assert_eq!(MultiProbe::new(&list).err(), too_large(sum, (1 << 21) / 64));
    let anchor = Anchor::with_capacity(&nodes(&[6]), 10).unwrap();
    assert_eq!(anchor.update(&nodes(&[6, 5])).err(), too_large(11, 10));
    assert!(anchor.update(&nodes(&[5, 5])).is_ok());
    // Exactly as much as there is room for.
    let full = [vec![u16::MAX; 16], vec![16]].concat();
    assert!(Jump::new(&nodes(&full)).is_ok() && Memento::new(&nodes(&full)).is_ok());
    assert_eq!(Anchor::new(&nodes(&full)).unwrap().capacity(), Anchor::MAX_CAPACITY);
}

#[test]
fn an_anchor_that_is_full_says_what_there_is_room_for() {
    let list = nodes(&[u16::MAX; 17]);
    let error = Anchor::with_capacity(&list, 100).unwrap_err();
    assert_eq!(error, BuildError::WeightsTooLarge { sum: 17 * 65_535, limit: 100 });
}
