//! The published rules as numbered cases: inputs over time, and the states after each.
//!
//! The sources are gRFC A50 <https://github.com/grpc/proposal/blob/master/A50-xds-outlier-detection.md>,
//! Envoy's documentation and issues, and HAProxy's manual. A case whose source has another outcome
//! says so: there the rule is different on purpose.

mod support;

use core::time::Duration;

use equipoise_core::Instant;
use equipoise_health::OutlierConfig;
use equipoise_health::outlier::{OutlierBuilder, Recovery};
use support::{End, Pool};

/// One input.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// So many seconds after the start.
    At(u64),
    /// The end of an interval.
    Sweep,
    /// Of a backend: so many successes.
    Ok(usize, u32),
    /// Of a backend: so many successes of so many milliseconds.
    Slow(usize, u32, u64),
    /// Of a backend: so many answers with a code.
    Code(usize, u32, u16),
    /// Of a backend: so many failures without an answer.
    Local(usize, u32),
    /// Of every backend: so many successes.
    AllOk(u32),
    /// Of every backend: so many answers 500.
    AllFail(u32),
    /// An active check of a backend passes.
    Pass(usize),
}
use Step::*;

struct Case {
    number: u32,
    says: &'static str,
    source: &'static str,
    config: OutlierBuilder,
    backends: usize,
    /// Each input, and the states after it: `-` clear, `E` ejected, `T` on trial.
    steps: &'static [(Step, &'static str)],
}

/// 30 s, no jitter, at once back, all but the detector in question off.
fn a50() -> OutlierBuilder {
    OutlierConfig::builder()
        .consecutive(0)
        .consecutive_local(0)
        .success_rate_stdev_factor(0.0)
        .failure_percentage_threshold(0)
        .max_ejection_percent(50)
        .base_ejection_time(Duration::from_secs(30))
        .max_ejection_time(Duration::from_secs(300))
        .ejection_time_jitter(0.0)
        .recovery(Recovery::Full)
}

fn success_rate() -> OutlierBuilder {
    a50().success_rate_stdev_factor(1.9).success_rate_min_gap(0.0)
}

fn failure_percentage() -> OutlierBuilder {
    a50().failure_percentage_threshold(85)
}

fn consecutive(failures: u16) -> OutlierBuilder {
    a50().consecutive(failures)
}

