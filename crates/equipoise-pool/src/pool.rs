//! The pool: its control side, and picks from any thread.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_utils::CachePadded;
use equipoise_core::{
    Admin, BackendId, Explanation, Finding, Health, Instant, LoadReport, Policy, Rng, Runs, Tally,
    Turn, Weight,
};
use parking_lot::Mutex;

use crate::publish::Published;
use crate::registry::{Change, Registry};
use crate::snapshot::Snapshot;
use crate::watch::{Watch, Watched};
use crate::{Alarm, Event, Lease, PickError, Reader, Request, Spec, Status, UpdateError, pick};

/// A pool of backends of the caller's type `B`, picked by the policy `P`.
///
/// It is a handle: cloning it is cheap, and all clones are the same pool. `B` may be any type that
/// threads can share; the pool never looks at it.
///
/// Picks never wait: neither for each other, nor for an update. Updates take turns.
pub struct Pool<B, P: Policy> {
    shared: Arc<Shared<B, P>>,
}

pub(crate) struct Shared<B, P: Policy> {
    /// Read at every pick, so kept off the lines that picks through the pool itself write.
    pub(crate) published: CachePadded<Published<Snapshot<B, P::Picker>>>,
    registry: Mutex<Registry<B>>,
    policy: P,
    /// The rotation of those who pick through the pool itself.
    turn: CachePadded<AtomicU64>,
    /// Counts whatever needs a random generator of its own; each gets the next number's.
    seed: AtomicU64,
}

impl<B, P: Policy> Shared<B, P> {
    /// A random generator that nobody else has.
    pub(crate) fn rng(&self) -> Rng {
        Rng::seeded(self.seed.fetch_add(1, Ordering::Relaxed))
    }
}

