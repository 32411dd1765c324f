//! Why a backend is ejected.

use core::fmt;
use core::time::Duration;

use equipoise_core::Runs;

use super::OutlierConfig;

/// Whose word a failure is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// Everybody's: local and upstream are not told apart.
    Any,
    /// The backend's: it answered.
    Upstream,
    /// The balancer's: no connection, a reset, no answer in time.
    Local,
}

/// Why a backend is ejected, with the figures that a person asks for. Its `Display` is a phrase for
/// "ejected: ...".
///
/// ```
/// use equipoise_health::outlier::{EjectionCause, Origin};
///
/// let cause = EjectionCause::SuccessRate { origin: Origin::Any, rate: 0.62, threshold: 0.883 };
/// assert_eq!(cause.to_string(), "success rate 62.0 %, below 88.3 %");
/// ```
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub enum EjectionCause {
    /// So many failures in a row, of any kind.
    Consecutive {
        /// How many.
        count: u16,
        /// The code that all of them had; 0 if they differ, or there is none.
        code: u16,
    },
    /// So many times 502, 503 or 504 in a row.
    ConsecutiveGateway {
        /// How many.
        count: u16,
        /// The code that all of them had; 0 if they differ.
        code: u16,
    },
    /// So many failures in a row that the balancer saw itself.
    ConsecutiveLocal {
        /// How many.
        count: u16,
    },
    /// Its success rate is far below that of the others.
    SuccessRate {
        /// Which requests were counted.
        origin: Origin,
        /// Its success rate, 0 to 1.
        rate: f32,
        /// What it should have been at least.
        threshold: f32,
    },
    /// Too many of its requests failed, whatever the others do.
    FailurePercentage {
        /// Which failures were counted.
        origin: Origin,
        /// The part that failed, 0 to 1.
        failed: f32,
        /// Of how many requests.
        requests: u32,
    },
    /// Its successes take far longer than those of the others.
    Latency {
        /// Its mean latency.
        mean: Duration,
        /// How many times the median of all backends that is.
        ratio: f32,
    },
}

impl fmt::Display for EjectionCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Consecutive { count, code: 0 } => write!(f, "{count} consecutive failures"),
            Self::ConsecutiveGateway { count, code: 0 } => {
                write!(f, "{count} consecutive 502, 503 or 504")
            }
            Self::Consecutive { count, code } | Self::ConsecutiveGateway { count, code } => {
                write!(f, "{count} consecutive {code}")
            }
            Self::ConsecutiveLocal { count } => {
                write!(f, "{count} consecutive failures, no answer")
            }
            Self::SuccessRate { origin, rate, threshold } => {
                let what = if origin == Origin::Local { "answered" } else { "success rate" };
                write!(f, "{what} {:.1} %, below {:.1} %", rate * 100.0, threshold * 100.0)
            }
            Self::FailurePercentage { origin: Origin::Local, failed, requests } => {
                write!(f, "no answer to {:.0} % of {requests} requests", failed * 100.0)
            }
            Self::FailurePercentage { failed, requests, .. } => {
                write!(f, "failed {:.0} % of {requests} requests", failed * 100.0)
            }
            Self::Latency { mean, ratio } => {
                write!(f, "mean latency {} ms, {ratio:.1} times the median", mean.as_millis())
            }
        }
    }
}

/// The consecutive rules: the cause, if a backend's failures in a row are enough to eject it. The
/// most specific that fits: local, gateway, any. O(1).
///
/// Call it after each failure. Reaching a threshold is lasting: where the limit forbids the
/// ejection, the next failure asks again. So the runs must start anew when a backend is un-ejected,
/// or its first failure after that ejects it again.
pub const fn on_runs(config: &OutlierConfig, runs: &Runs) -> Option<EjectionCause> {
    let settings = config.settings();
    if is_reached(runs.local, settings.consecutive_local) {
        Some(EjectionCause::ConsecutiveLocal { count: runs.local })
    } else if is_reached(runs.gateway, settings.consecutive_gateway) {
        // The code is that of the run of failures; a shorter run of gateway failures within it has
        // one code only if the longer one does.
        Some(EjectionCause::ConsecutiveGateway { count: runs.gateway, code: runs.code })
    } else if is_reached(runs.failures, settings.consecutive) {
        Some(EjectionCause::Consecutive { count: runs.failures, code: runs.code })
    } else {
        None
    }
}

/// Whether a run is long enough; a threshold of 0 is off.
const fn is_reached(run: u16, threshold: u16) -> bool {
    threshold != 0 && run >= threshold
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn a_cause_says_what_a_person_wants_to_know() {
        use EjectionCause as C;
        let (any, local) = (Origin::Any, Origin::Local);
        let said = [
            (C::Consecutive { count: 5, code: 502 }, "5 consecutive 502"),
            (C::Consecutive { count: 5, code: 0 }, "5 consecutive failures"),
            (C::ConsecutiveGateway { count: 3, code: 0 }, "3 consecutive 502, 503 or 504"),
            (C::ConsecutiveGateway { count: 3, code: 504 }, "3 consecutive 504"),
            (C::ConsecutiveLocal { count: 5 }, "5 consecutive failures, no answer"),
            (
                C::SuccessRate { origin: any, rate: 0.62, threshold: 0.883 },
                "success rate 62.0 %, below 88.3 %",
            ),
            (
                C::SuccessRate { origin: local, rate: 0.5, threshold: 0.9 },
                "answered 50.0 %, below 90.0 %",
            ),
            (
                C::FailurePercentage { origin: any, failed: 0.91, requests: 200 },
                "failed 91 % of 200 requests",
            ),
            (
                C::FailurePercentage { origin: local, failed: 0.91, requests: 200 },
                "no answer to 91 % of 200 requests",
            ),
            (
                C::Latency { mean: Duration::from_millis(812), ratio: 4.1 },
                "mean latency 812 ms, 4.1 times the median",
            ),
        ];
        for (cause, words) in said {
            assert_eq!(cause.to_string(), words);
        }
    }
}
