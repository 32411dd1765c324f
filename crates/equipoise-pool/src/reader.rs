//! One worker's view of a pool.

use std::fmt;
use std::sync::Arc;

use crossbeam_utils::CachePadded;
use equipoise_core::{Explanation, Policy, Rng, Turn};

use crate::pool::Shared;
use crate::publish::Cached;
use crate::snapshot::Snapshot;
use crate::{Lease, PickError, Request, pick};

/// One worker's view of a pool: the fast way to pick.
///
/// It keeps the last snapshot at hand and looks for a newer one at each pick, which costs one load
/// and a compare. Its random numbers and its place in the rotation are its own, so workers share
/// no cache line but those of the backends they pick. With W readers, each is exact in itself, and
/// all together are within W picks of exact.
///
/// A reader that stops picking keeps its last snapshot alive, removed backends included;
/// [`refresh`](Self::refresh) lets go of it.
pub struct Reader<B, P: Policy> {
    pool: Arc<Shared<B, P>>,
    snapshot: Cached<Snapshot<B, P::Picker>>,
    /// Written at every pick, so kept off the lines of other workers' readers.
    own: CachePadded<Own>,
}

/// What one worker's picks move.
struct Own {
    rng: Rng,
    turn: u64,
}

impl<B, P: Policy> Reader<B, P> {
    pub(crate) fn new(pool: Arc<Shared<B, P>>) -> Self {
        let snapshot = pool.published.cached();
        let mut rng = pool.rng();
        let turn = rng.next_u64();
        Self { pool, snapshot, own: CachePadded::new(Own { rng, turn }) }
    }

    /// Picks a backend. It never waits: it is wait-free but for the compare-and-swap of a backend's
    /// limit, and what a policy's tracker does. It allocates nothing unless the request has tried
    /// more than eight backends. The first pick after an update lets go of the old snapshot, and so
    /// may be the one that drops a removed backend.
    ///
    /// # Errors
    /// [`PickError`], only when there is nobody to pick.
    #[inline(always)]
    pub fn pick(&mut self, request: &Request<'_>) -> Result<Lease<B>, PickError> {
        let snapshot = self.snapshot.get(&self.pool.published);
        let Own { rng, turn } = &mut *self.own;
        pick::pick(snapshot, request, rng, Turn::Own(turn))
    }

    /// Picks a backend and says who was considered, with what score, and who was excluded and why.
    /// It is a real pick, with a lease. Allocates, and looks at every backend.
    pub fn explain(&mut self, request: &Request<'_>) -> (Result<Lease<B>, PickError>, Explanation) {
        let snapshot = self.snapshot.get(&self.pool.published);
        let Own { rng, turn } = &mut *self.own;
        pick::explain(snapshot, request, rng, Turn::Own(turn))
    }

    /// Looks for a newer snapshot without picking, and lets go of an older one.
    #[inline]
    pub fn refresh(&mut self) {
        self.snapshot.get(&self.pool.published);
    }
}

impl<B, P: Policy> Clone for Reader<B, P> {
    /// A reader for another worker: on the same pool, with random numbers and a place in the
    /// rotation of its own.
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.pool))
    }
}

impl<B, P: Policy> fmt::Debug for Reader<B, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}
