//! What the proxy keeps about a backend.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Acquire, Ordering::Release};

use equipoise_core::Reason;
use proxy_kit::connect::Backend;
use proxy_kit::observer::Connections;
use tokio::sync::Notify;

/// A backend, and a way to reach its connections. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) backend: Backend,
    closings: Arc<Closings>,
}

#[derive(Debug, Default)]
struct Closings {
    count: AtomicU64,
    told: Notify,
}

impl Target {
    pub(crate) fn new(backend: Backend) -> Self {
        Self { backend, closings: Arc::default() }
    }

    /// How often its connections have been closed.
    pub(crate) fn closings(&self) -> u64 {
        self.closings.count.load(Acquire)
    }

    /// Waits until they have been closed more often than that.
    pub(crate) async fn closed(&self, before: u64) {
        let mut told = pin!(self.closings.told.notified());
        // Before looking: what comes meanwhile is not missed.
        told.as_mut().enable();
        if self.closings() == before {
            told.await;
        }
    }
}

impl Connections for Target {
    /// All of them: who connects anew gets a backend that lives.
    fn close(&self, _: Option<Reason>) {
        self.closings.count.fetch_add(1, Release);
        self.closings.told.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn who_was_on_the_way_when_it_was_closed_finds_that_out() {
        let target = Target::new(Backend::at(([127, 0, 0, 1], 1).into()));
        let soon = Duration::from_millis(10);
        let before = target.closings();
        assert!(timeout(soon, target.closed(before)).await.is_err());
        target.clone().close(None);
        assert!(timeout(soon, target.closed(before)).await.is_ok());
        // Who comes later is not meant.
        assert!(timeout(soon, target.closed(target.closings())).await.is_err());
    }
}
