//! A configuration is right, or it is refused with the name of the field and what is allowed.
#![cfg(feature = "serde")]

use equipoise_algorithms::{HashConfig, PolicyConfig, WithoutKey};
use equipoise_core::{BackendId, Policy, Weight};
use equipoise_hash::compat::haproxy::{Function, Hashing};
use equipoise_hash::compat::{KeyRule, Server, Servers};
use equipoise_hash::{BuildError, Node};
use serde::Deserialize;

#[derive(Deserialize, Debug)]
struct Pool {
    policy: PolicyConfig,
}

fn read(toml: &str) -> Result<PolicyConfig, String> {
    toml::from_str::<Pool>(toml).map(|pool| pool.policy).map_err(|e| {
        // `toml` adds where it was, on a line of its own.
        e.message().lines().next().unwrap_or_default().to_owned()
    })
}

#[test]
fn a_name_or_a_table_will_do() {
    for name in PolicyConfig::names() {
        let short = read(&format!("policy = {name:?}")).unwrap();
        let long = read(&format!("policy = {{ name = {name:?} }}")).unwrap();
        assert_eq!(short, long);
        assert_eq!(name.parse(), Ok(short));
        // What it writes, it reads.
        let text = serde_json::to_string(&short).unwrap();
        assert_eq!(serde_json::from_str::<PolicyConfig>(&text).unwrap(), short, "{text}");
    }
    assert_eq!(read("policy = 'weighted_round_robin'"), read("policy = 'round_robin'"));
    let text = "policy = { name = 'peak_ewma', decay_ms = 1, penalty_ms = 3600000 }";
    let config = read(text).unwrap();
    let again = serde_json::to_value(config).unwrap();
    assert_eq!(again["decay_ms"], 1);
    assert_eq!(again["penalty_ms"], 3_600_000);
}

#[test]
fn what_is_wrong_is_named_and_what_is_allowed_is_listed() {
    let rows = [
        (
            "policy = 'leastconn'",
            "policy: unknown name `leastconn`; allowed are round_robin, weighted_round_robin, \
             random, least_conn, p2c, peak_ewma, rendezvous_table, maglev, ring, rendezvous, multi_probe, anchor, memento, jump, \
             nginx_consistent, nginx_hash, nginx_ip_hash, haproxy_consistent, envoy_ring_hash, envoy_maglev",
        ),
        (
            "policy = { name = 'fastest' }",
            "policy: unknown name `fastest`; allowed are round_robin, weighted_round_robin, \
             random, least_conn, p2c, peak_ewma, rendezvous_table, maglev, ring, rendezvous, multi_probe, anchor, memento, jump, \
             nginx_consistent, nginx_hash, nginx_ip_hash, haproxy_consistent, envoy_ring_hash, envoy_maglev",
        ),
        (
            "policy = { name = 'p2c', choices = 1 }",
            "policy.choices: 1 is out of range; allowed are 2 to 16",
        ),
        (
            "policy = { name = 'p2c', choices = 17 }",
            "policy.choices: 17 is out of range; allowed are 2 to 16",
        ),
        (
            "policy = { name = 'p2c', decay_ms = 5 }",
            "policy.decay_ms: `p2c` has no such setting; allowed are choices",
        ),
        (
            "policy = { name = 'peak_ewma', decay_ms = 0 }",
            "policy.decay_ms: 0 is out of range; allowed are 1 to 3600000",
        ),
        (
            "policy = { name = 'peak_ewma', penalty_ms = 3600001 }",
            "policy.penalty_ms: 3600001 is out of range; allowed are 1 to 3600000",
        ),
        ("policy = { name = 'random', choices = 2 }", "policy.choices: `random` has no settings"),
        (
            "policy = { name = 'p2c', choice = 2 }",
            "policy.choice: unknown; allowed are name, choices, decay_ms, penalty_ms, points, probes, slots, quota, capacity, minimum_ring_size, maximum_ring_size, balance_factor, function, avalanche, without_key",
        ),
        (
            "policy = { choices = 2 }",
            "policy.name: missing; allowed are round_robin, weighted_round_robin, random, least_conn, \
             p2c, peak_ewma, rendezvous_table, maglev, ring, rendezvous, multi_probe, anchor, memento, jump, \
             nginx_consistent, nginx_hash, nginx_ip_hash, haproxy_consistent, envoy_ring_hash, envoy_maglev",
        ),
        (
            "policy = { name = 'p2c', choices = 'two' }",
            "policy.choices: invalid type: string \"two\", expected u64",
        ),
        (
            "policy = { name = 'p2c', choices = -1 }",
            "policy.choices: invalid value: integer `-1`, expected u64",
        ),
        (
            "policy = { name = 'envoy_maglev', slots = 65536 }",
            "policy.slots: 65536 is not a prime number",
        ),
        (
            "policy = { name = 'envoy_maglev', slots = 5000012 }",
            "policy.slots: 5000012 is out of range; allowed are 2 to 5000011",
        ),
        (
            "policy = { name = 'envoy_ring_hash', minimum_ring_size = 200, maximum_ring_size = 100 }",
            "policy.minimum_ring_size: 200 is out of range; allowed are 1 to 100",
        ),
        (
            "policy = { name = 'envoy_ring_hash', maximum_ring_size = 1023 }",
            "policy.minimum_ring_size: 1024 is out of range; allowed are 1 to 1023",
        ),
        (
            "policy = { name = 'envoy_ring_hash', maximum_ring_size = 8388609 }",
            "policy.maximum_ring_size: 8388609 is out of range; allowed are 1 to 8388608",
        ),
        (
            "policy = { name = 'envoy_ring_hash', function = 'sdbm' }",
            "policy.function: `sdbm` is not allowed; allowed are xx_hash, murmur_hash_2",
        ),
        (
            "policy = { name = 'haproxy_consistent', function = 'md5' }",
            "policy.function: `md5` is not allowed; allowed are sdbm, djb2, wt6, crc32",
        ),
        (
            "policy = { name = 'haproxy_consistent', avalanche = 1 }",
            "policy.avalanche: invalid type: integer `1`, expected a boolean",
        ),
        (
            "policy = { name = 'nginx_consistent', function = 'crc32' }",
            "policy.function: `nginx_consistent` has no such setting; allowed are balance_factor, \
             without_key",
        ),
        (
            "policy = { name = 'maglev', avalanche = true }",
            "policy.avalanche: `maglev` has no such setting; allowed are slots, balance_factor, \
             without_key",
        ),
        (
            "policy = 3",
            "invalid type: integer `3`, expected policy: a name, or a table with `name` and settings",
        ),
    ];
    for (toml, want) in rows {
        assert_eq!(read(toml).unwrap_err(), want, "{toml}");
    }
}

