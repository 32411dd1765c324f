//! The workloads of our own policies.

use std::sync::Arc;
use std::time::Duration;

use equipoise_core::{
    BackendId, Instant, Load, Member, Outcome, PickContext, Picker, Policy, Rng, Sample, Slot,
    Turn, View, Weight,
};
use equipoise_pool::{Lease, Pool, Reader, Request, Spec};

use crate::row::Worker;

/// How many requests a worker keeps in flight: the oldest ends when a new one begins.
pub const IN_FLIGHT: usize = 64;

/// What the pools' backends are: a number, in place of the address that a proxy would keep.
pub type Backend = u32;

const SEED: u64 = 7;

/// How the weights of a pool are made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Weights {
    /// All 1.
    Equal,
    /// 1 to 5, in turn.
    OneToFive,
}

impl Weights {
    /// The weight of backend `index`.
    pub const fn of(self, index: u32) -> u16 {
        match self {
            Self::Equal => 1,
            Self::OneToFive => 1 + (index % 5) as u16,
        }
    }
}

fn spec(index: u32, weights: Weights) -> Spec<Backend> {
    Spec::new(BackendId::new(u64::from(index)), index).weight(Weight::new(weights.of(index)))
}

/// A pool of so many backends.
pub fn pool<P: Policy>(policy: P, backends: usize, weights: Weights) -> Pool<Backend, P> {
    let pool = Pool::new(policy, SEED);
    pool.update((0..backends as u32).map(|i| spec(i, weights))).expect("ids differ");
    pool
}

/// The policy's choice alone: no snapshot is read, and no lease is made.
#[derive(Debug)]
pub struct Pick<K> {
    picker: Arc<K>,
    rng: Rng,
    turn: u64,
    /// As a snapshot would, these keep the trackers, and with them a backend's place in a tree.
    _members: Arc<[Member]>,
}

impl<K: Picker> Pick<K> {
    /// A worker for each thread, all over one picker.
    pub fn workers<P: Policy<Picker = K>>(
        policy: &P,
        backends: usize,
        weights: Weights,
        threads: usize,
    ) -> Vec<Self> {
        let weights: Vec<_> = (0..backends as u32).map(|i| Weight::new(weights.of(i))).collect();
        let members: Arc<[Member]> =
            weights.iter().zip(0..).map(|(&weight, i)| member(policy, i, weight)).collect();
        let admitted: Vec<_> = (0..backends as u32).map(Slot::new).collect();
        let picker = Arc::new(policy.build(&View::new(&members, &admitted, &weights), None));
        let worker = |thread: usize| {
            let mut rng = Rng::seeded(SEED + thread as u64);
            let turn = rng.next_u64();
            Self { picker: Arc::clone(&picker), rng, turn, _members: Arc::clone(&members) }
        };
        (0..threads).map(worker).collect()
    }
}

/// A backend that has answered once, so that a policy which measures latency has one to weigh.
fn member<P: Policy>(policy: &P, index: u32, weight: Weight) -> Member {
    let id = BackendId::new(u64::from(index));
    let tracker = policy.track(id);
    if let Some(tracker) = &tracker {
        let latency = Duration::from_micros(1_000 + u64::from(index));
        tracker.on_sample(&Sample { now: PRIMED, latency, outcome: Outcome::Success });
    }
    Member { id, weight, tier: 0, load: Load::of(&Arc::new(index)), tracker }
}

/// When the backends of [`Pick`] answered.
const PRIMED: Instant = Instant::from_nanos(1_000_000_000);

impl<K: Picker> Worker for Pick<K> {
    #[inline]
    fn step(&mut self) -> u64 {
        let mut context = PickContext::new(&mut self.rng, Turn::Own(&mut self.turn)).at(PRIMED);
        self.picker.pick(&mut context).map_or(0, |slot| slot.index() as u64)
    }
}

/// Pick through a reader, and drop the lease at once.
#[derive(Debug)]
pub struct PickAndDrop<P: Policy>(Reader<Backend, P>);

impl<P: Policy> PickAndDrop<P> {
    /// A worker for each thread, all on one pool.
    pub fn workers(policy: P, backends: usize, weights: Weights, threads: usize) -> Vec<Self> {
        let pool = pool(policy, backends, weights);
        (0..threads).map(|_| Self(pool.reader())).collect()
    }
}

impl<P: Policy> Worker for PickAndDrop<P> {
    #[inline]
    fn step(&mut self) -> u64 {
        self.0.pick(&Request::new()).map_or(0, |lease| u64::from(*lease))
    }
}

