//! What the caller says of a request.

use equipoise_core::{BackendId, HashKey, Instant, Persistence};

/// What the caller says of a request when it asks for a backend. All of it is optional.
///
/// ```
/// use equipoise_core::{BackendId, Instant};
/// use equipoise_pool::Request;
///
/// let failed = [BackendId::named("a:80")];
/// let retry = Request::new().at(Instant::from_nanos(5)).avoiding(&failed);
/// assert_eq!(retry.tried(), failed);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Request<'a> {
    now: Instant,
    key: Option<HashKey>,
    tried: &'a [BackendId],
    pin: Option<BackendId>,
    persistence: Persistence,
    surplus: bool,
}

impl<'a> Request<'a> {
    /// A request without a time, a key or a pin, that has tried nothing.
    pub const fn new() -> Self {
        Self {
            now: Instant::ZERO,
            key: None,
            tried: &[],
            pin: None,
            persistence: Persistence::Repin,
            surplus: false,
        }
    }

    /// Sets the time, from the same clock as for [`Lease::finish`](crate::Lease::finish). Policies
    /// that weigh latency need it. The epoch itself counts as no time.
    pub const fn at(mut self, now: Instant) -> Self {
        self.now = now;
        self
    }

    /// Sets the key that hash policies pick by.
    pub const fn with_key(mut self, key: HashKey) -> Self {
        self.key = Some(key);
        self
    }

    /// Names the backends that this request has tried: it will not be given one of them again.
    /// Ids that are not in the pool are ignored.
    ///
    /// ```
    /// use equipoise_algorithms::RoundRobin;
    /// use equipoise_pool::{BackendId, PickError, Pool, Request, Spec};
    ///
    /// # fn connect(address: &str) -> Result<String, ()> {
    /// #     if address == "b:80" { Ok(address.to_owned()) } else { Err(()) }
    /// # }
    /// fn send(pool: &Pool<&'static str, RoundRobin>) -> Result<String, PickError> {
    ///     let mut tried = Vec::new();
    ///     loop {
    ///         // Fails when every backend has been tried.
    ///         let lease = pool.pick(&Request::new().avoiding(&tried))?;
    ///         match connect(*lease) {
    ///             Ok(connection) => return Ok(connection),
    ///             Err(_) => tried.push(lease.id()),
    ///         }
    ///     }
    /// }
    /// # let pool = Pool::new(RoundRobin, 1);
    /// # pool.update(["a:80", "b:80"].map(|a| Spec::new(BackendId::named(a), a))).unwrap();
    /// # assert_eq!(send(&pool).unwrap(), "b:80");
    /// # pool.remove(BackendId::named("b:80")).unwrap();
    /// # assert!(send(&pool).is_err());
    /// ```
    pub const fn avoiding(mut self, tried: &'a [BackendId]) -> Self {
        self.tried = tried;
        self
    }

    /// Names the backend that has the request's session. It is picked while it takes established
    /// sessions, drained or not, has a place, and was not tried; otherwise
    /// [`persisting`](Self::persisting) decides.
    pub const fn pinned_to(mut self, id: BackendId) -> Self {
        self.pin = Some(id);
        self
    }

    /// The same request without a pin.
    pub(crate) const fn without_pin(mut self) -> Self {
        self.pin = None;
        self
    }

    /// What becomes of the session when its backend can't take the request: the table is that of
    /// [`PinAction::of`](equipoise_core::PinAction::of). Unless told, it moves to another backend.
    pub const fn persisting(mut self, persistence: Persistence) -> Self {
        self.persistence = persistence;
        self
    }

    /// Says that the session may as well move now, and that its backend has more than its share:
    /// another one is preferred, if it is not to be held or refused.
    pub const fn in_surplus(mut self, surplus: bool) -> Self {
        self.surplus = surplus;
        self
    }

    /// The time.
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// The key.
    pub const fn key(&self) -> Option<HashKey> {
        self.key
    }

    /// The backends that were tried.
    pub const fn tried(&self) -> &'a [BackendId] {
        self.tried
    }

    /// The backend that has the session.
    pub const fn pin(&self) -> Option<BackendId> {
        self.pin
    }

    /// What becomes of the session when its backend can't take the request.
    pub const fn persistence(&self) -> Persistence {
        self.persistence
    }

    /// Whether the session may as well move.
    pub const fn is_in_surplus(&self) -> bool {
        self.surplus
    }
}
