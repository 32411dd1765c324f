//! What an update did.

use std::num::NonZeroU32;

use equipoise_core::{Admission, BackendId, Reason, Weight};

/// One thing that an update changed. The host decides what to do about it: log it, count it, close
/// connections.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A backend joined.
    Added {
        /// Which one.
        id: BackendId,
        /// What it may take from the start.
        admission: Admission,
    },
    /// A backend left. Its requests in flight run on; the host may want to close their
    /// connections.
    Removed {
        /// Which one.
        id: BackendId,
        /// How many requests it had in flight.
        in_flight: u32,
    },
    /// A backend's weight changed.
    WeightChanged {
        /// Which one.
        id: BackendId,
        /// The weight before.
        from: Weight,
        /// The weight now.
        to: Weight,
    },
    /// A backend's limit on requests in flight changed.
    LimitChanged {
        /// Which one.
        id: BackendId,
        /// The limit before.
        from: Option<NonZeroU32>,
        /// The limit now.
        to: Option<NonZeroU32>,
    },
    /// A backend moved to another tier.
    Moved {
        /// Which one.
        id: BackendId,
        /// The tier before.
        from: u8,
        /// The tier now.
        to: u8,
    },
    /// What a backend may take changed, or, where that is nothing, why.
    AdmissionChanged {
        /// Which one.
        id: BackendId,
        /// Before.
        from: Admission,
        /// Now.
        to: Admission,
        /// Why it is not [`Admission::New`].
        reason: Option<Reason>,
    },
    /// New requests go to another tier: to the backups, or back, or (`None`) to nobody, because no
    /// backend is admitted.
    TierChanged {
        /// The tier before.
        from: Option<u8>,
        /// The tier now.
        to: Option<u8>,
    },
}

impl Event {
    /// The backend that has no business with its clients any more: it was removed, or may take
    /// nothing. Whoever keeps connections to it should close them, the idle ones at once.
    ///
    /// ```
    /// use equipoise_algorithms::RoundRobin;
    /// use equipoise_pool::{BackendId, Health, Pool, Spec};
    ///
    /// let pool = Pool::new(RoundRobin, 42);
    /// let a = BackendId::named("a");
    /// pool.insert(Spec::new(a, "10.0.0.1:80"))?;
    /// let events = pool.set_health(a, Health::Down)?;
    /// assert_eq!(events[0].closes(), Some(a));
    /// # Ok::<(), equipoise_pool::UpdateError>(())
    /// ```
    pub const fn closes(&self) -> Option<BackendId> {
        match *self {
            Self::Removed { id, .. } => Some(id),
            Self::AdmissionChanged { id, to: Admission::Never, .. } => Some(id),
            _ => None,
        }
    }
}
