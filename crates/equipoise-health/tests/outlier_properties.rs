//! What holds for any settings and any sequence of inputs.

mod support;

use core::time::Duration;

use equipoise_core::{Instant, Passive, Rng, Runs, Tally};
use equipoise_health::outlier::{Host, Recovery, on_runs};
use equipoise_health::{OutlierConfig, Sweeper};
use proptest::prelude::*;
use support::{End, Pool};

const MAX_TIME: Duration = Duration::from_secs(8);

/// Settings, and what was drawn for those that the properties speak of.
#[derive(Clone, Copy, Debug)]
struct Drawn {
    config: OutlierConfig,
    percent: usize,
    last: bool,
    half: bool,
}

fn settings() -> impl Strategy<Value = Drawn> {
    let detectors = (0_u16..4, 0_u16..4, 0_u16..4, any::<bool>(), 0.0..3.0_f64, 0.0..0.3_f64);
    let sweeps = (0_u8..=100, 0.0..5.0_f64, 1.0..4.0_f64, 3_u32..6);
    let limits =
        (0_u8..=100, any::<bool>(), 1_u64..=8, 0.0..=1.0_f64, any::<bool>(), any::<bool>());
    (detectors, sweeps, limits).prop_map(|(detectors, sweeps, limits)| {
        let (consecutive, gateway, local, split, factor, gap) = detectors;
        let (threshold, latency, ratio, hosts) = sweeps;
        let (percent, last, base, jitter, half, active) = limits;
        let percent = if last { 100 } else { percent };
        let config = OutlierConfig::builder()
            .consecutive(consecutive)
            .consecutive_gateway(gateway)
            .consecutive_local(local)
            .split(split)
            .success_rate_stdev_factor(factor)
            .success_rate_min_gap(gap)
            .success_rate_min_hosts(hosts)
            .success_rate_min_volume(1)
            .failure_percentage_threshold(threshold)
            .failure_percentage_min_hosts(hosts - 2)
            .failure_percentage_min_volume(1)
            .latency_factor(latency)
            .latency_min_ratio(ratio)
            .latency_min_hosts(hosts)
            .latency_min_volume(1)
            .max_ejection_percent(percent)
            .may_eject_last(last)
            .base_ejection_time(Duration::from_secs(base))
            .max_ejection_time(MAX_TIME)
            .ejection_time_jitter(jitter)
            .recovery(if half { Recovery::HalfOpen } else { Recovery::Full })
            .active_pass_unejects(active)
            .build()
            .expect("in range");
        Drawn { config, percent: percent.into(), last, half }
    })
}

#[derive(Clone, Debug)]
enum Input {
    Wait(u64),
    Sweep,
    Request(usize, u32, End),
    ActivePass(usize),
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![
        3 => (0_u64..5_000).prop_map(|ms| End::Good { latency: Duration::from_millis(ms) }),
        3 => (500_u16..505).prop_map(End::Answered),
        2 => Just(End::Local),
    ]
}

fn input() -> impl Strategy<Value = Input> {
    prop_oneof![
        2 => (0_u64..3_000).prop_map(Input::Wait),
        1 => Just(Input::Sweep),
        8 => (0_usize..8, 1_u32..6, end()).prop_map(|(b, n, end)| Input::Request(b, n, end)),
        1 => (0_usize..8).prop_map(Input::ActivePass),
    ]
}

