//! What came of a backend's requests, counted where they end.

use std::time::Duration;

use equipoise_core::{Failure, Outcome, Runs, Tally};

use crate::primitive::{AtomicU32, AtomicU64, Ordering};

/// The outcomes of a backend's requests since somebody last took them, and how many of the last
/// ones failed in a row. Any thread records; nothing is recorded twice, or lost.
#[derive(Debug)]
pub(crate) struct Window {
    successes: AtomicU32,
    upstream_failures: AtomicU32,
    local_failures: AtomicU32,
    /// Nanoseconds, of successes.
    latency: AtomicU64,
    /// [`Runs`], 16 bits each.
    runs: AtomicU64,
}

/// The longest latency that counts: with longer ones the sum could wrap around.
const LONGEST: Duration = Duration::from_secs(3_600);

impl Window {
    pub(crate) fn new() -> Self {
        Self {
            successes: AtomicU32::new(0),
            upstream_failures: AtomicU32::new(0),
            local_failures: AtomicU32::new(0),
            latency: AtomicU64::new(0),
            runs: AtomicU64::new(0),
        }
    }

    /// Records how a request went. Says whether a run of failures has come to a multiple of its
    /// threshold, so that somebody should look.
    #[inline]
    pub(crate) fn record(&self, outcome: Outcome, latency: Duration, thresholds: &Runs) -> bool {
        // Relaxed throughout: each counter orders nothing but itself.
        match outcome {
            Outcome::Success => {
                self.successes.fetch_add(1, Ordering::Relaxed);
                let nanos = latency.min(LONGEST).as_nanos() as u64;
                self.latency.fetch_add(nanos, Ordering::Relaxed);
                if self.runs.load(Ordering::Relaxed) != 0 {
                    self.runs.store(0, Ordering::Relaxed);
                }
                false
            }
            Outcome::Failure(failure) => self.record_failure(failure, thresholds),
        }
    }

    #[cold]
    fn record_failure(&self, failure: Failure, thresholds: &Runs) -> bool {
        let of_kind = match failure {
            Failure::Response(_) => &self.upstream_failures,
            _ => &self.local_failures,
        };
        of_kind.fetch_add(1, Ordering::Relaxed);
        let mut after = Runs::default();
        let _ = self.runs.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |before| {
            after = longer(unpack(before), failure);
            Some(pack(after))
        });
        // A run that is as long as it can be counted calls with each failure: there is no next multiple.
        let reached = |run: u16, threshold: u16| {
            let rest = run.checked_rem(threshold);
            run != 0 && rest.is_some_and(|rest| rest == 0 || run == u16::MAX)
        };
        reached(after.failures, thresholds.failures)
            || reached(after.gateway, thresholds.gateway)
            || reached(after.local, thresholds.local)
    }

    /// What was recorded since the last call. Each request is in one of the tallies.
    pub(crate) fn take(&self) -> Tally {
        let take = |counter: &AtomicU32| match counter.load(Ordering::Relaxed) {
            // Most backends of a large pool have had nothing to do, and a load is shared.
            0 => 0,
            _ => counter.swap(0, Ordering::Relaxed),
        };
        let successes = take(&self.successes);
        let latency = if successes == 0 { 0 } else { self.latency.swap(0, Ordering::Relaxed) };
        Tally {
            successes,
            upstream_failures: take(&self.upstream_failures),
            local_failures: take(&self.local_failures),
            latency: Duration::from_nanos(latency),
        }
    }

    /// The runs now.
    pub(crate) fn runs(&self) -> Runs {
        unpack(self.runs.load(Ordering::Relaxed))
    }

    /// Ends the runs: a backend that comes back starts anew.
    pub(crate) fn end_runs(&self) {
        self.runs.store(0, Ordering::Relaxed);
    }
}

/// The runs, one failure later.
fn longer(runs: Runs, failure: Failure) -> Runs {
    let next = |run: u16, goes_on: bool| if goes_on { run.saturating_add(1) } else { 0 };
    let code = match failure {
        Failure::Response(code) if runs.failures == 0 || runs.code == code => code,
        _ => 0,
    };
    Runs {
        failures: next(runs.failures, true),
        gateway: next(runs.gateway, failure.is_gateway()),
        local: next(runs.local, failure.is_local_origin()),
        code,
    }
}