#[rustfmt::skip]
fn cases() -> Vec<Case> {
    vec![
        // Success rate.
        Case { number: 1, says: "four backends of five with enough requests are not enough",
            source: "gRFC A50, Success Rate Algorithm, 1: minimum_hosts counts those with request_volume",
            config: success_rate(), backends: 5, steps: &[
                (AllOk(99), "-----"), (Ok(0, 1), "-----"), (Ok(1, 1), "-----"), (Ok(2, 1), "-----"),
                (Code(3, 1, 500), "-----"), (Sweep, "-----"),
        ]},
        Case { number: 2, says: "one with too few requests is neither counted nor ejected",
            source: "gRFC A50, Success Rate Algorithm, 2 and 3.2",
            config: success_rate(), backends: 6, steps: &[
                (Ok(0, 100), "------"), (Ok(1, 100), "------"), (Ok(2, 100), "------"), (Ok(3, 100), "------"),
                (Ok(4, 100), "------"), (Code(5, 99, 500), "------"), (Sweep, "------"),
        ]},
        Case { number: 3, says: "rates 1, 1, 1, 1, 0: mean 0.8, deviation 0.4, threshold 0.04",
            source: "gRFC A50, Success Rate Algorithm, 3.3",
            config: success_rate(), backends: 5, steps: &[
                (AllOk(100), "-----"), (Sweep, "-----"),
                (Ok(0, 100), "-----"), (Ok(1, 100), "-----"), (Ok(2, 100), "-----"), (Ok(3, 100), "-----"),
                (Code(4, 100, 500), "-----"), (Sweep, "----E"),
        ]},
        Case { number: 4, says: "rates 1, 1, 1, 0, 0: threshold 0.6 - 1.9 * 0.49 is below 0: blind",
            source: "gRFC A50, Success Rate Algorithm, 3.3",
            config: success_rate(), backends: 5, steps: &[
                (Ok(0, 100), "-----"), (Ok(1, 100), "-----"), (Ok(2, 100), "-----"),
                (Code(3, 100, 500), "-----"), (Code(4, 100, 500), "-----"), (Sweep, "-----"),
        ]},
        Case { number: 5, says: "where nine are perfect, one failure in 100 is an outlier",
            source: "gRFC A50, Success Rate Algorithm, 3.3",
            config: success_rate(), backends: 10, steps: &[
                (AllOk(99), "----------"), (AllOk(1), "----------"), (Code(9, 1, 500), "----------"),
                (Sweep, "---------E"),
        ]},
        Case { number: 6, says: "... which here it is not: by default it must be 5 % below, too",
            source: "on purpose different from gRFC A50",
            config: success_rate().success_rate_min_gap(0.05), backends: 10, steps: &[
                (AllOk(100), "----------"), (Code(9, 1, 500), "----------"), (Sweep, "----------"),
                (AllOk(100), "----------"), (Code(9, 10, 500), "----------"), (Sweep, "---------E"),
        ]},
        Case { number: 7, says: "equal rates, however odd, are no outliers",
            source: "gRFC A50, Success Rate Algorithm, 3.3: less than",
            config: success_rate(), backends: 7, steps: &[
                (AllOk(100), "-------"), (AllFail(37), "-------"), (Sweep, "-------"),
        ]},
        // Failure percentage.
        Case { number: 8, says: "four backends are not enough",
            source: "gRFC A50, Failure Percentage Algorithm, 1: minimum_hosts counts all addresses",
            config: failure_percentage(), backends: 4, steps: &[
                (Code(0, 100, 500), "----"), (Sweep, "----"),
        ]},
        Case { number: 9, says: "five are, although only one has enough requests",
            source: "gRFC A50, Failure Percentage Algorithm, 1: it counts all addresses",
            config: failure_percentage(), backends: 5, steps: &[
                (Code(0, 100, 500), "-----"), (Sweep, "E----"),
        ]},
        Case { number: 10, says: "49 requests are not enough",
            source: "gRFC A50, Failure Percentage Algorithm, 2.2",
            config: failure_percentage(), backends: 5, steps: &[
                (Code(0, 49, 500), "-----"), (Sweep, "-----"),
        ]},
        Case { number: 11, says: "85 of 100 failed is enough, 84 is not",
            source: "Envoy failure_percentage_threshold, `greater than or equal`; so the field in gRFC A50, \
                     whose step 2.3 has `greater than`",
            config: failure_percentage(), backends: 5, steps: &[
                (Ok(0, 15), "-----"), (Code(0, 85, 500), "-----"),
                (Ok(1, 16), "-----"), (Code(1, 84, 500), "-----"), (Sweep, "E----"),
        ]},
        // The limit.
        Case { number: 12, says: "50 % of five are two: the worst two, not the first two",
            source: "on purpose different from gRFC A50, which stops when more than 50 % are out: three",
            config: failure_percentage(), backends: 5, steps: &[
                (AllFail(90), "-----"), (Ok(0, 9), "-----"), (Ok(1, 7), "-----"), (Ok(2, 1), "-----"),
                (Ok(3, 8), "-----"), (Ok(4, 2), "-----"), (Sweep, "--E-E"),
        ]},
        Case { number: 13, says: "10 % of two are none",
            source: "Envoy #3263, where one went",
            config: consecutive(5).max_ejection_percent(10), backends: 2, steps: &[
                (Code(0, 50, 500), "--"), (Code(1, 50, 500), "--"),
        ]},
        Case { number: 14, says: "67 % of three are two",
            source: "Envoy #27066, where all three went",
            config: consecutive(5).max_ejection_percent(67), backends: 3, steps: &[
                (Code(0, 5, 500), "E--"), (Code(1, 5, 500), "EE-"), (Code(2, 50, 500), "EE-"),
        ]},
        Case { number: 15, says: "50 % of three are one",
            source: "Envoy #26877, where two went",
            config: consecutive(5), backends: 3, steps: &[
                (Code(0, 5, 500), "E--"), (Code(1, 50, 500), "E--"),
        ]},
        Case { number: 16, says: "the only backend stays, at 100 % too",
            source: "Envoy #17504, where it went",
            config: consecutive(5).max_ejection_percent(100), backends: 1, steps: &[(Code(0, 50, 500), "-")]},
        Case { number: 17, says: "... unless that is asked for",
            source: "Envoy #17504",
            config: consecutive(5).max_ejection_percent(100).may_eject_last(true), backends: 1, steps: &[
                (Code(0, 5, 500), "E"),
        ]},
        Case { number: 18, says: "a refused ejection is asked for again by the next failure",
            source: "Envoy #1491: a threshold that is tested for equality is passed for ever",
            config: consecutive(5), backends: 2, steps: &[
                (Code(0, 5, 500), "E-"), (Code(1, 20, 500), "E-"), (At(30), "--"), (Code(1, 1, 500), "-E"),
        ]},
        Case { number: 19, says: "sweeps and consecutive failures share the limit",
            source: "Envoy, max_ejection_percent: of the cluster, whatever the detector",
            config: failure_percentage().consecutive(5), backends: 5, steps: &[
                (Code(0, 5, 500), "E----"), (Ok(1, 1), "E----"),
                (Code(1, 4, 500), "E----"), (Ok(1, 1), "E----"), (Code(1, 5, 500), "EE---"),
                (Code(2, 90, 500), "EE---"), (Sweep, "EE---"),
        ]},
        // Time.
        Case { number: 20, says: "out for the base time, whatever the sweeps",
            source: "gRFC A50, timer, 5; there in the sweep after it",
            config: consecutive(5), backends: 3, steps: &[
                (Code(0, 5, 500), "E--"), (At(10), "E--"), (Sweep, "E--"), (At(20), "E--"), (Sweep, "E--"),
                (At(29), "E--"), (At(30), "---"),
        ]},
        Case { number: 21, says: "the second time twice as long, the third three times",
            source: "gRFC A50, Ejection and Un-ejection; Envoy #26758, where it did not grow",
            config: consecutive(5), backends: 3, steps: &[
                (Code(0, 5, 500), "E--"), (At(30), "---"), (Code(0, 5, 500), "E--"), (At(89), "E--"),
                (At(90), "---"), (Code(0, 5, 500), "E--"), (At(179), "E--"), (At(180), "---"),
        ]},
        Case { number: 22, says: "a sweep just after the return does not shorten the next ejection",
            source: "Envoy #21142 and #26758, where it did",
            config: consecutive(5), backends: 3, steps: &[
                (Code(0, 5, 500), "E--"), (At(30), "---"), (Sweep, "---"), (Code(0, 5, 500), "E--"),
                (At(89), "E--"), (At(90), "---"),
        ]},
        Case { number: 23, says: "a whole interval without ejection does",
            source: "gRFC A50, timer, 5: decrease the multiplier by 1",
            config: consecutive(5), backends: 3, steps: &[
                (Code(0, 5, 500), "E--"), (At(30), "---"), (Sweep, "---"), (At(40), "---"), (Sweep, "---"),
                (Code(0, 5, 500), "E--"), (At(70), "---"),
        ]},
        Case { number: 24, says: "found again by the next sweep, it stays out twice as long",
            source: "Envoy #26758: failure percentage",
            config: failure_percentage(), backends: 5, steps: &[
                (At(10), "-----"), (Code(0, 100, 500), "-----"), (Sweep, "E----"),
                (At(40), "-----"), (Sweep, "-----"), (Code(0, 100, 500), "-----"),
                (At(50), "-----"), (Sweep, "E----"), (At(109), "E----"), (At(110), "-----"),
        ]},
        Case { number: 25, says: "never longer than the maximum",
            source: "Envoy #6016, where it grew without end; gRFC A50, max_ejection_time",
            config: consecutive(1).max_ejection_time(Duration::from_secs(45)), backends: 3, steps: &[
                (Code(0, 1, 500), "E--"), (At(30), "---"), (Code(0, 1, 500), "E--"), (At(74), "E--"),
                (At(75), "---"), (Code(0, 1, 500), "E--"), (At(119), "E--"), (At(120), "---"),
        ]},
        Case { number: 26, says: "the multiplier stops with the time: it falls from where the time fell",
            source: "Envoy #37602, where it went one further",
            config: consecutive(1).max_ejection_time(Duration::from_secs(60)), backends: 3, steps: &[
                (Code(0, 1, 500), "E--"), (At(30), "---"), (Code(0, 1, 500), "E--"), (At(90), "---"),
                (Code(0, 1, 500), "E--"), (At(150), "---"), (Sweep, "---"), (Sweep, "---"),
                // From 2 to 1, and so to 2 again: 60 s.
                (Code(0, 1, 500), "E--"), (At(209), "E--"), (At(210), "---"), (Sweep, "---"), (Sweep, "---"),
                (Sweep, "---"), (Code(0, 1, 500), "E--"), (At(239), "E--"), (At(240), "---"),
        ]},
        // Consecutive failures.
        Case { number: 27, says: "the second ejection takes as many failures as the first",
            source: "Envoy #40697, where it took five or six for three",
            config: a50().consecutive_gateway(3), backends: 3, steps: &[
                (Code(0, 2, 504), "---"), (Code(0, 1, 504), "E--"), (At(30), "---"), (Code(0, 2, 504), "---"),
                (Code(0, 1, 504), "E--"),
        ]},
        Case { number: 28, says: "500 is no gateway failure, and ends a run of them",
            source: "Envoy, consecutive_gateway_failure: 502, 503, 504",
            config: a50().consecutive_gateway(3), backends: 3, steps: &[
                (Code(0, 9, 500), "---"), (Code(0, 2, 502), "---"), (Code(0, 1, 500), "---"),
                (Code(0, 2, 503), "---"), (Code(0, 1, 504), "E--"),
        ]},
        Case { number: 29, says: "a success ends the run",
            source: "Envoy, consecutive_5xx",
            config: consecutive(5), backends: 3, steps: &[
                (Code(0, 4, 500), "---"), (Ok(0, 1), "---"), (Code(0, 4, 500), "---"), (Code(0, 1, 500), "E--"),
        ]},
        Case { number: 30, says: "ten errors in a row mark a server down",
            source: "HAProxy, observe layer7, error-limit 10, on-error mark-down",
            config: consecutive(10), backends: 3, steps: &[
                (Code(0, 9, 500), "---"), (Ok(0, 1), "---"), (Code(0, 5, 500), "---"), (Local(0, 4), "---"),
                (Local(0, 1), "E--"),
        ]},
        Case { number: 31, says: "answers are no errors of the connection",
            source: "HAProxy, observe layer4, error-limit 10",
            config: a50().consecutive_local(10), backends: 3, steps: &[
                (Code(0, 50, 500), "---"), (Local(0, 9), "---"), (Code(0, 1, 500), "---"), (Local(0, 9), "---"),
                (Local(0, 1), "E--"),
        ]},
        // Local and upstream origin.
        Case { number: 32, says: "90 of 100 attempts unanswered, ten good answers: local, not thinned out",
            source: "Envoy, split_external_local_origin_errors, failure percentage of local origin",
            config: failure_percentage(), backends: 5, steps: &[
                (Ok(0, 10), "-----"), (Local(0, 90), "-----"), (Sweep, "E----"),
        ]},
        Case { number: 33, says: "all 60 answers are failures: no matter that 60 others had none",
            source: "Envoy, split_external_local_origin_errors",
            config: failure_percentage().failure_percentage_threshold(95), backends: 5, steps: &[
                (Code(0, 60, 500), "-----"), (Local(0, 20), "-----"), (Ok(0, 1), "-----"), (Sweep, "E----"),
        ]},
        Case { number: 34, says: "half without an answer, half failed: together all, apart each only half",
            source: "Envoy, split_external_local_origin_errors false",
            config: failure_percentage().split(false), backends: 5, steps: &[
                (Ok(0, 10), "-----"), (Local(0, 45), "-----"), (Code(0, 45, 500), "-----"), (Sweep, "E----"),
        ]},
        Case { number: 35, says: "... and so not if they are kept apart",
            source: "Envoy, split_external_local_origin_errors true",
            config: failure_percentage(), backends: 5, steps: &[
                (Ok(0, 10), "-----"), (Local(0, 45), "-----"), (Code(0, 45, 500), "-----"), (Sweep, "-----"),
        ]},
        // The way back.
        Case { number: 36, says: "an active check that passes un-ejects",
            source: "Envoy #24217, where the pass was ignored",
            config: consecutive(5), backends: 3, steps: &[
                (Code(0, 5, 500), "E--"), (At(3), "E--"), (Pass(0), "---"), (Code(0, 4, 500), "---"),
                (Code(0, 1, 500), "E--"),
        ]},
        Case { number: 37, says: "... where that is wanted",
            source: "Envoy, successful_active_health_check_uneject_host false",
            config: consecutive(5).active_pass_unejects(false), backends: 3, steps: &[
                (Code(0, 5, 500), "E--"), (Pass(0), "E--"), (At(30), "---"),
        ]},
        Case { number: 38, says: "half-open: one good request brings it back",
            source: "on purpose different from gRFC A50 and Envoy, which send all traffic at once",
            config: consecutive(5).recovery(Recovery::HalfOpen), backends: 3, steps: &[
                (Code(0, 5, 500), "E--"), (At(30), "T--"), (Sweep, "T--"), (At(300), "T--"), (Ok(0, 1), "---"),
        ]},
        Case { number: 39, says: "half-open: one bad request ejects it, for twice the time",
            source: "on purpose different from gRFC A50 and Envoy, which need all five failures again",
            config: consecutive(5).recovery(Recovery::HalfOpen), backends: 3, steps: &[
                (Code(0, 5, 500), "E--"), (At(30), "T--"), (Code(0, 1, 500), "E--"), (At(89), "E--"),
                (At(90), "T--"), (Local(0, 1), "E--"), (At(179), "E--"), (At(180), "T--"), (Ok(0, 1), "---"),
        ]},
        Case { number: 40, says: "one on trial counts towards the limit",
            source: "ours: or its failing would break the limit",
            config: consecutive(5).recovery(Recovery::HalfOpen), backends: 3, steps: &[
                (Code(0, 5, 500), "E--"), (At(30), "T--"), (Code(1, 50, 500), "T--"), (Code(0, 1, 500), "E--"),
                (At(90), "T--"), (Ok(0, 1), "---"), (Code(1, 1, 500), "-E-"),
        ]},
        // Grey failures.
        Case { number: 41, says: "three times the median is slow, among three",
            source: "ours: median and MAD",
            config: a50().latency_factor(3.0).latency_min_hosts(3), backends: 3, steps: &[
                (Slow(0, 50, 100), "---"), (Slow(1, 50, 110), "---"), (Slow(2, 50, 330), "---"), (Sweep, "--E"),
        ]},
        Case { number: 42, says: "many deviations above, but less than twice the median, is not",
            source: "ours: latency_min_ratio",
            config: a50().latency_factor(3.0).latency_min_hosts(3), backends: 3, steps: &[
                (Slow(0, 50, 100), "---"), (Slow(1, 50, 101), "---"), (Slow(2, 50, 190), "---"), (Sweep, "---"),
        ]},
        Case { number: 43, says: "where backends differ widely, twice the median is not slow",
            source: "ours: median 100, MAD 40, threshold 100 + 3 * 59",
            config: a50().latency_factor(3.0).latency_min_hosts(5), backends: 5, steps: &[
                (Slow(0, 50, 40), "-----"), (Slow(1, 50, 60), "-----"), (Slow(2, 50, 100), "-----"),
                (Slow(3, 50, 140), "-----"), (Slow(4, 50, 270), "-----"), (Sweep, "-----"),
                (Slow(0, 50, 40), "-----"), (Slow(1, 50, 60), "-----"), (Slow(2, 50, 100), "-----"),
                (Slow(3, 50, 140), "-----"), (Slow(4, 50, 280), "-----"), (Sweep, "----E"),
        ]},
        Case { number: 44, says: "failures of a slow backend do not make it fast",
            source: "ours: latency is that of successes",
            config: a50().latency_factor(3.0).latency_min_hosts(3), backends: 3, steps: &[
                (Slow(0, 50, 100), "---"), (Slow(1, 50, 100), "---"), (Slow(2, 50, 300), "---"),
                (Code(2, 500, 500), "---"), (Sweep, "--E"),
        ]},
    ]
}

