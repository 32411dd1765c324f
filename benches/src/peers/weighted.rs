//! weighted-rs: nginx's smooth weighted round robin, O(n) a pick.

use std::sync::Arc;

use parking_lot::Mutex;
use weighted_rs::{SmoothWeight, Weight as _};

use crate::ours::Weights;
use crate::row::Worker;

fn balancer(backends: usize, weights: Weights) -> SmoothWeight<u32> {
    let mut balancer = SmoothWeight::new();
    for i in 0..backends as u32 {
        balancer.add(i, isize::try_from(weights.of(i)).unwrap_or(1));
    }
    balancer
}

/// A pick by one thread.
pub struct Smooth(SmoothWeight<u32>);

impl Smooth {
    /// A balancer of its own.
    pub fn new(backends: usize, weights: Weights) -> Self {
        Self(balancer(backends, weights))
    }
}

impl std::fmt::Debug for Smooth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Smooth").finish_non_exhaustive()
    }
}

impl Worker for Smooth {
    #[inline]
    fn step(&mut self) -> u64 {
        self.0.next().map_or(0, u64::from)
    }
}

/// A pick from one balancer that several threads lock.
#[derive(Clone, Debug)]
pub struct LockedSmooth(Arc<Mutex<Smooth>>);

impl LockedSmooth {
    /// The balancer; clone it for each thread.
    pub fn new(backends: usize, weights: Weights) -> Self {
        Self(Arc::new(Mutex::new(Smooth::new(backends, weights))))
    }
}

impl Worker for LockedSmooth {
    #[inline]
    fn step(&mut self) -> u64 {
        self.0.lock().step()
    }
}

/// One membership change: it has no way to take one backend out, so all are added anew.
#[derive(Debug)]
pub struct Rebuild {
    balancer: Smooth,
    backends: usize,
    weights: Weights,
    away: bool,
}

impl Rebuild {
    /// A balancer of its own.
    pub fn new(backends: usize, weights: Weights) -> Self {
        Self { balancer: Smooth::new(backends, weights), backends, weights, away: false }
    }
}

impl Worker for Rebuild {
    fn step(&mut self) -> u64 {
        self.away = !self.away;
        self.balancer = Smooth::new(self.backends - usize::from(self.away), self.weights);
        0
    }
}
