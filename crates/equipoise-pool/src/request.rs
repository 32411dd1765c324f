//! What the caller says of a request.

use equipoise_core::{BackendId, HashKey, Instant};

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
}

impl<'a> Request<'a> {
    /// A request at the epoch, without a key or a pin, that has tried nothing.
    pub const fn new() -> Self {
        Self { now: Instant::ZERO, key: None, tried: &[], pin: None }
    }

    /// Sets the time. Policies that weigh latency need it.
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
    pub const fn avoiding(mut self, tried: &'a [BackendId]) -> Self {
        self.tried = tried;
        self
    }

    /// Names the backend that has the request's session. It is picked while it takes established
    /// sessions, drained or not, has a place, and was not tried; otherwise the policy picks.
    pub const fn pinned_to(mut self, id: BackendId) -> Self {
        self.pin = Some(id);
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
}
