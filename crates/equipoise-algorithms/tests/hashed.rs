//! Hash policies where a table is not enough: strangers, full tiers, too much weight.

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use equipoise_algorithms::{Hashed, PolicyConfig};
use equipoise_hash::compat::{Servers, nginx};
use equipoise_hash::{BackendId, HashKey, Node, RendezvousTable, Weight};
use equipoise_pool::{Pool, Request, Spec};

const NAMES: [&str; 4] = ["a:80", "b:80", "c:80", "stranger:80"];

fn spec(name: &'static str) -> Spec<&'static str> {
    Spec::new(BackendId::named(name), name)
}

/// A compatible table that does not know one of the servers was given up as a whole: 769 of 1,000 keys
/// moved.
#[test]
fn a_server_that_a_compatible_table_does_not_know_has_no_keys() {
    let servers = Servers::named(NAMES[..3].iter().copied()).unwrap();
    let table = nginx::Consistent::new(&servers, &[]).unwrap();
    let pool = Pool::new(Hashed::new(table), 1);
    pool.update(NAMES[..3].iter().copied().map(spec)).unwrap();
    let keys = || (0..1_000).map(|i: u32| nginx::Consistent::key(&i.to_le_bytes()).unwrap());
    let owner = |key| *pool.pick(&Request::new().with_key(key)).unwrap();
    let before: Vec<_> = keys().map(owner).collect();
    pool.insert(spec("stranger:80")).unwrap();
    assert_eq!(keys().map(owner).collect::<Vec<_>>(), before);
    // But it is better than nobody.
    for name in &NAMES[..3] {
        pool.remove(BackendId::named(name)).unwrap();
    }
    assert!(keys().map(owner).all(|name| name == "stranger:80"));
}

/// With eight full backends in the tier before it, the policy was not asked any more.
#[test]
fn a_key_keeps_its_backup_however_many_are_full() {
    for full in [1_u64, 7, 8, 40] {
        let pool = Pool::new(Hashed::<RendezvousTable>::default(), 1);
        let one = NonZeroU32::new(1);
        let first = (0..full).map(|i| Spec::new(BackendId::new(i), i).max_in_flight(one.unwrap()));
        let backups = (100..108).map(|i| Spec::new(BackendId::new(i), i).tier(1));
        pool.update(first.chain(backups)).unwrap();
        let request = Request::new().with_key(HashKey::new(7));
        let _held: Vec<_> = (0..full).map(|_| pool.pick(&request).unwrap()).collect();
        let owners: BTreeSet<u64> = (0..50).map(|_| *pool.pick(&request).unwrap()).collect();
        assert_eq!(owners.len(), 1, "{full} full: {owners:?}");
    }
}

#[test]
fn a_configuration_learns_at_once_that_a_table_has_no_room() {
    let nodes: Vec<_> =
        (0..11).map(|i| Node::new(BackendId::new(i)).weight(Weight::new(100))).collect();
    let servers = Servers::named([]).unwrap();
    for (name, takes) in [("anchor", false), ("memento", true), ("ring", true), ("maglev", true)] {
        let config: PolicyConfig = name.parse().unwrap();
        assert_eq!(config.policy_for(&servers, &nodes).is_ok(), takes, "{name}");
    }
    let anchor: PolicyConfig = "anchor".parse().unwrap();
    let error = anchor.policy_for(&servers, &nodes).unwrap_err();
    assert_eq!(error.to_string(), "the weights add up to 1100; at most 1024 is allowed");
}