/// A whole request: pick through a reader at a given time, keep the lease while
/// [`IN_FLIGHT`] others begin, then finish it with success.
#[derive(Debug)]
pub struct WholeRequest<P: Policy> {
    reader: Reader<Backend, P>,
    in_flight: [Option<Lease<Backend>>; IN_FLIGHT],
    at: usize,
    clock: GivenClock,
}

impl<P: Policy> WholeRequest<P> {
    /// A worker for each thread, all on one pool.
    pub fn workers(policy: P, backends: usize, weights: Weights, threads: usize) -> Vec<Self> {
        let pool = pool(policy, backends, weights);
        let worker = |thread| Self {
            reader: pool.reader(),
            in_flight: [const { None }; IN_FLIGHT],
            at: 0,
            clock: GivenClock::new(thread as u64),
        };
        (0..threads).map(worker).collect()
    }
}

impl<P: Policy> Worker for WholeRequest<P> {
    #[inline]
    fn step(&mut self) -> u64 {
        let now = self.clock.next();
        let Ok(lease) = self.reader.pick(&Request::new().at(now)) else { return 0 };
        let picked = u64::from(*lease);
        self.at = (self.at + 1) % IN_FLIGHT;
        if let Some(oldest) = self.in_flight[self.at].replace(lease) {
            oldest.finish(now, Outcome::Success);
        }
        picked
    }
}

/// Time as a proxy would pass it in that reads its clock once per event: 1 µs a request on average,
/// unevenly, so that latencies differ. A table of gaps costs one load, where a clock costs 25 ns.
#[derive(Debug)]
struct GivenClock {
    now: u64,
    gaps: Box<[u16; 256]>,
    at: u8,
}

impl GivenClock {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::seeded(seed);
        let gaps = Box::new(std::array::from_fn(|_| rng.below(2_000) as u16));
        Self { now: PRIMED.as_nanos(), gaps, at: 0 }
    }

    #[inline]
    fn next(&mut self) -> Instant {
        self.at = self.at.wrapping_add(1);
        self.now += u64::from(self.gaps[usize::from(self.at)]);
        Instant::from_nanos(self.now)
    }
}

/// Looking for a newer snapshot when there is none.
#[derive(Debug)]
pub struct Refresh<P: Policy>(Reader<Backend, P>);

impl<P: Policy> Refresh<P> {
    /// A worker for each thread, all on one pool.
    pub fn workers(policy: P, backends: usize, threads: usize) -> Vec<Self> {
        let pool = pool(policy, backends, Weights::Equal);
        (0..threads).map(|_| Self(pool.reader())).collect()
    }
}

impl<P: Policy> Worker for Refresh<P> {
    #[inline]
    fn step(&mut self) -> u64 {
        self.0.refresh();
        0
    }
}

/// One backend leaves, and with the next step comes back: the new snapshot is built and published,
/// and the old one dropped. The longest member leaves each time, so that all slots move.
#[derive(Debug)]
pub struct Membership<P: Policy> {
    pool: Pool<Backend, P>,
    backends: u32,
    weights: Weights,
    next: u32,
    away: bool,
}

impl<P: Policy> Membership<P> {
    /// The one worker: updates take turns anyhow.
    pub fn new(policy: P, backends: usize, weights: Weights) -> Self {
        let pool = pool(policy, backends, weights);
        Self { pool, backends: backends as u32, weights, next: 0, away: false }
    }
}

impl<P: Policy> Worker for Membership<P> {
    fn step(&mut self) -> u64 {
        self.away = !self.away;
        let events = if self.away {
            self.pool.remove(BackendId::new(u64::from(self.next)))
        } else {
            let back = spec(self.next, self.weights);
            self.next = (self.next + 1) % self.backends;
            self.pool.insert(back)
        };
        events.expect("the backend is known").len() as u64
    }
}

/// One backend's weight changes, and with the next step changes back.
#[derive(Debug)]
pub struct SetWeight<P: Policy> {
    pool: Pool<Backend, P>,
    heavy: bool,
}

impl<P: Policy> SetWeight<P> {
    /// The one worker: updates take turns anyhow.
    pub fn new(policy: P, backends: usize, weights: Weights) -> Self {
        Self { pool: pool(policy, backends, weights), heavy: false }
    }
}

impl<P: Policy> Worker for SetWeight<P> {
    fn step(&mut self) -> u64 {
        self.heavy = !self.heavy;
        let weight = Weight::new(if self.heavy { 2 } else { 1 });
        let events = self.pool.set_weight(BackendId::new(0), weight);
        events.expect("the backend is known").len() as u64
    }
}
