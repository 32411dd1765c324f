//! Tables whose answers depend on their past, stored and read back.
#![cfg(feature = "serde")]

use equipoise_core::Rng;
use equipoise_hash::{Anchor, BackendId, ConsistentHash, HashKey, Jump, Memento, Node, Weight};
use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// What happens to a list of nodes; numbers wrap around.
#[derive(Clone, Debug)]
enum Change {
    Join(u64, u16),
    Leave(u8),
    Weight(u8, u16),
    Shuffle(u64),
    Clear,
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let change = prop_oneof![
        4 => (any::<u64>(), 0..6_u16).prop_map(|(id, weight)| Change::Join(id, weight)),
        4 => any::<u8>().prop_map(Change::Leave),
        2 => (any::<u8>(), 0..6_u16).prop_map(|(place, weight)| Change::Weight(place, weight)),
        1 => any::<u64>().prop_map(Change::Shuffle),
        1 => Just(Change::Clear),
    ];
    proptest::collection::vec(change, 0..40)
}

fn apply(change: &Change, list: &mut Vec<Node>) {
    let len = list.len();
    match *change {
        Change::Join(id, weight) => {
            list.retain(|node| node.id.get() != id);
            list.push(Node::new(BackendId::new(id)).weight(Weight::new(weight)));
        }
        Change::Leave(place) if len > 0 => _ = list.remove(usize::from(place) % len),
        Change::Weight(place, weight) if len > 0 => {
            list[usize::from(place) % len].weight = Weight::new(weight);
        }
        Change::Shuffle(seed) => {
            let mut rng = Rng::seeded(seed);
            (0..len).for_each(|i| list.swap(i, rng.below(len as u32) as usize));
        }
        Change::Clear => list.clear(),
        Change::Leave(_) | Change::Weight(..) => {}
    }
}

/// The answers to some keys, by place and by candidates.
fn answers<T: ConsistentHash>(table: &T) -> Vec<Vec<usize>> {
    let keys = (0..100).map(|key| HashKey::new(Rng::seeded(key).next_u64()));
    keys.map(|key| table.candidates(key).take(3).collect()).collect()
}

fn read_back<T: Serialize + DeserializeOwned>(table: &T) -> T {
    serde_json::from_str(&serde_json::to_string(table).unwrap()).unwrap()
}

/// Stored at one point, and from then on beside the one that was not.
fn goes_on_as_if_it_had_stayed<T>(
    empty: T,
    changes: &[Change],
    point: usize,
) -> Result<(), TestCaseError>
where
    T: ConsistentHash + Clone + Serialize + DeserializeOwned,
{
    let (mut list, mut stayed, mut read) = (Vec::new(), empty.clone(), empty);
    for (i, change) in changes.iter().enumerate() {
        apply(change, &mut list);
        stayed = stayed.update(&list).unwrap();
        read = read.update(&list).unwrap();
        if i % 7 == point % 7 {
            read = read_back(&read);
        }
        prop_assert_eq!(read.nodes(), &list[..]);
        prop_assert_eq!(answers(&read), answers(&stayed));
    }
    Ok(())
}

/// Whatever is read: it is refused, or is a table that gives answers and goes on.
fn harmless<T: ConsistentHash + DeserializeOwned>(text: &str) -> Result<(), TestCaseError> {
    let Ok(table) = serde_json::from_str::<T>(text) else { return Ok(()) };
    let heavy = table.nodes().iter().filter(|node| node.weight > Weight::ZERO).count();
    for key in (0..20).map(HashKey::new) {
        prop_assert_eq!(table.candidates(key).count(), heavy);
    }
    if let Ok(more) = table.update(&[table.nodes(), &[Node::new(BackendId::new(1 << 40))]].concat())
    {
        prop_assert!(more.lookup(HashKey::new(1)).is_some());
    }
    if let Ok(none) = table.update(&[]) {
        prop_assert_eq!(none.lookup(HashKey::new(1)), None);
    }
    Ok(())
}