#[test]
fn every_case_has_the_states_of_its_source() {
    let mut failed = Vec::new();
    let cases = cases();
    for (index, case) in cases.iter().enumerate() {
        assert_eq!(case.number as usize, index + 1, "cases are numbered");
        let Case { number, says, source, config, backends, steps } = case;
        let mut pool = Pool::new(config.build().expect(says), *backends);
        for (step_number, (step, states)) in steps.iter().enumerate() {
            take(&mut pool, *step);
            if pool.states() != *states {
                failed.push(format!(
                    "case {number} ({says}; {source}), step {}: {step:?} gave {}, not {states}",
                    step_number + 1,
                    pool.states()
                ));
                break;
            }
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

fn take(pool: &mut Pool, step: Step) {
    let all = 0..pool.backends.len();
    let good = |millis| End::Good { latency: Duration::from_millis(millis) };
    let mut repeat = |index, times, end| {
        for _ in 0..times {
            pool.request(index, end);
        }
    };
    match step {
        At(seconds) => pool.advance_to(Instant::from_nanos(seconds * 1_000_000_000)),
        Sweep => pool.sweep(),
        Ok(index, times) => repeat(index, times, good(10)),
        Slow(index, times, millis) => repeat(index, times, good(millis)),
        Code(index, times, code) => repeat(index, times, End::Answered(code)),
        Local(index, times) => repeat(index, times, End::Local),
        AllOk(times) => all.for_each(|index| repeat(index, times, good(10))),
        AllFail(times) => all.for_each(|index| repeat(index, times, End::Answered(500))),
        Pass(index) => pool.active_pass(index),
    }
}
