//! What a lease holds on to.

use std::sync::Arc;

use equipoise_core::{BackendId, Tracker};

use crate::places::Places;

/// A backend with all that its requests need, and nothing that an update replaces.
///
/// Leases hold it by `Arc`, and so are counted: see [`equipoise_core::Load`]. Everybody else holds
/// an [`Owner`].
pub(crate) struct Record<B> {
    pub(crate) id: BackendId,
    pub(crate) tracker: Option<Arc<dyn Tracker>>,
    pub(crate) places: Places,
    pub(crate) backend: B,
}

/// The one reference to a [`Record`] that is no request. Registry and snapshots share it.
pub(crate) struct Owner<B>(pub(crate) Arc<Record<B>>);

impl<B> Owner<B> {
    /// Requests in flight.
    pub(crate) fn in_flight(&self) -> u32 {
        (Arc::strong_count(&self.0) - 1) as u32
    }
}
