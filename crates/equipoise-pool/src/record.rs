//! What a lease holds on to.

use std::sync::Arc;

use equipoise_core::{BackendId, Tracker};

use crate::places::Places;
use crate::watch::Watched;

/// A backend with all that its requests need, and nothing that an update replaces.
///
/// Leases hold it by `Arc`, and so are counted: see [`equipoise_core::Load`]. Everybody else holds
/// an [`Owner`].
pub(crate) struct Record<B> {
    pub(crate) id: BackendId,
    pub(crate) tracker: Option<Arc<dyn Tracker>>,
    /// Whether the tracker hears of begins and ends.
    counted: bool,
    pub(crate) places: Places,
    /// Where somebody minds the pool's health.
    pub(crate) watched: Option<Watched>,
    pub(crate) backend: B,
}

impl<B> Record<B> {
    pub(crate) fn new(
        id: BackendId,
        tracker: Option<Arc<dyn Tracker>>,
        places: Places,
        watched: Option<Watched>,
        backend: B,
    ) -> Self {
        let counted = tracker.as_ref().is_some_and(|tracker| tracker.counts_requests());
        Self { id, tracker, counted, places, watched, backend }
    }

    /// The tracker, if it hears of begins and ends.
    #[inline]
    pub(crate) fn counter(&self) -> Option<&dyn Tracker> {
        if self.counted { self.tracker.as_deref() } else { None }
    }
}

/// The one reference to a [`Record`] that is no request. Registry and snapshots share it.
pub(crate) struct Owner<B>(pub(crate) Arc<Record<B>>);

impl<B> Owner<B> {
    /// Requests in flight.
    pub(crate) fn in_flight(&self) -> u32 {
        (Arc::strong_count(&self.0) - 1) as u32
    }
}
