//! The pool: its control side, and picks from any thread.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_utils::CachePadded;
use equipoise_core::{
    Admin, BackendId, Explanation, Health, Instant, LoadReport, Policy, Rng, Turn, Weight,
};
use parking_lot::Mutex;

use crate::publish::Published;
use crate::registry::{Change, Registry};
use crate::snapshot::Snapshot;
use crate::{Event, Lease, PickError, Reader, Request, Spec, Status, UpdateError, pick};

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
        let registry = Registry::new();
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

    /// Marks a backend as up or down. It stays so until the next call, whatever else changes.
    ///
    /// # Errors
    /// [`UpdateError::UnknownId`]; nothing has changed then.
    pub fn set_health(&self, id: BackendId, health: Health) -> Result<Vec<Event>, UpdateError> {
        self.change(|registry, events| registry.change(id, Change::Health(health), events))
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
