//! What a proxy does when the health of a backend changes: it says so, and closes connections.

use std::fmt;
use std::sync::Arc;

use equipoise_core::Reason;
use equipoise_health::monitor::Notice;
use equipoise_pool::Event;
use equipoise_tokio::control::Observer;
use equipoise_tokio::queue::WaitQueue;

use crate::health::Close;
use crate::log;

/// What a proxy keeps of a backend, and the connections to it. Clones are the same.
pub trait Connections: Clone + Send + Sync + 'static {
    /// The backend may take nothing any more; `reason` says why, and is `None` if it was removed.
    /// Connections that nobody uses are of no use.
    fn close(&self, reason: Option<Reason>);

    /// The backend was removed or ejected, and connections that are used stay.
    fn close_idle(&self) {}
}

/// Writes a line for each change of health.
#[derive(Debug)]
pub(crate) struct HealthLog {
    pub(crate) pool: String,
    /// Of requests that wait for a backend that is not full.
    pub(crate) queue: Arc<WaitQueue>,
    /// When connections are closed.
    pub(crate) close: Close,
}

impl<B: Connections> Observer<B> for HealthLog {
    fn on_notice(&self, backend: Option<(&str, &B)>, _: &Notice, words: &str) {
        let pool = &self.pool;
        match backend {
            Some((name, _)) => {
                log::line(format_args!("health pool={pool} backend={name} state={words:?}"));
            }
            None => log::line(format_args!("health pool={pool} state={words:?}")),
        }
    }

    fn on_event(&self, name: Option<&str>, event: &Event) {
        self.queue.wake_all();
        let (pool, name) = (&self.pool, name.unwrap_or("-"));
        match event {
            Event::Removed { in_flight, .. } => log::line(format_args!(
                "health pool={pool} backend={name} state=\"removed; in flight: {in_flight}\""
            )),
            // From nobody to somebody is a start, or is told by who came back.
            Event::TierChanged { from: Some(_), to: Some(to) } => {
                log::line(format_args!("health pool={pool} tier={to}"));
            }
            Event::TierChanged { to: None, .. } => {
                log::line(format_args!(
                    "health pool={pool} state=\"no backend takes new requests\""
                ));
            }
            _ => {}
        }
    }

    fn on_close(&self, _: &str, backend: &B, event: &Event) {
        let reason = match event {
            Event::AdmissionChanged { reason, .. } => *reason,
            _ => None,
        };
        if self.close.on(reason) {
            backend.close(reason);
        } else if matches!(reason, None | Some(Reason::Ejected)) {
            backend.close_idle();
        }
    }

    fn on_discovery(&self, error: &dyn fmt::Display) {
        let pool = &self.pool;
        log::warn(format_args!("discovery pool={pool}: {error}; the backends stay as they were"));
    }
}
