//! How busy a backend is.

use alloc::sync::{Arc, Weak};
use core::fmt;

/// How many requests a backend has in flight.
///
/// A request in flight holds a reference to the backend's record, since it must keep the backend
/// alive; so the number of references *is* the number of requests, and counting costs nothing.
/// Nor can the count go wrong: it is the set of live leases, whatever was cancelled, dropped or
/// unwound. `docs/decisions/0002` has the measurements.
///
/// One reference belongs to the record's owner; all others are requests:
///
/// ```
/// use std::sync::Arc;
/// use equipoise_core::Load;
///
/// let record = Arc::new("the backend");
/// let load = Load::of(&record);
/// assert_eq!(load.in_flight(), 0);
/// let request = Arc::clone(&record);
/// assert_eq!(load.in_flight(), 1);
/// drop(request);
/// assert_eq!(load.in_flight(), 0);
/// ```
#[derive(Clone)]
pub struct Load(Weak<dyn Send + Sync>);

impl Load {
    /// The load of a backend whose requests are the clones of `record`.
    pub fn of<T: Send + Sync + 'static>(record: &Arc<T>) -> Self {
        let record: Weak<T> = Arc::downgrade(record);
        Self(record)
    }

    /// Requests that were picked and have not ended. It is exact when nothing happens
    /// concurrently, and costs one relaxed load.
    #[inline]
    pub fn in_flight(&self) -> u32 {
        self.0.strong_count().saturating_sub(1) as u32
    }
}

impl fmt::Debug for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Load").field("in_flight", &self.in_flight()).finish()
    }
}
