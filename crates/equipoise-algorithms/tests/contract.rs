//! Every policy of this crate, and each in its run-time form, keeps the contract.

use equipoise_algorithms::{
    BoundedLoad, Hashed, LeastConn, LoadFactor, P2c, PeakEwma, PolicyConfig, Random, RoundRobin,
    WithoutKey,
};
use equipoise_hash::compat::{Server, Servers, envoy, haproxy, nginx};
use equipoise_hash::{
    Anchor, BackendId, ConsistentHash, Jump, Maglev, Memento, MultiProbe, Probing, Rendezvous,
    RendezvousTable, Ring,
};
use equipoise_testkit::{Arena, Promises, policy_contract};

const FAIR: Promises = Promises { failing_share: Some(1.0), ..Promises::weighted() };

policy_contract!(round_robin, || RoundRobin, Promises { smooth: true, ..FAIR });
policy_contract!(random, || Random, FAIR);
// In-flight alone can't tell a fast failure from a fast answer; of two choices, it can win both
// draws of a request, no more: twice the fair share.
policy_contract!(
    p2c,
    P2c::default,
    Promises { load_spread: Some(14.0), failing_share: Some(2.0), ..Promises::weighted() }
);
policy_contract!(
    p2c_of_five,
    || P2c::new(5).unwrap(),
    Promises { load_spread: Some(10.0), ..Promises::weighted() }
);
policy_contract!(
    least_conn,
    LeastConn::new,
    Promises { smooth: true, load_spread: Some(2.0), ..Promises::weighted() }
);
policy_contract!(peak_ewma, PeakEwma::default, Promises { load_spread: Some(14.0), ..FAIR });

policy_contract!(
    round_robin_by_name,
    || "round_robin".parse::<PolicyConfig>().unwrap().policy(),
    Promises { smooth: true, ..FAIR }
);
policy_contract!(
    least_conn_by_name,
    || "least_conn".parse::<PolicyConfig>().unwrap().policy(),
    Promises { smooth: true, load_spread: Some(2.0), ..Promises::weighted() }
);
policy_contract!(
    peak_ewma_by_name,
    || "peak_ewma".parse::<PolicyConfig>().unwrap().policy(),
    Promises { load_spread: Some(14.0), ..FAIR }
);

// Requests with keys. Of the tables, only some have shares that are exactly the weights. They are
// small here, since the contract builds them thousands of times.
const KEYED: Promises = Promises { keyed: Some(0.0), ..Promises::none() };
const KEYED_BY_WEIGHT: Promises = Promises { keyed: Some(0.0), ..FAIR };

policy_contract!(rendezvous, Hashed::<Rendezvous>::default, KEYED_BY_WEIGHT);
policy_contract!(memento, Hashed::<Memento>::default, KEYED_BY_WEIGHT);
// The last one moves into the gap, so of three, two have changed places in the end.
policy_contract!(jump, Hashed::<Jump>::default, Promises { keyed: Some(0.7), ..KEYED_BY_WEIGHT });
// Weights that add up to more than its capacity are halved, so they are not exact.
policy_contract!(anchor, Hashed::<Anchor>::default, KEYED);
policy_contract!(ring, || Hashed::new(Ring::with_points(&[], 16).unwrap()), KEYED);
policy_contract!(multi_probe, || Hashed::new(few_probes()), KEYED);
policy_contract!(rendezvous_table, || Hashed::new(small_table()), KEYED);
policy_contract!(
    rendezvous_table_with_quota,
    || Hashed::new(small_table().with_quota(5).unwrap()),
    Promises { keyed: Some(0.05), ..KEYED }
);
policy_contract!(maglev, || Hashed::new(small_maglev()), Promises { keyed: Some(0.05), ..KEYED });
policy_contract!(rendezvous_by_name, || by_name("rendezvous"), KEYED_BY_WEIGHT);

// As other proxies hash. Their directory of servers has all backends that the contract makes. Shares
// are not exact, and it is the other proxy's to say how little moves: Envoy's Maglev moves some.
policy_contract!(
    nginx_consistent,
    || Hashed::new(nginx::Consistent::new(&directory(), &[]).unwrap()),
    KEYED
);
policy_contract!(
    haproxy_consistent,
    || Hashed::new(haproxy::Consistent::new(&directory(), &[]).unwrap()),
    KEYED
);
policy_contract!(
    envoy_maglev,
    || Hashed::new(envoy::Maglev::new(&directory(), &[], 1_009).unwrap()),
    Promises { keyed: Some(0.05), ..KEYED }
);
policy_contract!(
    nginx_hash_without_servers,
    || "nginx_hash".parse::<PolicyConfig>().unwrap().policy(),
    KEYED_BY_WEIGHT
);

// Requests without keys, and what they are promised instead.
policy_contract!(hashed_without_a_key, || Hashed::new(small_table()), FAIR);
policy_contract!(
    hashed_without_a_key_in_turn,
    || Hashed::new(small_maglev()).without_key(WithoutKey::RoundRobin),
    Promises { smooth: true, ..FAIR }
);

// With nothing in flight, nobody is over its share. But what the busy may not have goes to one that
// fails fast, too.
policy_contract!(
    bounded_rendezvous,
    || bounded(Rendezvous::default()),
    Promises { failing_share: None, ..KEYED_BY_WEIGHT }
);
policy_contract!(
    bounded_maglev,
    || bounded(small_maglev()),
    Promises { keyed: Some(0.05), ..KEYED }
);
policy_contract!(bounded_without_a_key, || bounded(small_table()), Promises::weighted());

fn bounded<T: ConsistentHash>(table: T) -> BoundedLoad<T> {
    BoundedLoad::new(Hashed::new(table), LoadFactor::default())
}

fn small_table() -> RendezvousTable {
    RendezvousTable::with_size(&[], 1_000).unwrap()
}

fn small_maglev() -> Maglev {
    Maglev::with_size(&[], 1_000).unwrap()
}

fn few_probes() -> MultiProbe {
    MultiProbe::with(&[], Probing { probes: 5, points: 4 }).unwrap()
}

fn directory() -> Servers {
    let server = |i| Server::new(&format!("10.0.{}.{}:80", i / 250, i % 250)).id(id(i));
    Servers::new((0..2_000).map(server)).unwrap()
}

fn id(i: usize) -> BackendId {
    Arena::<Random>::id(i)
}

fn by_name(name: &str) -> equipoise_core::BoxPolicy {
    name.parse::<PolicyConfig>().unwrap().policy()
}
