//! What the machine allows: the least that an operation of its kind can cost.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use arc_swap::ArcSwap;
use equipoise_core::Rng;

use crate::ours::IN_FLIGHT;
use crate::row::Worker;

/// A counter on cache lines of its own: two, since processors fetch lines in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Line(AtomicU64);

/// One relaxed `fetch_add`: the least that any shared counter costs.
#[derive(Clone, Debug, Default)]
pub struct FetchAdd(Arc<Line>);

impl Worker for FetchAdd {
    #[inline]
    fn step(&mut self) -> u64 {
        self.0.0.fetch_add(1, Relaxed)
    }
}

/// One `ArcSwap::load`: how a snapshot is read without a cached reader.
#[derive(Clone, Debug)]
pub struct Swap(Arc<ArcSwap<u64>>);

impl Default for Swap {
    fn default() -> Self {
        Self(Arc::new(ArcSwap::from_pointee(1)))
    }
}

impl Worker for Swap {
    #[inline]
    fn step(&mut self) -> u64 {
        **self.0.load()
    }
}

/// One step of the random generator.
#[derive(Debug)]
pub struct RngStep(pub Rng);

impl Worker for RngStep {
    #[inline]
    fn step(&mut self) -> u64 {
        self.0.next_u64()
    }
}

/// A backend of [`BareP2c`]: one counter on a line of its own.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct Counter(AtomicU32);

/// Power of two choices with nothing around it: two random counters are compared, the smaller is
/// incremented, and that of the oldest request is decremented. No snapshot, no lease, no weights.
#[derive(Debug)]
pub struct BareP2c {
    counters: Arc<[Counter]>,
    rng: Rng,
    in_flight: [u32; IN_FLIGHT],
    at: usize,
}

impl BareP2c {
    /// The counters that all threads share.
    pub fn counters(backends: usize) -> Arc<[Counter]> {
        (0..backends).map(|_| Counter::default()).collect()
    }

    /// One thread's part.
    pub fn new(counters: &Arc<[Counter]>, seed: u64) -> Self {
        counters[0].0.fetch_add(IN_FLIGHT as u32, Relaxed);
        let counters = Arc::clone(counters);
        Self { counters, rng: Rng::seeded(seed), in_flight: [0; IN_FLIGHT], at: 0 }
    }
}

impl Worker for BareP2c {
    #[inline]
    fn step(&mut self) -> u64 {
        let random = self.rng.next_u64();
        let n = self.counters.len() as u64;
        let first = ((random >> 32) * n) >> 32;
        let mut second = ((random & u64::from(u32::MAX)) * (n - 1)) >> 32;
        second += u64::from(second >= first);
        let load = |i: u64| self.counters[i as usize].0.load(Relaxed);
        let best = if load(second) < load(first) { second } else { first } as u32;
        self.counters[best as usize].0.fetch_add(1, Relaxed);
        self.at = (self.at + 1) % IN_FLIGHT;
        let oldest = std::mem::replace(&mut self.in_flight[self.at], best);
        self.counters[oldest as usize].0.fetch_sub(1, Relaxed);
        u64::from(best)
    }
}