impl<B: Send + Sync + 'static, P: Policy> Pool<B, P> {
    /// An empty pool.
    ///
    /// All randomness follows from `seed`: the same seed and the same calls give the same picks.
    /// Give each process another one, or all of them start their rotations at the same backend: a
    /// number from the operating system (the crate `getrandom`, say).
    pub fn new(policy: P, seed: u64) -> Self {
        Self::with_watch(policy, seed, None)
    }

    /// An empty pool whose backends' outcomes are counted, for somebody who minds its health.
    ///
    /// `wake` is called, on the thread of a request that ends, when a run of a backend's failures
    /// has come to a multiple of its threshold (0: never), and when a trial is decided. It should do
    /// no more than wake somebody, who then asks [`take_alarms`](Self::take_alarms).
    ///
    /// It costs each request two atomic additions when it ends.
    ///
    /// ```
    /// use equipoise_algorithms::RoundRobin;
    /// use equipoise_pool::{BackendId, Failure, Instant, Outcome, Pool, Request, Runs, Spec};
    ///
    /// let thresholds = Runs { failures: 2, ..Runs::default() };
    /// let pool = Pool::watched(RoundRobin, 42, thresholds, || println!("look at the alarms"));
    /// pool.insert(Spec::new(BackendId::named("a"), "10.0.0.1:80"))?;
    /// for _ in 0..2 {
    ///     let failure = Outcome::Failure(Failure::Response(502));
    ///     pool.pick(&Request::new())?.finish(Instant::ZERO, failure);
    /// }
    /// let alarms = pool.take_alarms();
    /// assert_eq!((alarms.len(), alarms[0].runs.failures, alarms[0].runs.code), (1, 2, 502));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn watched(
        policy: P,
        seed: u64,
        thresholds: Runs,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        Self::with_watch(policy, seed, Some(Arc::new(Watch::new(thresholds, Box::new(wake)))))
    }

    fn with_watch(policy: P, seed: u64, watch: Option<Arc<Watch>>) -> Self {
        let registry = Registry::new(watch);
        let snapshot = registry.snapshot(&policy, None);
        let mut rng = Rng::seeded(seed);
        let shared = Shared {
            published: CachePadded::new(Published::new(Arc::new(snapshot))),
            registry: Mutex::new(registry),
            policy,
            turn: CachePadded::new(AtomicU64::new(rng.next_u64())),
            seed: AtomicU64::new(rng.next_u64()),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Makes `specs` the whole set of backends.
    ///
    /// It is a diff by id: a backend that stays keeps its counters, its state and its `B` (the one
    /// in its new spec is dropped), and takes on the new weight, tier and limit. A set that changes
    /// nothing publishes nothing.
    ///
    /// Costs O(n) and what the policy needs to build its picker.
    ///
    /// # Errors
    /// [`UpdateError::DuplicateId`] and [`UpdateError::TooMany`] (more than 65,536); nothing has
    /// changed then.
    pub fn update(
        &self,
        specs: impl IntoIterator<Item = Spec<B>>,
    ) -> Result<Vec<Event>, UpdateError> {
        let mut specs: Vec<_> = specs.into_iter().collect();
        self.change(|registry, events| registry.replace(&mut specs, &self.shared.policy, events))
    }

    /// Adds one backend.
    ///
    /// # Errors
    /// [`UpdateError::DuplicateId`] and [`UpdateError::TooMany`]; nothing has changed then.
    pub fn insert(&self, spec: Spec<B>) -> Result<Vec<Event>, UpdateError> {
        let mut spec = Some(spec);
        self.change(|registry, events| registry.insert(&mut spec, &self.shared.policy, events))
    }

    /// Removes one backend. Its requests in flight run on.
    ///
    /// # Errors
    /// [`UpdateError::UnknownId`]; nothing has changed then.
    pub fn remove(&self, id: BackendId) -> Result<Vec<Event>, UpdateError> {
        self.change(|registry, events| registry.remove(id, events))
    }

    /// Sets a backend's weight. Weight 0 takes no new requests.
    ///
    /// # Errors
    /// [`UpdateError::UnknownId`]; nothing has changed then.
    pub fn set_weight(&self, id: BackendId, weight: Weight) -> Result<Vec<Event>, UpdateError> {
        self.change(|registry, events| registry.change(id, Change::Weight(weight), events))
    }

    /// Enables, drains or disables a backend.
    ///
    /// # Errors
    /// [`UpdateError::UnknownId`]; nothing has changed then.
    pub fn set_admin(&self, id: BackendId, admin: Admin) -> Result<Vec<Event>, UpdateError> {
        self.change(|registry, events| registry.change(id, Change::Admin(admin), events))
    }

    /// Marks a backend as up or down, whatever else was found of it. It stays so until the next call
    /// of this or of [`apply`](Self::apply), whatever else changes.
    ///
    /// # Errors
    /// [`UpdateError::UnknownId`]; nothing has changed then.
    pub fn set_health(&self, id: BackendId, health: Health) -> Result<Vec<Event>, UpdateError> {
        self.change(|registry, events| registry.change(id, Change::Health(health), events))
    }

    /// Takes on what health checking found of some backends, all at once: one snapshot is published
    /// for all. Backends that are not in the pool, or not any more, are passed over.
    pub fn apply(&self, findings: impl IntoIterator<Item = (BackendId, Finding)>) -> Vec<Event> {
        let change = self.change(|registry, events| {
            registry.apply(findings, events);
            Ok(())
        });
        // It has no error of its own.
        change.unwrap_or_default()
    }

    /// What was found of a backend; `None` if it is not in the pool.
    pub fn finding(&self, id: BackendId) -> Option<Finding> {
        self.shared.registry.lock().finding(id)
    }

    /// Adds to `out` what came of each backend's requests since the last call, in the order in which
    /// they joined. Every request that ended with an outcome is in one tally. Nothing, if the pool is
    /// not [`watched`](Self::watched). O(n).
    pub fn take_tallies(&self, out: &mut Vec<(BackendId, Tally)>) {
        self.shared.registry.lock().take_tallies(out);
    }

    /// The backends that called for attention since the last call, each once.
    pub fn take_alarms(&self) -> Vec<Alarm> {
        self.shared.registry.lock().take_alarms()
    }

    /// Whether a request has ended on a backend since the last call, or is in flight.
    pub fn take_visited(&self, id: BackendId) -> bool {
        let registry = self.shared.registry.lock();
        registry.owner(id).is_some_and(|owner| {
            let visited = owner.0.watched.as_ref().is_some_and(Watched::take_visited);
            visited || owner.in_flight() > 0
        })
    }

    /// Sets how many requests a backend may have in flight. Those above a lowered limit run on;
    /// those that came in while there was no limit are not counted against it.
    ///
    /// # Errors
    /// [`UpdateError::UnknownId`]; nothing has changed then.
    pub fn set_max_in_flight(
        &self,
        id: BackendId,
        limit: Option<NonZeroU32>,
    ) -> Result<Vec<Event>, UpdateError> {
        self.change(|registry, events| registry.change(id, Change::Limit(limit), events))
    }

    /// Passes on what a backend, or a balancer in front of it, reported of its load.
    ///
    /// # Errors
    /// [`UpdateError::UnknownId`].
    pub fn report(
        &self,
        id: BackendId,
        now: Instant,
        report: &LoadReport,
    ) -> Result<(), UpdateError> {
        let registry = self.shared.registry.lock();
        let owner = registry.owner(id).ok_or(UpdateError::UnknownId(id))?;
        if let Some(tracker) = &owner.0.tracker {
            tracker.on_report(now, report);
        }
        Ok(())
    }

    /// How each backend stands, in the order in which they joined. Takes the lock of updates.
    pub fn backends(&self) -> Vec<Status> {
        self.shared.registry.lock().statuses()
    }

    /// Shows each backend and how it stands, in the order in which they joined: for health checks,
    /// metrics and pages. Takes the lock of updates, but not while `visit` runs.
    ///
    /// ```
    /// use equipoise_algorithms::RoundRobin;
    /// use equipoise_pool::{BackendId, Pool, Spec};
    ///
    /// let pool = Pool::new(RoundRobin, 42);
    /// pool.insert(Spec::new(BackendId::named("a"), "10.0.0.1:80"))?;
    /// pool.for_each(|status, address| println!("{address}: {} in flight", status.in_flight));
    /// # Ok::<(), equipoise_pool::UpdateError>(())
    /// ```
    pub fn for_each(&self, mut visit: impl FnMut(&Status, &B)) {
        let backends = self.shared.registry.lock().owners();
        for (status, owner) in &backends {
            visit(status, &owner.0.backend);
        }
    }

    /// Picks a backend. Wait-free but for the compare-and-swap of a backend's limit; callers share
    /// one rotation, so round robin alternates over all of them. A busy worker is better served by
    /// a [`reader`](Self::reader).
    ///
    /// # Errors
    /// [`PickError`], only when there is nobody to pick.
    pub fn pick(&self, request: &Request<'_>) -> Result<Lease<B>, PickError> {
        let snapshot = self.shared.published.load();
        pick::pick(&snapshot, request, &mut self.shared.rng(), Turn::Shared(&self.shared.turn))
    }

    /// Picks a backend and says who was considered, with what score, and who was excluded and why.
    /// It is a real pick, with a lease. Allocates, and looks at every backend.
    ///
    /// ```
    /// use equipoise_algorithms::RoundRobin;
    /// use equipoise_pool::{BackendId, Health, Pool, Reason, Request, Spec};
    ///
    /// let (a, b) = (BackendId::named("a"), BackendId::named("b"));
    /// let pool = Pool::new(RoundRobin, 42);
    /// pool.update([Spec::new(a, "a"), Spec::new(b, "b")])?;
    /// pool.set_health(a, Health::Down)?;
    ///
    /// let (lease, why) = pool.explain(&Request::new());
    /// assert_eq!(*lease?, "b");
    /// assert_eq!(why.picked, Some(b));
    /// assert_eq!((why.excluded[0].backend, why.excluded[0].reason), (a, Reason::Down));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn explain(&self, request: &Request<'_>) -> (Result<Lease<B>, PickError>, Explanation) {
        let snapshot = self.shared.published.load();
        pick::explain(&snapshot, request, &mut self.shared.rng(), Turn::Shared(&self.shared.turn))
    }

    /// A reader for one worker, with its own random numbers and its own place in the rotation.
    pub fn reader(&self) -> Reader<B, P> {
        Reader::new(Arc::clone(&self.shared))
    }

    /// Applies a change and publishes what came of it.
    fn change(
        &self,
        apply: impl FnOnce(&mut Registry<B>, &mut Vec<Event>) -> Result<(), UpdateError>,
    ) -> Result<Vec<Event>, UpdateError> {
        // Outlives the lock: a backend that goes with the old snapshot may use the pool as it drops.
        let before;
        let mut registry = self.shared.registry.lock();
        let mut events = Vec::new();
        apply(&mut registry, &mut events)?;
        before = Arc::clone(&self.shared.published.load());
        if registry.differs_from(&before) {
            let after = registry.snapshot(&self.shared.policy, Some(&before));
            let active = |snapshot: &Snapshot<_, _>| snapshot.active_tier().map(|tier| tier.number);
            let (from, to) = (active(&before), active(&after));
            if from != to {
                events.push(Event::TierChanged { from, to });
            }
            self.shared.published.publish(Arc::new(after));
        }
        Ok(events)
    }
}

impl<B, P: Policy> Clone for Pool<B, P> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<B, P: Policy> fmt::Debug for Pool<B, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let backends = self.shared.published.load().members.len();
        f.debug_struct("Pool").field("backends", &backends).finish_non_exhaustive()
    }
}
