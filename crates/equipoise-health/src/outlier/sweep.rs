//! The comparison of all backends at the end of an interval.

use alloc::vec::Vec;
use core::cmp::Ordering;
use core::time::Duration;

use equipoise_core::Tally;

use super::{EjectionCause, Origin, OutlierConfig, may_eject};

/// What a sweep has to know of one backend.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Host {
    /// What its requests of the interval came to.
    pub tally: Tally,
    /// Whether it is out already: ejected or on trial. It is not compared, but counts towards the
    /// limit.
    pub is_out: bool,
    /// Whether it would take new requests if it were not out: enabled, up, not draining. Only such
    /// backends are compared, and the limit is a part of their number.
    pub is_countable: bool,
}

/// Compares all backends at the end of an interval. Holds nothing but buffers, which the next sweep
/// uses again.
///
/// # Complexity
/// O(n) for the detectors, medians by selection, plus O(m log m) to order the m backends that were
/// found. Memory: 48 bytes a backend found, 8 bytes a backend for the medians.
///
/// ```
/// use equipoise_core::Tally;
/// use equipoise_health::OutlierConfig;
/// use equipoise_health::outlier::{Host, Sweeper};
///
/// let good = Tally { successes: 200, ..Tally::default() };
/// let bad = Tally { successes: 18, upstream_failures: 182, ..Tally::default() };
/// let mut hosts = [Host { tally: good, is_out: false, is_countable: true }; 5];
/// hosts[3].tally = bad;
///
/// let mut ejected = Vec::new();
/// Sweeper::new().sweep(&OutlierConfig::default(), &hosts, &mut ejected);
/// let (index, cause) = ejected[0];
/// assert_eq!((index, cause.to_string()), (3, "failed 91 % of 200 requests".to_string()));
/// ```
#[derive(Clone, Default, Debug)]
pub struct Sweeper {
    suspects: Vec<Suspect>,
    latencies: Vec<u64>,
}

/// A backend that a detector found.
#[derive(Clone, Copy, Debug)]
struct Suspect {
    /// From 1 on the part that failed, below 1 for one that is only slow.
    severity: f64,
    index: usize,
    cause: EjectionCause,
}

impl Sweeper {
    /// Without buffers yet.
    pub const fn new() -> Self {
        Self { suspects: Vec::new(), latencies: Vec::new() }
    }

    /// Writes to `ejected` which backends are to be ejected now, by index, and why; what was in it
    /// is gone.
    ///
    /// The worst goes first, so that it is the worst on whom the limit is spent: by the part of its
    /// requests that failed, then the slow ones by how slow they are, equals by index. What the
    /// limit does not allow is left out. Total over every tally.
    pub fn sweep(
        &mut self,
        config: &OutlierConfig,
        hosts: &[Host],
        ejected: &mut Vec<(usize, EjectionCause)>,
    ) {
        ejected.clear();
        let countable = hosts.iter().filter(|host| host.is_countable).count();
        let out = hosts.iter().filter(|host| host.is_countable && host.is_out).count();
        if !may_eject(config, out, countable) {
            return;
        }
        self.find(config, hosts, countable);
        let by_severity = |a: &Suspect, b: &Suspect| -> Ordering {
            b.severity.total_cmp(&a.severity).then(a.index.cmp(&b.index))
        };
        self.suspects.sort_unstable_by(by_severity);
        for (more, suspect) in self.suspects.iter().enumerate() {
            if !may_eject(config, out + more, countable) {
                break;
            }
            ejected.push((suspect.index, suspect.cause));
        }
    }