fn all_harmless(text: &str) -> Result<(), TestCaseError> {
    harmless::<Jump>(text)?;
    harmless::<Anchor>(text)?;
    harmless::<Memento>(text)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_table_that_was_stored_goes_on_as_if_it_had_stayed(changes in changes(), point in 0..7_usize) {
        goes_on_as_if_it_had_stayed(Jump::default(), &changes, point)?;
        goes_on_as_if_it_had_stayed(Memento::default(), &changes, point)?;
        goes_on_as_if_it_had_stayed(Anchor::with_capacity(&[], 300).unwrap(), &changes, point)?;
    }

    #[test]
    fn a_stored_table_that_was_tampered_with_is_refused_or_works(
        changes in changes(), tampering in proptest::collection::vec(any::<(u16, u8)>(), 0..4), cut in any::<Option<u16>>(),
    ) {
        let mut list = Vec::new();
        let (mut memento, mut anchor) = (Memento::default(), Anchor::with_capacity(&[], 40).unwrap());
        for change in &changes {
            apply(change, &mut list);
            memento = memento.update(&list).unwrap();
            anchor = anchor.update(&list).unwrap_or(anchor);
        }
        for text in [serde_json::to_string(&memento).unwrap(), serde_json::to_string(&anchor).unwrap()] {
            let mut bytes = text.into_bytes();
            for &(place, byte) in &tampering {
                let place = usize::from(place) % bytes.len();
                // A digit is the worst.
                bytes[place] = b"0123456789,]"[usize::from(byte) % 12];
            }
            if let Some(cut) = cut {
                bytes.truncate(usize::from(cut) % (bytes.len() + 1));
            }
            all_harmless(&String::from_utf8_lossy(&bytes))?;
        }
    }

    /// In the right form, with any numbers.
    #[test]
    fn any_numbers_are_refused_or_work(
        weights in proptest::collection::vec(0..4_u16, 0..4),
        owners in proptest::collection::vec(proptest::option::of(0..4_u32), 0..8),
        gone in proptest::collection::vec(0..8_u32, 0..6),
    ) {
        let nodes: Vec<Value> =
            weights.iter().enumerate().map(|(id, weight)| json!({ "id": id, "weight": weight })).collect();
        let buckets = json!({ "nodes": nodes, "owners": owners });
        harmless::<Jump>(&buckets.to_string())?;
        let with_gone = json!({ "buckets": buckets, "gone": gone }).to_string();
        harmless::<Anchor>(&with_gone)?;
        harmless::<Memento>(&with_gone)?;
    }

    /// As above, where all but the order is right.
    #[test]
    fn any_order_of_leaving_is_refused_or_works(owners in proptest::collection::vec(any::<bool>(), 1..10), seed in any::<u64>()) {
        let mut gone: Vec<usize> = (0..owners.len()).filter(|&i| !owners[i]).collect();
        let (mut rng, len) = (Rng::seeded(seed), gone.len());
        (0..len).for_each(|i| gone.swap(i, rng.below(len as u32) as usize));
        let weight = owners.iter().filter(|&&there| there).count();
        let nodes = json!([{ "id": 7, "weight": weight }]);
        let owners: Vec<Option<u8>> = owners.into_iter().map(|there| there.then_some(0)).collect();
        let text = json!({ "buckets": { "nodes": nodes, "owners": owners }, "gone": gone }).to_string();
        // Of these, an anchor takes any; it has a bucket at least.
        prop_assert!(serde_json::from_str::<Anchor>(&text).is_ok());
        all_harmless(&text)?;
    }
}

fn refusal<T: DeserializeOwned + std::fmt::Debug>(value: &Value) -> String {
    serde_json::from_str::<T>(&value.to_string()).unwrap_err().to_string()
}

#[test]
fn what_is_wrong_with_a_stored_table_is_said() {
    let node = |id: u64, weight: u32| json!({ "id": id, "weight": weight });
    let anchor = |nodes: Value, owners: Value, gone: Value| json!({ "buckets": { "nodes": nodes, "owners": owners }, "gone": gone });
    let cases = [
        (anchor(json!([node(1, 1), node(1, 0)]), json!([0]), json!([])), "two have the same id"),
        (anchor(json!([node(1, 1)]), json!([1]), json!([])), "owners: no such node"),
        (anchor(json!([node(1, 2)]), json!([0]), json!([])), "not as many buckets as its weight"),
        (anchor(json!([node(1, 1)]), json!([0, 0]), json!([])), "not as many buckets"),
        (anchor(json!([]), json!([null]), json!([])), "gone: a free bucket is missing"),
        (anchor(json!([]), json!([null]), json!([1])), "gone: no such bucket"),
        (anchor(json!([]), json!([null, null]), json!([0, 0])), "occupied, or there twice"),
        (anchor(json!([node(1, 1)]), json!([0, null]), json!([0, 1])), "occupied, or there twice"),
        (anchor(json!([node(1, 65_536)]), json!([]), json!([])), "65536"),
        (anchor(json!([]), json!([u64::MAX]), json!([])), "18446744073709551615"),
        (anchor(json!([]), json!([]), json!([1_u64 << 60])), "1152921504606846976"),
        (
            json!({ "buckets": { "nodes": [], "owners": [] }, "gone": [], "capacity": 1_u64 << 60 }),
            "capacity",
        ),
        (json!({ "buckets": { "nodes": [], "owners": [] } }), "missing field"),
    ];
    for (stored, wrong) in cases {
        for error in [refusal::<Anchor>(&stored), refusal::<Memento>(&stored)] {
            assert!(error.contains(wrong), "{error:?}, not {wrong:?}, of {stored}");
        }
    }
    let at_the_end = anchor(json!([node(1, 1)]), json!([0, null]), json!([1]));
    assert!(refusal::<Memento>(&at_the_end).contains("leaves without a trace"));
    let no_bucket = anchor(json!([]), json!([]), json!([]));
    assert!(refusal::<Anchor>(&no_bucket).contains("owners: no buckets"));
    let gap = json!({ "nodes": [node(1, 1)], "owners": [0, null] });
    assert!(refusal::<Jump>(&gap).contains("a free bucket is missing"));
    let too_many = json!({ "nodes": [], "owners": vec![Value::Null; (1 << 20) + 1] });
    assert!(refusal::<Jump>(&too_many).contains("more than 2^20 buckets"));
}
