//! Any sequence of operations on a pool of any policy does what the naive model does.
#![no_main]

use equipoise_algorithms::PolicyConfig;
use equipoise_testkit::model::{Op, Params, run};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, Params, Vec<Op>)| {
    let (policy, params, ops) = input;
    let names = PolicyConfig::names();
    let config: PolicyConfig = names[usize::from(policy) % names.len()].parse().unwrap();
    run(config.policy(), params, &ops);
});