    /// Runs all detectors over all backends, one pass for the thresholds and one for the verdicts.
    fn find(&mut self, config: &OutlierConfig, hosts: &[Host], countable: usize) {
        let settings = config.settings();
        let views: &[View] =
            if settings.split { &[View::UPSTREAM, View::LOCAL] } else { &[View::ANY] };
        let slow = self.slow(config, hosts);
        let mut rates = [None; 2];
        for (rate, view) in rates.iter_mut().zip(views) {
            *rate = rate_threshold(config, hosts, view);
        }
        let is_failing_checked = settings.failure_percentage_threshold > 0
            && countable >= settings.failure_percentage_min_hosts as usize;
        self.suspects.clear();
        for (index, host) in hosts.iter().enumerate().filter(|(_, host)| is_compared(host)) {
            let mut worst: Option<Suspect> = None;
            let mut suspect = |severity, cause| {
                if worst.is_none_or(|worst| severity > worst.severity) {
                    worst = Some(Suspect { severity, index, cause });
                }
            };
            for (view, threshold) in views.iter().zip(rates) {
                let origin = view.origin;
                let (failed, requests) = view.count(&host.tally);
                if requests == 0 {
                    continue;
                }
                let part = f64::from(failed) / f64::from(requests);
                // In whole numbers, so that 85 of 100 are 85 %.
                let is_failing = u64::from(failed) * 100
                    >= u64::from(settings.failure_percentage_threshold) * u64::from(requests);
                if is_failing_checked
                    && is_failing
                    && requests >= settings.failure_percentage_min_volume
                {
                    let failed = part as f32;
                    let cause = EjectionCause::FailurePercentage { origin, failed, requests };
                    suspect(1.0 + part, cause);
                }
                if requests >= settings.success_rate_min_volume
                    && let Some(threshold) = threshold
                    && 1.0 - part < threshold
                {
                    let (rate, threshold) = ((1.0 - part) as f32, threshold as f32);
                    let cause = EjectionCause::SuccessRate { origin, rate, threshold };
                    suspect(1.0 + part, cause);
                }
            }
            if let Some(slow) = slow
                && host.tally.successes >= settings.latency_min_volume
                && let Some(mean) = mean_nanos(&host.tally)
                && mean as f64 > slow.threshold
            {
                let ratio = mean as f64 / slow.median;
                let cause = EjectionCause::Latency {
                    mean: Duration::from_nanos(mean),
                    ratio: ratio as f32,
                };
                suspect(1.0 - 1.0 / ratio, cause);
            }
            self.suspects.extend(worst);
        }
    }

    /// From which mean latency on a backend is slow; `None` if that can't be said.
    fn slow(&mut self, config: &OutlierConfig, hosts: &[Host]) -> Option<Slow> {
        let settings = config.settings();
        if settings.latency_factor <= 0.0 {
            return None;
        }
        let with_volume = hosts
            .iter()
            .filter(|host| is_compared(host))
            .filter(|host| host.tally.successes >= settings.latency_min_volume);
        self.latencies.clear();
        self.latencies.extend(with_volume.filter_map(|host| mean_nanos(&host.tally)));
        if self.latencies.len() < settings.latency_min_hosts as usize {
            return None;
        }
        let median = median(&mut self.latencies)?;
        if median == 0 {
            return None;
        }
        for latency in &mut self.latencies {
            *latency = latency.abs_diff(median);
        }
        let deviation = self::median(&mut self.latencies)? as f64 * SIGMA_PER_MAD;
        let median = median as f64;
        let spread = deviation.max(median * LEAST_SPREAD);
        let threshold = median + settings.latency_factor * spread;
        Some(Slow { median, threshold: threshold.max(median * settings.latency_min_ratio) })
    }
}

/// What the standard deviation of a normal distribution is in its median absolute deviations.
const SIGMA_PER_MAD: f64 = 1.4826;
/// The least spread, as a part of the median: where all are alike, the deviation says nothing.
const LEAST_SPREAD: f64 = 0.1;

/// When a backend is slow, in nanoseconds.
#[derive(Clone, Copy)]
struct Slow {
    median: f64,
    threshold: f64,
}

/// Which of a tally's requests a statistic looks at.
struct View {
    origin: Origin,
    /// Failures, and the requests that they are a part of.
    count: fn(&Tally) -> (u32, u32),
}

impl View {
    const ANY: Self = Self {
        origin: Origin::Any,
        count: |tally| {
            let total = tally.total();
            (tally.upstream_failures.saturating_add(tally.local_failures), total)
        },
    };
    const UPSTREAM: Self = Self {
        origin: Origin::Upstream,
        count: |tally| (tally.upstream_failures, tally.answered()),
    };
    const LOCAL: Self =
        Self { origin: Origin::Local, count: |tally| (tally.local_failures, tally.total()) };

