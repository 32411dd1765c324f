//! The backend that has the request's key, unless it has more than its share to do.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crossbeam_utils::CachePadded;
use equipoise_core::{BackendId, Member, PickContext, Picker, Policy, Slot, Tracker, View};
use equipoise_hash::ConsistentHash;

use crate::hashed::{Hashed, HashedPicker, WithoutKey};

/// Hashing with bounded loads: requests with the same key go to the same backend, until it has c times
/// its share of the requests in flight; then to the next in the key's order (Mirrokni, Thorup,
/// Zadimoghaddam, arXiv 1608.01350; HAProxy's `hash-balance-factor`, Envoy's
/// `consistent_hashing_lb_config`).
///
/// So a key that everybody asks for can't overload a backend: with t requests in flight in the pool,
/// the new one included, a backend takes no more than ⌈c · t · weight / sum of weights⌉. When that
/// many are there, others take the keys, and return them.
///
/// The bound holds exactly however many workers pick at a time: each counts itself in and goes on to
/// the next backend if that was one too many. It gives way only where the alternative were to refuse
/// a request: when everyone that a request has not tried is at its bound, and for one that is pinned.
/// A bound that falls, since requests elsewhere have ended, takes nothing back.
///
/// # Complexity
/// A pick: a lookup, and two loads; a request also counts itself at its backend and in the pool, in
/// and out, and the pool's counter is shared by all workers. Building as for [`Hashed`].
///
/// In an explanation the score is the backend's place in the key's order.
///
/// ```
/// use equipoise_algorithms::{BoundedLoad, Hashed, LoadFactor};
/// use equipoise_hash::RendezvousTable;
/// use equipoise_pool::{BackendId, HashKey, Pool, Request, Spec};
///
/// let hashed = Hashed::<RendezvousTable>::default();
/// let pool = Pool::new(BoundedLoad::new(hashed, LoadFactor::default()), 42);
/// pool.update((0..4).map(|id| Spec::new(BackendId::new(id), id)))?;
///
/// // A hundred requests for one key, at a time: nobody gets more than 1.25 · 100 / 4.
/// let one_key = Request::new().with_key(HashKey::new(7));
/// let held: Vec<_> = (0..100).map(|_| pool.pick(&one_key).unwrap()).collect();
/// assert_eq!(pool.backends().iter().map(|backend| backend.in_flight).max(), Some(32));
/// # drop(held);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct BoundedLoad<T> {
    hashed: Hashed<T>,
    factor: LoadFactor,
    total: Arc<Total>,
}

/// Requests in flight in the pool.
type Total = CachePadded<AtomicU32>;

/// How much more than its share a backend may have: c, from 1 to 100.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LoadFactor(u16);

impl LoadFactor {
    /// The smallest and the largest, in percent.
    pub const RANGE: core::ops::RangeInclusive<u16> = 100..=10_000;

    /// So many percent of the share: 100 to 10,000. `None` outside this range. 125 to 200 are usual;
    /// with 100, every key moves all the time.
    pub const fn percent(percent: u16) -> Option<Self> {
        if percent < 100 || percent > 10_000 { None } else { Some(Self(percent)) }
    }

    /// The factor in percent.
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl Default for LoadFactor {
    /// 125 percent.
    fn default() -> Self {
        Self(125)
    }
}

impl<T: ConsistentHash> BoundedLoad<T> {
    /// Bounds the loads of a hash policy.
    pub fn new(hashed: Hashed<T>, factor: LoadFactor) -> Self {
        Self { hashed, factor, total: Arc::default() }
    }

