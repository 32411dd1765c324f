//! What can be wrong with the settings of the active check.

use core::fmt;
use core::time::Duration;

/// Why settings of the active check were refused. Nothing changed.
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub enum CheckConfigError {
    /// A count of checks is 0.
    Zero {
        /// Which one: `rise`, `fall` or `first_n`.
        field: &'static str,
    },
    /// An interval or the time-out is not in 1 ms to 1 day.
    Duration {
        /// Which one.
        field: &'static str,
        /// What it is.
        value: Duration,
    },
    /// The time-out is longer than an interval.
    Timeout {
        /// The time-out.
        timeout: Duration,
        /// Which interval.
        field: &'static str,
        /// What that interval is.
        interval: Duration,
    },
    /// `no_traffic` is shorter than `up`.
    NoTraffic {
        /// The interval without traffic.
        no_traffic: Duration,
        /// The interval with traffic.
        up: Duration,
    },
    /// `jitter` is not in 0 to 0.5.
    Jitter {
        /// What it is.
        value: f64,
    },
}

impl fmt::Display for CheckConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zero { field } => {
                write!(f, "{field}: 0 is out of range: 1 to 65535 are allowed")
            }
            Self::Duration { field, value } => {
                write!(f, "{field}: {value:?} is out of range: 1 ms to 1 day are allowed")
            }
            Self::Timeout { timeout, field, interval } => write!(
                f,
                "timeout: {timeout:?} is longer than {field}, {interval:?}: a check must end before \
                 the next one is due"
            ),
            Self::NoTraffic { no_traffic, up } => {
                write!(f, "no_traffic: {no_traffic:?} is shorter than up, {up:?}")
            }
            Self::Jitter { value } => {
                write!(f, "jitter: {value} is out of range: 0 to 0.5 are allowed")
            }
        }
    }
}

impl core::error::Error for CheckConfigError {}