    fn count(&self, tally: &Tally) -> (u32, u32) {
        (self.count)(tally)
    }
}

/// One that is out, or takes no requests anyway, is not compared: it had none, or few.
const fn is_compared(host: &Host) -> bool {
    host.is_countable && !host.is_out
}

/// The success rate below which a backend is an outlier: gRFC A50, "Success Rate Algorithm", and
/// the least gap. `None` if there are not enough backends with enough requests.
fn rate_threshold(config: &OutlierConfig, hosts: &[Host], view: &View) -> Option<f64> {
    let settings = config.settings();
    if settings.success_rate_stdev_factor <= 0.0 {
        return None;
    }
    // Welford's method: one pass, and no rounding where all are equal, which would make outliers of
    // all of them.
    let (mut n, mut mean, mut squares) = (0_u32, 0.0, 0.0);
    for host in hosts.iter().filter(|host| is_compared(host)) {
        let (failed, requests) = view.count(&host.tally);
        if requests < settings.success_rate_min_volume {
            continue;
        }
        n = n.saturating_add(1);
        let rate = 1.0 - f64::from(failed) / f64::from(requests);
        let delta = rate - mean;
        mean += delta / f64::from(n);
        squares += delta * (rate - mean);
    }
    if n < settings.success_rate_min_hosts {
        return None;
    }
    // Of all of them, not of a sample: divided by n, as Envoy and gRPC do.
    let deviation = square_root(squares / f64::from(n));
    let gap = (deviation * settings.success_rate_stdev_factor).max(settings.success_rate_min_gap);
    Some(mean - gap)
}

/// The mean latency in nanoseconds, saturated; `None` without a success.
fn mean_nanos(tally: &Tally) -> Option<u64> {
    Some(u64::try_from(tally.mean_latency()?.as_nanos()).unwrap_or(u64::MAX))
}

/// The median; of an even number the upper one, which calls less slow. Reorders the numbers.
fn median(numbers: &mut [u64]) -> Option<u64> {
    let middle = numbers.len() / 2;
    if numbers.is_empty() { None } else { Some(*numbers.select_nth_unstable(middle).1) }
}

/// The square root, which `core` does not have: Newton's method from half the exponent. For numbers
/// from 0 to 1; 0 for what has none.
fn square_root(x: f64) -> f64 {
    if x.is_nan() || x <= 0.0 {
        return 0.0;
    }
    // Within 7 % of the root; each step squares the relative error and halves it.
    let mut root = f64::from_bits((x.to_bits() >> 1) + 0x1ff8_0000_0000_0000);
    for _ in 0..4 {
        root = 0.5 * (root + x / root);
    }
    root
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_square_root_is_that_of_std() {
        extern crate std;
        for i in 0..100_000_u32 {
            let x = f64::from(i) / 100_000.0;
            assert!((square_root(x) - std::primitive::f64::sqrt(x)).abs() <= 1e-15, "{x}");
        }
        for x in [1e-300, 1e-18, 0.25, 1.0] {
            let ratio = square_root(x) / std::primitive::f64::sqrt(x);
            assert!((ratio - 1.0).abs() < 1e-15, "{x}");
        }
        assert!(square_root(-1.0) == 0.0 && square_root(f64::NAN) == 0.0);
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&mut []), None);
        assert_eq!(median(&mut [7]), Some(7));
        assert_eq!(median(&mut [9, 1, 5]), Some(5));
        assert_eq!(median(&mut [9, 1, 5, 7]), Some(7));
    }

    #[test]
    fn equal_rates_are_no_outliers_whatever_their_rounding() {
        let builder = OutlierConfig::builder().success_rate_min_gap(0.0);
        let config = builder.failure_percentage_threshold(0).build().unwrap();
        let (mut sweeper, mut found) = (Sweeper::new(), Vec::new());
        for failed in 0..=100 {
            let tally =
                Tally { successes: 100 - failed, upstream_failures: failed, ..Tally::default() };
            let hosts = [Host { tally, is_out: false, is_countable: true }; 30];
            for n in 5..=hosts.len() {
                sweeper.sweep(&config, &hosts[..n], &mut found);
                assert_eq!(found, [], "{failed} of 100 at {n} backends");
            }
        }
    }
}
