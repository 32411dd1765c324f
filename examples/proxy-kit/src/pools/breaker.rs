//! A pool's circuit breaker, shared by all of its requests.

use std::sync::Arc;

use equipoise_core::{Clock, Outcome, Rng};
use equipoise_health::breaker::Permit;
use equipoise_health::{BreakerConfig, CircuitBreaker};
use parking_lot::Mutex;

use crate::clock::Monotonic;

/// A circuit breaker. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Breaker(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    clock: Monotonic,
    config: BreakerConfig,
    /// And what jitter is drawn from.
    state: Mutex<(CircuitBreaker, Rng)>,
}

impl Breaker {
    pub(super) fn new(config: BreakerConfig, clock: Monotonic, seed: u64) -> Self {
        let state = Mutex::new((CircuitBreaker::new(), Rng::seeded(seed)));
        Self(Arc::new(Shared { clock, config, state }))
    }

    /// Takes a place, or says in words why there is none.
    pub(super) fn admit(&self) -> Result<Place, String> {
        let Shared { clock, config, state } = &*self.0;
        let permit = state.lock().0.try_acquire(config, clock.now());
        let permit = permit.map_err(|refused| format!("circuit breaker: {refused}"))?;
        Ok(Place(Some((self.clone(), permit))))
    }
}

/// A request's place at its pool's circuit breaker, if there is one, which it gives back when it is dropped.
#[derive(Debug, Default)]
pub struct Place(Option<(Breaker, Permit)>);

impl Place {
    /// Says how the request goes, and keeps the place. What is said later does not count.
    pub fn sample(&mut self, outcome: Outcome) {
        if let Some((Breaker(shared), permit)) = &mut self.0 {
            let (circuit, rng) = &mut *shared.state.lock();
            circuit.sample(&shared.config, shared.clock.now(), permit, outcome, rng);
        }
    }

    /// Says how the request went. One that is dropped without says nothing about the pool.
    pub fn end(mut self, outcome: Outcome) {
        self.release(Some(outcome));
    }

    fn release(&mut self, outcome: Option<Outcome>) {
        if let Some((Breaker(shared), permit)) = self.0.take() {
            let (circuit, rng) = &mut *shared.state.lock();
            circuit.release(&shared.config, shared.clock.now(), permit, outcome, rng);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.release(None);
    }
}
