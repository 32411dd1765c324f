//! A connection's place at a backend.

use std::ops::Deref;
use std::sync::Arc;

use equipoise_core::{BackendId, Instant, Outcome};
use equipoise_pool::Lease;
use proxy_kit::pools::NamedPool;

use crate::target::Target;

/// A connection's place at a backend. However it is given back, who waits for one hears of it.
#[derive(Debug)]
pub(crate) struct Taken {
    /// None only while it is given back.
    lease: Option<Lease<Target>>,
    pool: Arc<NamedPool<Target>>,
    /// How often the backend's connections had been closed before.
    closings: u64,
}

impl Taken {
    pub(crate) fn new(lease: Lease<Target>, pool: &Arc<NamedPool<Target>>) -> Self {
        let closings = lease.closings();
        Self { lease: Some(lease), pool: Arc::clone(pool), closings }
    }

    fn lease(&self) -> &Lease<Target> {
        self.lease.as_ref().expect("it is not given back yet")
    }

    pub(crate) fn id(&self) -> BackendId {
        self.lease().id()
    }

    /// Says how it goes, and keeps the place.
    pub(crate) fn sample(&self, now: Instant, outcome: Outcome) {
        self.lease().sample(now, outcome);
    }

    /// Says how it went.
    pub(crate) fn finish(mut self, now: Instant, outcome: Outcome) {
        if let Some(lease) = self.lease.take() {
            lease.finish(now, outcome);
        }
    }

    /// Waits until the backend's connections are closed, or finds that they have been since this was taken:
    /// making the connection takes its time.
    pub(crate) async fn gone(&self) {
        self.lease().closed(self.closings).await;
    }
}

impl Deref for Taken {
    type Target = Target;

    fn deref(&self) -> &Target {
        self.lease()
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        drop(self.lease.take());
        self.pool.freed();
    }
}
