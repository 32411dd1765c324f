//! What a backend's requests came to.

use core::time::Duration;

/// The outcomes of a backend's requests over some time. A request that was given up is not in it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Tally {
    /// Requests that went well.
    pub successes: u32,
    /// Requests that the backend answered with a failure: [`Failure::Response`](crate::Failure).
    pub upstream_failures: u32,
    /// Requests whose failure the balancer saw itself: no connection, a reset, no answer in time.
    pub local_failures: u32,
    /// The latencies of the successes, added up.
    pub latency: Duration,
}

impl Tally {
    /// All requests.
    pub const fn total(&self) -> u32 {
        self.answered().saturating_add(self.local_failures)
    }

    /// Those that the backend answered, well or with a failure.
    pub const fn answered(&self) -> u32 {
        self.successes.saturating_add(self.upstream_failures)
    }

    /// The mean latency of the successes; `None` without any.
    pub fn mean_latency(&self) -> Option<Duration> {
        self.latency.checked_div(self.successes)
    }
}

/// How many of a backend's last requests failed in a row, by kind. Each run ends with the first
/// request that is not of its kind.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Runs {
    /// Failures of any kind.
    pub failures: u16,
    /// Failures that stand for somebody behind the backend: [`Failure::is_gateway`](crate::Failure).
    pub gateway: u16,
    /// Failures that the balancer saw itself.
    pub local: u16,
    /// The code that all answers of the run of failures had; 0 if they differ, or there is none.
    pub code: u16,
}