/// The words after `hash-type consistent`, and what they mean to HAProxy.
#[test]
fn haproxys_settings_mean_what_they_mean_there() {
    for (settings, function, avalanche) in [
        ("", Function::Sdbm, true),
        (", function = 'sdbm'", Function::Sdbm, false),
        (", function = 'djb2', avalanche = true", Function::Djb2, true),
        (", function = 'wt6'", Function::Wt6, false),
        (", function = 'crc32', avalanche = false", Function::Crc32, false),
        (", avalanche = false", Function::Sdbm, false),
    ] {
        let config =
            read(&format!("policy = {{ name = 'haproxy_consistent'{settings} }}")).unwrap();
        let hashing = Hashing { function, avalanche };
        assert_eq!(config.key_rule(), Some(KeyRule::Haproxy(hashing)), "{settings}");
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<PolicyConfig>(&text).unwrap(), config, "{text}");
    }
}

#[test]
fn compatible_modes_keep_their_settings() {
    for text in [
        "{ name = 'envoy_ring_hash', minimum_ring_size = 1, maximum_ring_size = 2, function = 'murmur_hash_2' }",
        "{ name = 'envoy_maglev', slots = 5000011, without_key = 'refuse' }",
        "{ name = 'nginx_hash', balance_factor = 150 }",
    ] {
        let config = read(&format!("policy = {text}")).unwrap();
        assert_ne!(config, config.name().parse().unwrap());
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<PolicyConfig>(&text).unwrap(), config, "{text}");
    }
}

#[test]
fn compatible_modes_have_a_rule_for_keys_and_go_by_the_other_proxy_without_one() {
    for name in PolicyConfig::names() {
        let config: PolicyConfig = name.parse().unwrap();
        let other = ["nginx", "haproxy", "envoy"].into_iter().find(|other| name.starts_with(other));
        assert_eq!(config.key_rule().is_some(), other.is_some(), "{name}");
        let PolicyConfig::Hash(HashConfig { without_key: rule, .. }) = config else { continue };
        let takes_turns = other.is_some_and(|other| other != "envoy");
        let expected = if takes_turns { WithoutKey::RoundRobin } else { WithoutKey::Random };
        assert_eq!(rule, expected, "{name}");
    }
}

#[test]
fn a_compatible_mode_is_made_for_its_servers_or_not_at_all() {
    let servers = Servers::named(["10.0.0.1:80", "10.0.0.2:80"]).unwrap();
    let with = |weight| servers.nodes([Weight::new(weight)]);
    for name in PolicyConfig::names() {
        let config: PolicyConfig = name.parse().unwrap();
        let by_key = matches!(config, PolicyConfig::Hash(_));
        assert_eq!(config.policy().needs_key(), by_key, "{name}");
        assert_eq!(config.policy_for(&servers, &with(256)).unwrap().needs_key(), by_key, "{name}");
        let stranger = [Node::new(BackendId::new(7))];
        let refused = config.policy_for(&servers, &stranger).err();
        let expected = BuildError::UnknownServer(BackendId::new(7));
        assert_eq!(refused, config.key_rule().map(|_| expected), "{name}");
    }
    let refused = |name: &str, servers: &Servers, nodes: &[Node]| {
        let config: PolicyConfig = name.parse().unwrap();
        config.policy_for(servers, nodes).err().map(|error| error.to_string())
    };
    let wrong = "weight: 257 is out of range; allowed are 0 to 256";
    assert_eq!(refused("haproxy_consistent", &servers, &with(257)).as_deref(), Some(wrong));
    let many = Servers::new((0..7).map(|id| Server::new("a").id(BackendId::new(id)))).unwrap();
    let heavy = many.nodes([Weight::new(u16::MAX); 7]);
    let wrong = "the weights add up to 458745; at most 419430 is allowed";
    assert_eq!(refused("nginx_consistent", &many, &heavy).as_deref(), Some(wrong));
}
