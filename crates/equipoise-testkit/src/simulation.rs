//! A closed loop of clients, in simulated time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use equipoise_core::{Failure, Instant, Outcome, Policy};
use equipoise_pool::{Lease, Request};

use crate::Arena;

/// Clients that each send a request, wait for its end, and send the next.
#[derive(Clone, Debug)]
pub struct ClosedLoop {
    /// How many there are.
    pub clients: usize,
    /// How long backend i takes, and whether what it then answers is a success.
    pub backends: Vec<(Duration, bool)>,
}

/// How many requests each backend got.
pub type Served = Vec<u64>;

impl ClosedLoop {
    /// Sends this many requests, and counts those after the first `warmup`.
    ///
    /// # Panics
    /// If a pick fails.
    pub fn run<P: Policy>(&self, arena: &mut Arena<P>, warmup: usize, requests: usize) -> Served {
        let mut served = vec![0; self.backends.len()];
        let mut ends: BinaryHeap<Reverse<(Instant, usize)>> =
            (0..self.clients).map(|client| Reverse((Instant::ZERO, client))).collect();
        let mut leases: Vec<Option<Lease<usize>>> = (0..self.clients).map(|_| None).collect();
        for sent in 0..warmup + requests {
            let Some(Reverse((now, client))) = ends.pop() else { break };
            if let Some(lease) = leases[client].take() {
                let (_, works) = self.backends[*lease];
                let failure = Outcome::Failure(Failure::Response(500));
                lease.finish(now, if works { Outcome::Success } else { failure });
            }
            let lease = arena.reader.pick(&Request::new().at(now)).expect("somebody is admitted");
            if sent >= warmup {
                served[*lease] += 1;
            }
            ends.push(Reverse((now + self.backends[*lease].0, client)));
            leases[client] = Some(lease);
        }
        served
    }
}