fn pack(runs: Runs) -> u64 {
    u64::from(runs.failures)
        | u64::from(runs.gateway) << 16
        | u64::from(runs.local) << 32
        | u64::from(runs.code) << 48
}

fn unpack(word: u64) -> Runs {
    Runs {
        failures: word as u16,
        gateway: (word >> 16) as u16,
        local: (word >> 32) as u16,
        code: (word >> 48) as u16,
    }
}

#[cfg(all(test, not(equipoise_loom)))]
mod tests {
    use super::*;

    const OFF: Runs = Runs { failures: 0, gateway: 0, local: 0, code: 0 };

    fn runs_after(failures: &[Failure]) -> Runs {
        let window = Window::new();
        for &failure in failures {
            window.record(Outcome::Failure(failure), Duration::ZERO, &OFF);
        }
        window.runs()
    }

    #[test]
    fn a_run_ends_with_the_first_that_is_not_of_its_kind() {
        use Failure::{Connect, Response, Timeout};
        let runs = |failures, gateway, local, code| Runs { failures, gateway, local, code };
        for (failures, expected) in [
            (&[Response(502), Response(502)][..], runs(2, 2, 0, 502)),
            (&[Response(502), Response(500)], runs(2, 0, 0, 0)),
            (&[Response(502), Response(500), Response(500)], runs(3, 0, 0, 0)),
            (&[Response(503), Connect], runs(2, 0, 1, 0)),
            (&[Connect, Timeout, Response(504)], runs(3, 1, 0, 0)),
            (&[Connect, Timeout], runs(2, 0, 2, 0)),
        ] {
            assert_eq!(runs_after(failures), expected, "{failures:?}");
        }
        let window = Window::new();
        window.record(Outcome::Failure(Connect), Duration::ZERO, &OFF);
        window.record(Outcome::Success, Duration::ZERO, &OFF);
        assert_eq!(window.runs(), OFF);
    }

    #[test]
    fn a_threshold_calls_at_each_multiple_of_it() {
        let window = Window::new();
        let thresholds = Runs { failures: 3, ..OFF };
        let calls: Vec<bool> = (0..7)
            .map(|_| {
                let failure = Outcome::Failure(Failure::Response(500));
                window.record(failure, Duration::ZERO, &thresholds)
            })
            .collect();
        assert_eq!(calls, [false, false, true, false, false, true, false]);
    }

    #[test]
    fn a_run_stays_at_the_most_that_it_can_count() {
        let runs = Runs { failures: u16::MAX, gateway: 0, local: u16::MAX, code: 0 };
        assert_eq!(longer(runs, Failure::Connect), runs);
    }

    #[test]
    fn a_run_that_can_not_be_counted_further_goes_on_calling() {
        let failure = Outcome::Failure(Failure::Response(500));
        for threshold in [1, 2, 5, 1_000] {
            let window = Window::new();
            let thresholds = Runs { failures: threshold, ..OFF };
            for _ in 0..u16::MAX {
                window.record(failure, Duration::ZERO, &thresholds);
            }
            assert!(window.record(failure, Duration::ZERO, &thresholds), "{threshold}");
            assert!(!window.record(failure, Duration::ZERO, &OFF), "{threshold}");
        }
    }

    #[test]
    fn a_tally_is_taken_once() {
        let window = Window::new();
        window.record(Outcome::Success, Duration::from_millis(2), &OFF);
        window.record(Outcome::Success, Duration::from_millis(4), &OFF);
        window.record(Outcome::Failure(Failure::Connect), Duration::from_secs(9), &OFF);
        window.record(Outcome::Failure(Failure::Response(500)), Duration::from_secs(9), &OFF);
        let tally = window.take();
        assert_eq!((tally.successes, tally.upstream_failures, tally.local_failures), (2, 1, 1));
        assert_eq!(tally.mean_latency(), Some(Duration::from_millis(3)));
        assert_eq!(window.take(), Tally::default());
    }
}
