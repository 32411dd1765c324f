//! A pool with one reader, and the backends numbered.

use equipoise_core::{Admin, BackendId, HashKey, Health, Policy, Rng, Weight};
use equipoise_pool::{Lease, PickError, Pool, Reader, Request, Spec};

/// A pool whose backends are the numbers 0, 1, 2, ..., with one reader that does all the picks.
pub struct Arena<P: Policy> {
    /// The pool; backend i has the id [`id(i)`](Self::id).
    pub pool: Pool<usize, P>,
    /// The one worker.
    pub reader: Reader<usize, P>,
    /// Makes the requests' keys, if they have any.
    keys: Option<Rng>,
}

impl<P: Policy> Arena<P> {
    /// A pool of backends with these weights.
    pub fn new(policy: P, seed: u64, weights: &[u16]) -> Self {
        let pool = Pool::new(policy, seed);
        let reader = pool.reader();
        let mut arena = Self { pool, reader, keys: None };
        arena.set_weights(weights);
        arena
    }

    /// The same arena, whose requests have keys: each a new one.
    pub fn with_keys(mut self, seed: u64) -> Self {
        self.keys = Some(Rng::seeded(!seed));
        self
    }

    /// A request, with the next key if requests have keys.
    pub fn request(&mut self) -> Request<'static> {
        match &mut self.keys {
            None => Request::new(),
            Some(keys) => Request::new().with_key(HashKey::new(keys.next_u64())),
        }
    }

    /// The id of backend number `i`.
    pub fn id(i: usize) -> BackendId {
        // Scattered, so that no policy can make use of their order.
        BackendId::new(Rng::seeded(i as u64).next_u64())
    }

    /// Makes the pool one of backends with these weights.
    pub fn set_weights(&mut self, weights: &[u16]) {
        let specs = weights.iter().enumerate();
        let specs = specs.map(|(i, &w)| Spec::new(Self::id(i), i).weight(Weight::new(w)));
        self.pool.update(specs).expect("the ids are distinct");
    }

    /// Takes a backend down.
    pub fn take_down(&self, i: usize) {
        self.pool.set_health(Self::id(i), Health::Down).expect("it is in the pool");
    }

    /// Brings a backend up again.
    pub fn bring_up(&self, i: usize) {
        self.pool.set_health(Self::id(i), Health::Up).expect("it is in the pool");
    }

    /// Drains, disables or enables a backend.
    pub fn set_admin(&self, i: usize, admin: Admin) {
        self.pool.set_admin(Self::id(i), admin).expect("it is in the pool");
    }

    /// Picks a backend and keeps it.
    pub fn lease(&mut self) -> Result<Lease<usize>, PickError> {
        let request = self.request();
        self.reader.pick(&request)
    }

    /// Picks a backend and gives it up at once: how the policy picks when nothing is in flight.
    pub fn pick(&mut self) -> usize {
        *self.lease().expect("somebody is admitted")
    }

    /// How often each of `n` backends is picked, out of `picks`.
    pub fn histogram(&mut self, n: usize, picks: usize) -> Vec<u64> {
        let mut counts = vec![0; n];
        for _ in 0..picks {
            counts[self.pick()] += 1;
        }
        counts
    }
}

impl<P: Policy> std::fmt::Debug for Arena<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Arena").field("pool", &self.pool).finish_non_exhaustive()
    }
}
