//! What the compatible tables promise besides the real servers' answers.

use equipoise_hash::compat::{Server, Servers, envoy, haproxy, nginx};
use equipoise_hash::{BackendId, BuildError, ConsistentHash, HashKey, Node, Weight};
use proptest::prelude::*;

const SMALL: envoy::RingSettings =
    envoy::RingSettings { function: envoy::RingFunction::XxHash, minimum: 64, maximum: 128 };

/// Calls `$check` with a table of every kind, over `$nodes`.
macro_rules! each_kind {
    ($servers:expr, $nodes:expr, $check:expr) => {{
        let (servers, nodes) = (&$servers, &$nodes);
        $check(nginx::Consistent::new(servers, nodes).as_ref().err(), "nginx consistent");
        $check(nginx::PlainHash::new(servers, nodes).as_ref().err(), "nginx hash");
        $check(nginx::IpHash::new(servers, nodes).as_ref().err(), "nginx ip_hash");
        $check(haproxy::Consistent::new(servers, nodes).as_ref().err(), "haproxy");
        $check(envoy::RingHash::new(servers, nodes, SMALL).as_ref().err(), "envoy ring");
        $check(envoy::Maglev::new(servers, nodes, 97).as_ref().err(), "envoy maglev");
    }};
}

fn named(n: usize) -> Servers {
    let names: Vec<String> = (0..n).map(|i| format!("10.0.0.{i}:80")).collect();
    Servers::named(names.iter().map(String::as_str)).unwrap()
}

#[test]
fn nodes_have_to_be_known_and_once() {
    let servers = named(3);
    let known = servers.nodes([]);
    let stranger = Node::new(BackendId::named("10.0.0.9:80"));
    let unknown = BuildError::UnknownServer(stranger.id);
    each_kind!(servers, [known[0], stranger], |error, kind| {
        assert_eq!(error, Some(&unknown), "{kind}");
    });
    let twice = BuildError::DuplicateId(known[1].id);
    each_kind!(servers, [known[1], known[0], known[1]], |error, kind| {
        assert_eq!(error, Some(&twice), "{kind}");
    });
    assert_eq!(Servers::named(["a", "b", "a"]).unwrap_err(), {
        BuildError::DuplicateId(BackendId::named("a"))
    });
}

#[test]
fn settings_have_to_be_what_the_server_takes() {
    let servers = named(2);
    let nodes = servers.nodes([257, 1].map(Weight::new));
    let error = haproxy::Consistent::new(&servers, &nodes).unwrap_err();
    assert_eq!(error.to_string(), "weight: 257 is out of range; allowed are 0 to 256");

    let maglev = |size| envoy::Maglev::new(&servers, &nodes, size).unwrap_err().to_string();
    for size in [0, 1, 4, 65_536, 1009 * 1009] {
        assert_eq!(maglev(size), format!("table size {size} is not a prime number"));
    }
    assert_eq!(maglev(5_000_081), "table size: 5000081 is out of range; allowed are 2 to 5000011");
    assert!(envoy::Maglev::new(&servers, &nodes, 2).is_ok());

    let ring = |minimum, maximum| {
        let settings = envoy::RingSettings { minimum, maximum, ..Default::default() };
        envoy::RingHash::new(&servers, &nodes, settings).unwrap_err().to_string()
    };
    assert_eq!(ring(9, 8), "minimum ring size: 9 is out of range; allowed are 1 to 8");
    assert_eq!(ring(0, 8), "minimum ring size: 0 is out of range; allowed are 1 to 8");
    let too_large = "maximum ring size: 8388609 is out of range; allowed are 1 to 8388608";
    assert_eq!(ring(8, 8_388_609), too_large);
}

#[test]
fn weights_may_not_add_up_to_more_than_there_is_room_for() {
    let servers = named(7);
    let nodes = servers.nodes([u16::MAX; 7].map(Weight::new));
    let error = nginx::Consistent::new(&servers, &nodes).unwrap_err();
    assert_eq!(error.to_string(), "the weights add up to 458745; at most 419430 is allowed");
}

#[test]
fn no_key_is_made_of_nothing() {
    assert_eq!(nginx::Consistent::key(b""), None);
    assert_eq!(nginx::PlainHash::key(b""), None);
}

