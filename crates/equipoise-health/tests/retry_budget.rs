//! The bound of a retry budget, over any window and any sequence.

use core::time::Duration;

use equipoise_core::Instant;
use equipoise_health::{RetryBudget, RetryBudgetConfig};
use proptest::prelude::*;

#[derive(Clone, Copy, Debug)]
enum Input {
    Request,
    /// As many retries as the budget gives, up to 20.
    Retries,
    Wait(u64),
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn over_any_time_retries_are_within_the_bound(
        ratio in 0.0..2.0_f64,
        floor in 0_u32..5,
        ttl_ms in 10_u64..2_000,
        inputs in prop::collection::vec(
            prop_oneof![
                6 => Just(Input::Request),
                2 => Just(Input::Retries),
                1 => (0_u64..400).prop_map(Input::Wait),
            ],
            0..150,
        ),
    ) {
        let ttl = Duration::from_millis(ttl_ms);
        let config = RetryBudgetConfig::new(ratio, floor, ttl).expect("in range");
        let mut budget = RetryBudget::new(config);
        let mut now_ms = 0;
        let (mut requests, mut retries) = (Vec::new(), Vec::new());
        for input in inputs {
            let now = Instant::from_nanos(now_ms * 1_000_000);
            match input {
                Input::Wait(ms) => now_ms += ms,
                Input::Request => {
                    budget.deposit(now);
                    requests.push(now_ms);
                }
                Input::Retries => {
                    for _ in 0..20 {
                        if budget.try_withdraw(now) {
                            retries.push(now_ms);
                        }
                    }
                }
            }
        }
        let within = |times: &[u64], from: u64, to: u64| {
            times.iter().filter(|&&t| (from..=to).contains(&t)).count() as f64
        };
        for (i, &from) in retries.iter().enumerate() {
            for &to in &retries[i..] {
                let tried = within(&retries, from, to);
                let seconds = (to - from) as f64 / 1_000.0 + 1.1 * ttl.as_secs_f64();
                let bound = ratio * within(&requests, from.saturating_sub(ttl_ms), to)
                    + f64::from(floor) * seconds;
                prop_assert!(tried <= bound + 1e-3, "{tried} > {bound} in {from} to {to} ms");
            }
        }
    }

    #[test]
    fn if_every_try_fails_the_load_is_the_requests_and_the_ratio(
        ratio in 0.0..1.0_f64,
        rate in 1_u64..200,
        tries in 1_u32..10,
    ) {
        // The worst case: every request and every retry fails at once and wants to be tried again.
        let config = RetryBudgetConfig::new(ratio, 0, Duration::from_secs(1)).expect("in range");
        let mut budget = RetryBudget::new(config);
        let (mut requests, mut sent) = (0_u64, 0_u64);
        for i in 0..rate * 20 {
            let now = Instant::from_nanos(i * 1_000_000_000 / rate);
            budget.deposit(now);
            requests += 1;
            sent += 1;
            for _ in 1..tries {
                sent += u64::from(budget.try_withdraw(now));
            }
        }
        let amplification = sent as f64 / requests as f64;
        prop_assert!(amplification <= 1.0 + ratio + 1e-6, "{amplification}");
    }

    #[test]
    fn any_time_is_total(times in prop::collection::vec(any::<u64>(), 0..50)) {
        let mut budget = RetryBudget::new(RetryBudgetConfig::default());
        for time in times {
            budget.deposit(Instant::from_nanos(time));
            prop_assert!(budget.try_withdraw(Instant::from_nanos(time)), "100 in ten seconds");
        }
    }
}

#[test]
fn the_defaults_are_a_fifth_and_ten_a_second() {
    let mut budget = RetryBudget::new(RetryBudgetConfig::default());
    let given =
        |budget: &mut RetryBudget, now| (0..10_000).filter(|_| budget.try_withdraw(now)).count();
    assert_eq!(given(&mut budget, Instant::ZERO), 100, "ten a second, for ten seconds");
    let later = Instant::from_nanos(20_000_000_000);
    for _ in 0..1_000 {
        budget.deposit(later);
    }
    assert_eq!(given(&mut budget, later), 300, "a fifth of 1,000, and the floor");
}

#[test]
fn settings_out_of_range_are_refused_by_name() {
    let second = Duration::from_secs(1);
    let refused = [
        (RetryBudgetConfig::new(-0.1, 0, second), "ratio"),
        (RetryBudgetConfig::new(f64::NAN, 0, second), "ratio"),
        (RetryBudgetConfig::new(0.2, 1_000_001, second), "min_retries_per_second"),
        (RetryBudgetConfig::new(0.2, 10, Duration::ZERO), "ttl"),
    ];
    for (result, field) in refused {
        let error = result.expect_err(field).to_string();
        assert!(error.starts_with(&format!("{field}: ")), "{error}");
    }
}
