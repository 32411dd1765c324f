//! A configuration is right, or it is refused with the name of the field and what is allowed.
#![cfg(feature = "serde")]

use equipoise_algorithms::PolicyConfig;
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
             random, least_conn, p2c, peak_ewma, rendezvous_table, maglev, ring, rendezvous, multi_probe, anchor, memento, jump",
        ),
        (
            "policy = { name = 'fastest' }",
            "policy: unknown name `fastest`; allowed are round_robin, weighted_round_robin, \
             random, least_conn, p2c, peak_ewma, rendezvous_table, maglev, ring, rendezvous, multi_probe, anchor, memento, jump",
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
            "policy.choice: unknown; allowed are name, choices, decay_ms, penalty_ms, points, probes, slots, quota, capacity, balance_factor, without_key",
        ),
        (
            "policy = { choices = 2 }",
            "policy.name: missing; allowed are round_robin, weighted_round_robin, random, least_conn, \
             p2c, peak_ewma, rendezvous_table, maglev, ring, rendezvous, multi_probe, anchor, memento, jump",
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
            "policy = 3",
            "invalid type: integer `3`, expected policy: a name, or a table with `name` and settings",
        ),
    ];
    for (toml, want) in rows {
        assert_eq!(read(toml).unwrap_err(), want, "{toml}");
    }
}
