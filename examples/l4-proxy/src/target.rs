//! What the proxy keeps about a backend.

use std::sync::Arc;

use equipoise_core::Reason;
use proxy_kit::connect::Backend;
use proxy_kit::observer::Connections;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// A backend, and a way to reach its connections. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) backend: Backend,
    gone: Arc<Notify>,
}

impl Target {
    pub(crate) fn new(backend: Backend) -> Self {
        Self { backend, gone: Arc::new(Notify::new()) }
    }

    /// Waits until the backend may take nothing any more.
    pub(crate) fn gone(&self) -> Notified<'_> {
        self.gone.notified()
    }
}

impl Connections for Target {
    /// All of them: who connects anew gets a backend that lives.
    fn close(&self, _: Option<Reason>) {
        self.gone.notify_waiters();
    }
}
