//! Any table of any settings, over any nodes, after any changes: everybody with a weight is a
//! candidate once, the owner first; a table that forgets is the one built anew from its nodes, and
//! one that remembers is the one that was stored and read back.
#![no_main]

use std::collections::BTreeSet;

use arbitrary::Arbitrary;
use equipoise_hash::{
    Anchor, BackendId, BuildError, ConsistentHash, HashKey, Jump, Maglev, Memento, MultiProbe,
    Node, Probing, Rendezvous, RendezvousTable, Ring, Weight,
};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
enum Kind {
    Rendezvous,
    RendezvousTable { slots: u16, quota: Option<u16> },
    Maglev { slots: u16 },
    Ring { points: u16 },
    MultiProbe { probes: u8, points: u16 },
    Jump,
    Anchor { capacity: u16 },
    Memento,
}

#[derive(Arbitrary, Debug)]
enum Step {
    Join {
        id: u64,
        weight: u16,
    },
    /// Of the small ids, several are the same.
    JoinNear {
        id: u8,
        weight: u8,
        place: u8,
    },
    Leave {
        place: u8,
    },
    Weight {
        place: u8,
        weight: u16,
    },
    Swap {
        one: u8,
        other: u8,
    },
    Clear,
}

/// So many slots, points and buckets at most: tables are made often.
const LARGE: u16 = 2_000;

impl Step {
    fn apply(&self, list: &mut Vec<Node>) {
        let node = |id, weight| Node::new(BackendId::new(id)).weight(Weight::new(weight));
        let len = list.len();
        let at = |place: u8| usize::from(place) % len;
        match *self {
            // A list may have an id twice, until one leaves.
            Self::Join { id, weight } if len < 40 => list.push(node(id, weight)),
            Self::JoinNear { id, weight, place } if len < 40 => {
                list.insert(usize::from(place) % (len + 1), node(id.into(), weight.into()));
            }
            Self::Leave { place } if len > 0 => _ = list.remove(at(place)),
            Self::Weight { place, weight } if len > 0 => {
                list[at(place)].weight = Weight::new(weight);
            }
            Self::Swap { one, other } if len > 0 => list.swap(at(one), at(other)),
            Self::Clear => list.clear(),
            _ => {}
        }
    }
}

fn check(table: &impl ConsistentHash, list: &[Node], keys: &[u64]) {
    assert_eq!(table.nodes(), list);
    let heavy: BTreeSet<usize> =
        (0..list.len()).filter(|&i| list[i].weight > Weight::ZERO).collect();
    for key in keys.iter().copied().map(HashKey::new) {
        let order: Vec<usize> = table.candidates(key).collect();
        assert_eq!(table.lookup(key), order.first().copied());
        assert_eq!(order.len(), heavy.len());
        assert_eq!(order.iter().copied().collect::<BTreeSet<_>>(), heavy);
    }
}

/// The order of each key, by id.
fn orders(table: &impl ConsistentHash, keys: &[u64]) -> Vec<Vec<BackendId>> {
    let order = |&key: &u64| table.candidates(HashKey::new(key)).map(|i| table.nodes()[i].id);
    keys.iter().map(|key| order(key).take(3).collect()).collect()
}

/// An error names what is wrong: an id that is there twice, or weights that are too large.
fn check_error(error: BuildError, list: &[Node]) {
    let ids: BTreeSet<BackendId> = list.iter().map(|node| node.id).collect();
    let sum: u64 = list.iter().map(|node| u64::from(node.weight.get())).sum();
    match error {
        BuildError::DuplicateId(id) => {
            assert!(list.iter().filter(|node| node.id == id).count() > 1);
        }
        error => {
            assert_eq!(ids.len(), list.len(), "{error}");
            match error {
                BuildError::WeightsTooLarge { sum: named, limit } => {
                    assert!(named == sum && sum > limit);
                }
                BuildError::TooManyNodes { nodes, limit } => {
                    assert!(nodes <= list.len() && nodes > limit);
                }
                error => panic!("{error}"),
            }
        }
    }
}

fn run<T: ConsistentHash>(
    empty: Result<T, BuildError>,
    steps: &[Step],
    keys: &[u64],
    same: impl Fn(&T, &T) -> T,
) {
    let Ok(empty) = empty else { return };
    let (mut list, mut given, mut table) = (Vec::new(), Vec::new(), None::<T>);
    for step in steps {
        step.apply(&mut list);
        match table.as_ref().unwrap_or(&empty).update(&list) {
            Ok(next) => (table, given) = (Some(next), list.clone()),
            Err(error) => check_error(error, &list),
        }
        let Some(now) = &table else { continue };
        check(now, &given, keys);
        let other = same(&empty, now);
        assert_eq!(orders(&other, keys), orders(now, keys));
        // From here on, with the other one.
        table = Some(other);
        let Some(now) = &table else { continue };
        if keys.len() % 2 == 0 {
            table = now.update(&given).ok();
            assert!(table.is_some());
        }
    }
}

/// Built anew, from the list in the opposite order.
fn anew<T: ConsistentHash>(empty: &T, table: &T) -> T {
    let mut list = table.nodes().to_vec();
    list.reverse();
    let reversed = empty.update(&list).unwrap();
    list.reverse();
    reversed.update(&list).unwrap()
}

fn read_back<T: serde::Serialize + serde::de::DeserializeOwned>(_: &T, table: &T) -> T {
    serde_json::from_str(&serde_json::to_string(table).unwrap()).unwrap()
}

fuzz_target!(|input: (Kind, Vec<Step>, Vec<u64>)| {
    let (kind, mut steps, mut keys) = input;
    steps.truncate(24);
    keys.truncate(8);
    // Weights where a structure keeps something for each unit.
    let mut light = || {
        for step in &mut steps {
            if let Step::Join { weight, .. } | Step::Weight { weight, .. } = step {
                *weight = if *weight == u16::MAX { u16::MAX } else { *weight % 64 };
            }
        }
    };
    match kind {
        Kind::Rendezvous => run(Ok(Rendezvous::default()), &steps, &keys, anew),
        Kind::RendezvousTable { slots, quota } => {
            let table = RendezvousTable::with_size(&[], usize::from(slots % LARGE));
            let with_quota = |table: RendezvousTable| match quota {
                None => Ok(table),
                Some(percent) => table.with_quota(percent),
            };
            run(table.and_then(with_quota), &steps, &keys, anew);
        }
        Kind::Maglev { slots } => {
            run(Maglev::with_size(&[], usize::from(slots % LARGE)), &steps, &keys, anew);
        }
        Kind::Ring { points } => {
            light();
            run(Ring::with_points(&[], points % 9), &steps, &keys, anew);
        }
        Kind::MultiProbe { probes, points } => {
            light();
            let settings = Probing { probes, points: points % 9 };
            run(MultiProbe::with(&[], settings), &steps, &keys, anew);
        }
        Kind::Jump => {
            light();
            run(Ok(Jump::default()), &steps, &keys, read_back);
        }
        Kind::Anchor { capacity } => {
            light();
            let capacity = usize::from(capacity % LARGE);
            run(Anchor::with_capacity(&[], capacity), &steps, &keys, read_back);
        }
        Kind::Memento => {
            light();
            run(Ok(Memento::default()), &steps, &keys, read_back);
        }
    }
});
