//! From a session to a lease: look it up, pick, and pin it.

use equipoise_core::{Instant, Pin, PinOutcome, Policy, Sessions};

use crate::{Lease, PickError, Pool, Reader, Request};

/// A lease, and what came of the session's pin.
type Picked<B> = Result<(Lease<B>, PinOutcome), PickError>;

impl<B: Send + Sync + 'static, P: Policy> Pool<B, P> {
    /// Picks the backend of a session, and pins the session to it if it has none. In five steps: look
    /// it up, pick, take a place, pin it, and hand out the lease. If another request of the same
    /// session has pinned it meanwhile, this one follows, if it can.
    ///
    /// A pin in `request` itself does not count.
    ///
    /// # Errors
    /// [`PickError`]; the session is as it was.
    ///
    /// ```
    /// use equipoise_algorithms::RoundRobin;
    /// use equipoise_pool::{BackendId, Instant, PinOutcome, Pool, Request, Sessions, Spec};
    /// # use std::{cell::RefCell, collections::HashMap};
    /// # struct Table(RefCell<HashMap<u64, BackendId>>);
    /// # impl Sessions for Table {
    /// #     type Key = u64;
    /// #     fn lookup(&self, key: &u64, _: Instant) -> Option<BackendId> {
    /// #         self.0.borrow().get(key).copied()
    /// #     }
    /// #     fn bind(&self, key: &u64, to: BackendId, _: Instant) -> BackendId {
    /// #         *self.0.borrow_mut().entry(*key).or_insert(to)
    /// #     }
    /// #     fn rebind(&self, key: &u64, from: BackendId, to: BackendId, _: Instant) -> BackendId {
    /// #         let mut table = self.0.borrow_mut();
    /// #         let pin = table.entry(*key).or_insert(to);
    /// #         *pin = if *pin == from { to } else { *pin };
    /// #         *pin
    /// #     }
    /// # }
    /// # let sessions = Table(RefCell::default()); // `equipoise_sticky` has a real one
    ///
    /// let pool = Pool::new(RoundRobin, 42);
    /// pool.update(["a:80", "b:80"].map(|addr| Spec::new(BackendId::named(addr), addr)))?;
    /// let (first, outcome) = pool.pick_session(&Request::new(), &sessions, &7)?;
    /// assert_eq!(outcome, PinOutcome::New);
    /// let (again, outcome) = pool.pick_session(&Request::new(), &sessions, &7)?;
    /// assert_eq!((again.id(), outcome), (first.id(), PinOutcome::Hit));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn pick_session<S: Sessions>(
        &self,
        request: &Request<'_>,
        sessions: &S,
        key: &S::Key,
    ) -> Picked<B> {
        compose(request, sessions, key, |request| self.pick(request))
    }
}

impl<B: Send + Sync + 'static, P: Policy> Reader<B, P> {
    /// Like [`Pool::pick_session`].
    ///
    /// # Errors
    /// [`PickError`]; the session is as it was.
    pub fn pick_session<S: Sessions>(
        &mut self,
        request: &Request<'_>,
        sessions: &S,
        key: &S::Key,
    ) -> Picked<B> {
        compose(request, sessions, key, |request| self.pick(request))
    }
}

fn compose<B, S: Sessions>(
    request: &Request<'_>,
    sessions: &S,
    key: &S::Key,
    mut pick: impl FnMut(&Request<'_>) -> Result<Lease<B>, PickError>,
) -> Picked<B> {
    let now: Instant = request.now();
    let found = sessions.lookup(key, now);
    let pinned = found.map_or(request.without_pin(), |backend| request.pinned_to(backend));
    let lease = pick(&pinned)?;
    let pin = found.map_or(Pin::Absent, Pin::To);
    let outcome = PinOutcome::of(pin, lease.id(), lease.visits());
    let winner = match (outcome, found) {
        (PinOutcome::Hit | PinOutcome::Held, _) => return Ok((lease, outcome)),
        (_, None) => sessions.bind(key, lease.id(), now),
        (_, Some(from)) => sessions.rebind(key, from, lease.id(), now),
    };
    if winner == lease.id() {
        return Ok((lease, outcome));
    }
    // Another request of the session was quicker: to follow it is right, and once is enough.
    match pick(&request.pinned_to(winner)) {
        Ok(followed) if followed.id() == winner => Ok((followed, PinOutcome::Hit)),
        Err(refused @ PickError::Pinned(_)) => Err(refused),
        _ => Ok((lease.visiting(), PinOutcome::Held)),
    }
}
