//! What an update did.

use std::num::NonZeroU32;

use equipoise_core::{Admission, BackendId, Weight};

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
    /// What a backend may take changed.
    AdmissionChanged {
        /// Which one.
        id: BackendId,
        /// Before.
        from: Admission,
        /// Now.
        to: Admission,
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
