//! What holds of a circuit breaker under any sequence of requests.

use core::time::Duration;

use equipoise_core::{Failure, Instant, Outcome, Rng};
use equipoise_health::breaker::{BreakerState, Permit, Refused};
use equipoise_health::{BreakerConfig, CircuitBreaker};
use proptest::prelude::*;

const FAILED: Outcome = Outcome::Failure(Failure::Timeout);
const MAX_OPEN: Duration = Duration::from_secs(5);

#[derive(Clone, Debug)]
enum Input {
    Ask,
    /// One of those in flight ends: well, badly, or given up.
    End(usize, u8),
    Wait(u64),
}

fn input() -> impl Strategy<Value = Input> {
    prop_oneof![
        5 => Just(Input::Ask),
        5 => (any::<usize>(), 0_u8..3).prop_map(|(which, how)| Input::End(which, how)),
        1 => (0_u64..2_000).prop_map(Input::Wait),
    ]
}

fn settings() -> impl Strategy<Value = (BreakerConfig, u32, u32)> {
    (0_u32..4, 0_u8..=100, 1_u32..6, 1_u64..3, 1_u32..4, 1_u32..8, 0.0..=1.0_f64).prop_map(
        |(consecutive, percent, volume, open, to_close, cap, jitter)| {
            let builder = BreakerConfig::builder()
                .consecutive(consecutive)
                .failure_percentage(percent)
                .min_volume(volume)
                .window(Duration::from_secs(2))
                .open_time(Duration::from_secs(open))
                .max_open_time(MAX_OPEN)
                .open_time_jitter(jitter)
                .successes_to_close(to_close)
                .max_in_flight(cap);
            (builder.build().expect("in range"), cap, to_close)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn the_cap_is_exact_there_is_one_trial_and_nothing_is_stuck(
        (config, cap, to_close) in settings(),
        inputs in prop::collection::vec(input(), 0..200),
    ) {
        let mut rng = Rng::seeded(3);
        let mut breaker = CircuitBreaker::new();
        let mut now = Instant::ZERO;
        let mut flying: Vec<(Permit, u32)> = Vec::new();
        // Counts the changes of state, as seen from outside.
        let mut period = 0_u32;
        for input in inputs {
            let before = breaker.state();
            match input {
                Input::Wait(ms) => now = now + Duration::from_millis(ms),
                Input::Ask => match breaker.try_acquire(&config, now) {
                    Ok(permit) => {
                        period += u32::from(breaker.state() != before);
                        let is_half_open = breaker.state() == BreakerState::HalfOpen;
                        prop_assert_eq!(permit.is_trial(), is_half_open);
                        flying.push((permit, period));
                    }
                    Err(Refused::Full) => prop_assert_eq!(flying.len(), cap as usize, "exact"),
                    Err(Refused::Open { until }) => prop_assert!(now < until),
                    Err(_) => {
                        let trials = flying.iter().filter(|(p, of)| p.is_trial() && *of == period);
                        prop_assert_eq!(trials.count(), 1);
                    }
                },
                Input::End(which, how) if !flying.is_empty() => {
                    let (permit, of) = flying.swap_remove(which % flying.len());
                    let outcome = [Some(Outcome::Success), Some(FAILED), None][usize::from(how)];
                    let change = breaker.release(&config, now, permit, outcome, &mut rng);
                    prop_assert_eq!(change.is_some(), breaker.state() != before);
                    prop_assert!(change.is_none() || of == period, "a late outcome changed it");
                    period += u32::from(change.is_some());
                }
                Input::End(..) => {}
            }
            prop_assert_eq!(breaker.in_flight() as usize, flying.len());
            prop_assert!(flying.len() <= cap as usize);
            let trials = flying.iter().filter(|(p, of)| p.is_trial() && *of == period).count();
            prop_assert!(trials <= 1);
            if let Some(until) = breaker.deadline() {
                prop_assert!(until.since(now) <= MAX_OPEN * 2);
            }
        }
        // Once all have ended, enough time and successes close it, whatever happened before.
        for (permit, _) in flying {
            breaker.release(&config, now, permit, None, &mut rng);
        }
        prop_assert_eq!(breaker.in_flight(), 0);
        now = now + MAX_OPEN * 2;
        for _ in 0..to_close {
            let permit = breaker.try_acquire(&config, now).expect("nothing is stuck");
            breaker.release(&config, now, permit, Some(Outcome::Success), &mut rng);
        }
        prop_assert_eq!(breaker.state(), BreakerState::Closed);
    }
}

#[test]
fn a_failure_percentage_opens_it_only_with_enough_requests_in_the_window() {
    let builder = BreakerConfig::builder().consecutive(0).failure_percentage(50).min_volume(10);
    let config = builder.window(Duration::from_secs(10)).build().unwrap();
    let (mut breaker, mut rng) = (CircuitBreaker::new(), Rng::seeded(1));
    let mut end = |now: u64, outcome| {
        let now = Instant::from_nanos(now * 1_000_000_000);
        let permit = breaker.try_acquire(&config, now).expect("closed");
        breaker.release(&config, now, permit, Some(outcome), &mut rng)
    };
    for _ in 0..9 {
        assert_eq!(end(0, FAILED), None, "nine are not enough");
    }
    for _ in 0..9 {
        assert_eq!(end(20, FAILED), None, "the nine before are forgotten");
    }
    assert!(matches!(end(20, FAILED), Some(BreakerState::Open { .. })));
}

#[test]
fn one_that_flaps_stays_open_longer_each_time_until_it_was_well_for_a_window() {
    let config = BreakerConfig::builder()
        .consecutive(1)
        .window(Duration::from_secs(10))
        .open_time(Duration::from_secs(1))
        .open_time_jitter(0.0)
        .build()
        .unwrap();
    let (mut breaker, mut rng) = (CircuitBreaker::new(), Rng::seeded(1));
    let mut now = Instant::from_nanos(60_000_000_000);
    let mut times = Vec::new();
    for pause in [0, 0, 0, 10, 9] {
        now = now + Duration::from_secs(pause);
        let permit = breaker.try_acquire(&config, now).unwrap();
        breaker.release(&config, now, permit, Some(FAILED), &mut rng);
        let until = breaker.deadline().unwrap();
        times.push(until.since(now).as_secs());
        now = until;
        let trial = breaker.try_acquire(&config, now).unwrap();
        breaker.release(&config, now, trial, Some(Outcome::Success), &mut rng);
    }
    assert_eq!(times, [1, 2, 3, 1, 2]);
}

/// A connection that has been made may last for days: its trial is over, and it is in flight.
#[test]
fn a_trial_that_has_said_how_it_goes_keeps_its_place_and_holds_nobody_up() {
    let builder = BreakerConfig::builder().consecutive(1).max_in_flight(2).open_time_jitter(0.0);
    let config = builder.open_time(Duration::from_secs(1)).build().unwrap();
    let (mut breaker, mut rng) = (CircuitBreaker::new(), Rng::seeded(1));
    let permit = breaker.try_acquire(&config, Instant::ZERO).unwrap();
    let _ = breaker.release(&config, Instant::ZERO, permit, Some(FAILED), &mut rng);
    let now = Instant::from_nanos(2_000_000_000);
    let mut trial = breaker.try_acquire(&config, now).unwrap();
    assert!(trial.is_trial());
    assert_eq!(breaker.try_acquire(&config, now), Err(Refused::Trial));
    let closed = breaker.sample(&config, now, &mut trial, Outcome::Success, &mut rng);
    assert_eq!(closed, Some(BreakerState::Closed));
    let other = breaker.try_acquire(&config, now).unwrap();
    assert_eq!((breaker.in_flight(), breaker.try_acquire(&config, now)), (2, Err(Refused::Full)));
    // It has said how it went: how it ends is no second word.
    assert_eq!(breaker.sample(&config, now, &mut trial, FAILED, &mut rng), None);
    assert_eq!(breaker.release(&config, now, trial, Some(FAILED), &mut rng), None);
    assert_eq!((breaker.state(), breaker.in_flight()), (BreakerState::Closed, 1));
    assert_eq!(breaker.release(&config, now, other, None, &mut rng), None);
}