#[test]
fn of_points_in_common_the_first_server_has_them() {
    // Of these 50, `127.0.0.1:21034` and `127.0.0.1:21040` have a point in common.
    let names: Vec<String> = (21_000..21_050).map(|port| format!("127.0.0.1:{port}")).collect();
    let servers = Servers::named(names.iter().map(String::as_str)).unwrap();
    let mut nodes = servers.nodes([]);
    let key = HashKey::new(4_143_883_870);
    let table = nginx::Consistent::new(&servers, &nodes).unwrap();
    assert_eq!(table.lookup(key), Some(34));
    // The other has no point there at all.
    assert_ne!(table.candidates(key).nth(1), Some(40));
    // The order is that of the configuration, not of the nodes.
    nodes.reverse();
    assert_eq!(table.update(&nodes).unwrap().lookup(key), Some(49 - 34));
}

/// Whoever has a weight is a candidate once, and nobody else; `lookup` is the first of them, and
/// `lookup_where` the first that is allowed.
fn candidates_are_all(
    table: &impl ConsistentHash,
    keys: impl Iterator<Item = HashKey>,
) -> Result<(), TestCaseError> {
    let heavy = table.nodes().iter().enumerate().filter(|(_, node)| node.weight.get() > 0);
    let heavy: Vec<usize> = heavy.map(|(i, _)| i).collect();
    for key in keys {
        let order: Vec<usize> = table.candidates(key).collect();
        prop_assert_eq!(table.lookup(key), order.first().copied());
        let mut sorted = order.clone();
        sorted.sort_unstable();
        prop_assert_eq!(&sorted, &heavy);
        for (i, &next) in order.iter().enumerate() {
            let found = table.lookup_where(key, |node| order[i..].contains(&node));
            prop_assert_eq!(found, Some(next));
        }
        prop_assert_eq!(table.lookup_where(key, |_| false), None);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn everybody_is_a_candidate(
        weights in proptest::collection::vec(prop_oneof![Just(0), 1..4_u16, Just(256)], 0..6),
        keys in proptest::collection::vec(any::<u64>(), 1..20),
        // One name for all: some have no point of their own then.
        same_name in any::<bool>(),
        // More hosts than the ring has points.
        tiny in any::<bool>(),
    ) {
        let server = |i: usize| {
            let name = if same_name { "a:1".to_owned() } else { format!("10.0.0.{i}:80") };
            Server::new(&name).id(BackendId::new(i as u64 + 1))
        };
        let servers = Servers::new((0..weights.len()).map(server)).unwrap();
        let nodes = servers.nodes(weights.into_iter().map(Weight::new));
        let ring = if tiny { envoy::RingSettings { minimum: 2, maximum: 2, ..SMALL } } else { SMALL };
        let size = if tiny { 2 } else { 97 };
        let keys = || keys.iter().copied().map(HashKey::new);
        candidates_are_all(&nginx::Consistent::new(&servers, &nodes).unwrap(), keys())?;
        candidates_are_all(&nginx::PlainHash::new(&servers, &nodes).unwrap(), keys())?;
        candidates_are_all(&nginx::IpHash::new(&servers, &nodes).unwrap(), keys())?;
        candidates_are_all(&haproxy::Consistent::new(&servers, &nodes).unwrap(), keys())?;
        candidates_are_all(&envoy::RingHash::new(&servers, &nodes, ring).unwrap(), keys())?;
        candidates_are_all(&envoy::Maglev::new(&servers, &nodes, size).unwrap(), keys())?;
    }

    /// With some servers down, HAProxy's table is that of the others.
    #[test]
    fn haproxy_goes_on_as_if_those_before_were_not_there(key in any::<u64>(), down in 0..31_u32) {
        let servers = named(5);
        let all = servers.nodes([1, 2, 3, 2, 1].map(Weight::new));
        let up = |i: usize| down >> i & 1 == 0;
        let weight = |i: usize| if up(i) { all[i].weight } else { Weight::ZERO };
        let table = haproxy::Consistent::new(&servers, &all).unwrap();
        let without = table.update(&servers.nodes((0..5).map(weight))).unwrap();
        let key = HashKey::new(key);
        prop_assert_eq!(table.lookup_where(key, up), without.lookup(key));
    }
}
