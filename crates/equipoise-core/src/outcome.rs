//! What a balancer learns from a request that has ended.

use core::time::Duration;

use crate::Instant;

/// How a request ended. A request that was given up (a client gone, a task cancelled) has no
/// outcome: it says nothing about the backend.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Outcome {
    /// The backend did its work.
    Success,
    /// It did not.
    Failure(Failure),
}

/// What went wrong, as far as the balancer can tell.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Failure {
    /// No connection could be made.
    Connect,
    /// The connection broke before the answer was complete.
    Reset,
    /// No answer came in time.
    Timeout,
    /// The backend answered that it failed, with this code of its protocol: an HTTP status of 500
    /// or more, say; 0 where there is none.
    Response(u16),
}

impl Failure {
    /// Whether the balancer saw the failure itself, as against the backend reporting it.
    pub const fn is_local_origin(self) -> bool {
        !matches!(self, Self::Response(_))
    }

    /// Whether the backend said that what stands behind it failed: HTTP's 502, 503 and 504.
    pub const fn is_gateway(self) -> bool {
        matches!(self, Self::Response(502..=504))
    }
}

/// One ended request, as a [`Tracker`](crate::Tracker) hears of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sample {
    /// When it ended.
    pub now: Instant,
    /// From the pick to the end, time spent connecting and queueing included.
    pub latency: Duration,
    /// How it ended.
    pub outcome: Outcome,
}

/// What a backend, or another balancer in front of it, says of the backend's load.
///
/// The fields are what the field's protocols carry (ORCA's `cpu_utilization`, Prequal's requests
/// in flight and latency); one that was not reported is `None`.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
#[non_exhaustive]
pub struct LoadReport {
    /// Used part of the capacity: 0 is idle, 1 is full, more is overloaded.
    pub utilization: Option<f32>,
    /// Requests that the backend has in hand, from all balancers together.
    pub in_flight: Option<u32>,
    /// A typical latency at the present load.
    pub latency: Option<Duration>,
}

impl LoadReport {
    /// A report that says nothing yet.
    pub const fn new() -> Self {
        Self { utilization: None, in_flight: None, latency: None }
    }

    /// Sets the used part of the capacity.
    pub const fn with_utilization(mut self, utilization: f32) -> Self {
        self.utilization = Some(utilization);
        self
    }

    /// Sets the requests in hand.
    pub const fn with_in_flight(mut self, in_flight: u32) -> Self {
        self.in_flight = Some(in_flight);
        self
    }

    /// Sets the typical latency.
    pub const fn with_latency(mut self, latency: Duration) -> Self {
        self.latency = Some(latency);
        self
    }
}