/// What must hold at any time.
fn check(pool: &Pool, drawn: &Drawn) -> Result<(), TestCaseError> {
    let (n, out) = (pool.backends.len(), pool.out());
    prop_assert!(out <= drawn.percent * n / 100, "{out} of {n}: {drawn:?}");
    prop_assert!(drawn.last || out < n, "the last one went: {drawn:?}");
    for backend in &pool.backends {
        let ejection = &backend.ejection;
        // Without growing past the time that it stands for, whose least base here is a second.
        prop_assert!(u64::from(ejection.multiplier()) <= MAX_TIME.as_secs());
        match (ejection.passive(), ejection.deadline()) {
            (Passive::Ejected, Some(until)) => {
                prop_assert!(until.since(pool.now) <= MAX_TIME * 2, "maximum and jitter");
            }
            (Passive::Ejected, None) => prop_assert!(false, "an ejection without an end"),
            (_, deadline) => prop_assert_eq!(deadline, None),
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn the_limit_holds_at_all_times_and_every_ejection_ends(
        drawn in settings(),
        backends in 1_usize..8,
        inputs in prop::collection::vec(input(), 0..120),
    ) {
        let mut pool = Pool::new(drawn.config, backends);
        for input in inputs {
            match input {
                Input::Wait(ms) => {
                    let now = pool.now + Duration::from_millis(ms);
                    pool.advance_to(now);
                }
                Input::Sweep => pool.sweep(),
                Input::Request(b, times, end) => {
                    for _ in 0..times {
                        let index = b % backends;
                        let before = pool.backends[index];
                        pool.request(index, end);
                        check(&pool, &drawn)?;
                        if before.ejection.passive() == Passive::Trial {
                            // Exactly one verdict: whatever it is, the trial is over.
                            let after = pool.backends[index].ejection.passive();
                            let good = matches!(end, End::Good { .. });
                            let want = if good { Passive::Clear } else { Passive::Ejected };
                            prop_assert_eq!(after, want);
                        }
                    }
                }
                Input::ActivePass(b) => pool.active_pass(b % backends),
            }
            check(&pool, &drawn)?;
        }
        // Nothing is stuck: after the longest time all are on trial or back, and one good request
        // each brings the others back.
        let now = pool.now + MAX_TIME * 2;
        pool.advance_to(now);
        for index in 0..backends {
            let state = pool.backends[index].ejection.passive();
            prop_assert!(state == Passive::Clear || (drawn.half && state == Passive::Trial));
            pool.request(index, End::Good { latency: Duration::ZERO });
        }
        prop_assert_eq!(pool.out(), 0);
    }

    #[test]
    fn a_sweep_is_total_and_keeps_the_limit(
        settings in settings(),
        hosts in prop::collection::vec(host(), 0..40),
    ) {
        let countable = hosts.iter().filter(|h| h.is_countable).count();
        let out = hosts.iter().filter(|h| h.is_countable && h.is_out).count();
        let config = settings.config;
        let mut found = Vec::new();
        Sweeper::new().sweep(&config, &hosts, &mut found);
        if !found.is_empty() {
            prop_assert!(out + found.len() <= settings.percent * countable / 100);
        }
        let mut seen = std::collections::BTreeSet::new();
        for (index, cause) in &found {
            prop_assert!(seen.insert(*index), "twice");
            prop_assert!(hosts[*index].is_countable && !hosts[*index].is_out);
            prop_assert!(!cause.to_string().contains("NaN"), "{}", cause);
        }
        // The same again, with buffers that were used before.
        let (mut sweeper, mut again) = (Sweeper::new(), vec![found.first().copied(); 3].into_iter().flatten().collect());
        sweeper.sweep(&OutlierConfig::default(), &hosts, &mut again);
        sweeper.sweep(&config, &hosts, &mut again);
        prop_assert_eq!(again, found);
    }

    #[test]
    fn any_time_and_any_run_is_total(
        drawn in settings(),
        now in any::<u64>(),
        later in any::<u64>(),
        runs in any::<[u16; 4]>(),
        seed in any::<u64>(),
    ) {
        let [failures, gateway, local, code] = runs;
        let Some(cause) = on_runs(&drawn.config, &Runs { failures, gateway, local, code }) else {
            return Ok(());
        };
        let (mut rng, mut ejection) = (Rng::seeded(seed), equipoise_health::Ejection::new());
        ejection.eject(&drawn.config, Instant::from_nanos(now), cause, &mut rng);
        ejection.poll(&drawn.config, Instant::from_nanos(later));
        ejection.on_trial(&drawn.config, Instant::from_nanos(later), false, &mut rng);
        if let Some(until) = ejection.deadline() {
            ejection.poll(&drawn.config, until);
            prop_assert_ne!(ejection.passive(), Passive::Ejected);
        }
        prop_assert!(!cause.to_string().is_empty());
    }
}

/// Any tally, extremes among them: full counters, none, latencies of years.
fn host() -> impl Strategy<Value = Host> {
    let count = || prop_oneof![Just(0), 0_u32..300, Just(u32::MAX), any::<u32>()];
    let latency = prop_oneof![
        Just(Duration::ZERO),
        (0_u64..100_000).prop_map(Duration::from_millis),
        Just(Duration::from_secs(3_600 * 24 * 365 * 10)),
        Just(Duration::MAX),
    ];
    (count(), count(), count(), latency, any::<bool>(), 0_u8..4).prop_map(
        |(successes, upstream_failures, local_failures, latency, is_out, countable)| Host {
            tally: Tally { successes, upstream_failures, local_failures, latency },
            is_out,
            is_countable: countable > 0,
        },
    )
}

#[test]
fn jitter_brings_back_one_by_one_what_went_together() {
    let config = OutlierConfig::default();
    let mut pool = Pool::new(config, 100);
    for index in 0..50 {
        for _ in 0..5 {
            pool.request(index, End::Local);
        }
    }
    assert_eq!(pool.out(), 50);
    let ends: std::collections::BTreeSet<u64> = pool
        .backends
        .iter()
        .filter_map(|b| b.ejection.deadline())
        .map(|until| until.as_nanos() / 10_000_000)
        .collect();
    // 50 draws over 20 slots of 10 ms leave 1.5 slots free on average; more than 8 have a
    // probability below 1e-6.
    assert!(ends.len() > 11, "{ends:?}");
}