    /// Sets what becomes of requests that have no key. They too are bounded.
    pub fn without_key(mut self, rule: WithoutKey) -> Self {
        self.hashed = self.hashed.without_key(rule);
        self
    }
}

impl<T: Clone> Clone for BoundedLoad<T> {
    /// The same policy for another pool, whose requests in flight are its own.
    fn clone(&self) -> Self {
        Self { hashed: self.hashed.clone(), factor: self.factor, total: Arc::default() }
    }
}

/// What a backend has in flight, and may have.
#[derive(Debug)]
struct Bound {
    total: Arc<Total>,
    in_flight: AtomicU32,
    /// c · weight / sum of weights, in units of 2⁻³².
    share: AtomicU64,
}

impl Bound {
    /// Whether so many in flight are within the bound, with so many in all.
    #[inline]
    fn allows(&self, in_flight: u32, total: u32) -> bool {
        let share = self.share.load(Ordering::Relaxed);
        let bound = u128::from(share) * u128::from(total);
        // Rounded up.
        u128::from(in_flight) << 32 < bound + (1 << 32)
    }

    /// Whether there is room for one more, just now.
    #[inline]
    fn has_room(&self) -> bool {
        let in_flight = self.in_flight.load(Ordering::Relaxed);
        self.allows(in_flight + 1, self.total.load(Ordering::Relaxed) + 1)
    }
}

impl Tracker for Bound {
    #[inline]
    fn try_begin(&self) -> bool {
        let total = self.total.fetch_add(1, Ordering::Relaxed) + 1;
        let in_flight = self.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
        let allowed = self.allows(in_flight, total);
        if !allowed {
            self.on_end();
        }
        allowed
    }

    fn on_begin(&self) {
        self.total.fetch_add(1, Ordering::Relaxed);
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    #[inline]
    fn on_end(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.total.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The picker of [`BoundedLoad`].
#[derive(Debug)]
pub struct BoundedLoadPicker<T> {
    hashed: HashedPicker<T>,
    /// By index in the table.
    bounds: Box<[Option<Arc<Bound>>]>,
}

impl<T: ConsistentHash + Send + Sync + 'static> Policy for BoundedLoad<T> {
    type Picker = BoundedLoadPicker<T>;

    fn needs_key(&self) -> bool {
        self.hashed.needs_key()
    }

    fn refuses_without_key(&self) -> bool {
        self.hashed.refuses_without_key()
    }

    fn track(&self, _: BackendId) -> Option<Arc<dyn Tracker>> {
        let (in_flight, share) = (AtomicU32::default(), AtomicU64::default());
        Some(Arc::new(Bound { total: Arc::clone(&self.total), in_flight, share }))
    }

    fn build(&self, view: &View<'_>, previous: Option<&Self::Picker>) -> Self::Picker {
        let hashed = self.hashed.build(view, previous.map(|picker| &picker.hashed));
        let weights: u64 = view.admitted().map(|(.., weight)| u64::from(weight.get())).sum();
        for (_, member, weight) in view.admitted() {
            if let Some(bound) = member.tracker::<Bound>() {
                let share = (u128::from(self.factor.get()) * u128::from(weight.get())) << 32;
                // Rounded down, for it is the product that is rounded up.
                let share = share / (100 * u128::from(weights));
                bound.share.store(share as u64, Ordering::Relaxed);
            }
        }
        let tier = view.members().iter().filter(|member| member.tier == view.tier());
        BoundedLoadPicker { hashed, bounds: tier.map(Member::tracker).collect() }
    }
}

impl<T> BoundedLoadPicker<T> {
    #[inline(always)]
    fn has_room(&self, index: usize) -> bool {
        matches!(self.bounds.get(index), Some(Some(bound)) if bound.has_room())
    }
}

impl<T: ConsistentHash + Send + Sync + 'static> Picker for BoundedLoadPicker<T> {
    #[inline(always)]
    fn pick(&self, context: &mut PickContext<'_>) -> Option<Slot> {
        if let Some(key) = context.key()
            && context.tried().is_empty()
            && !context.is_explained()
            && let Some(owner) = self.hashed.keyed.owner(key)
            && self.has_room(owner)
        {
            return self.hashed.keyed.slot(owner);
        }
        self.hashed.pick_on(context.reborrow(), |index| self.has_room(index))
    }
}
