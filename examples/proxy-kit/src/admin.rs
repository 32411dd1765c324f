//! Shows an operator the backends and their health, and lets them be changed, over HTTP/1.1.
//!
//! | request | answer |
//! |---|---|
//! | `GET /` | the routes, as text |
//! | `GET /backends`, `/backends/POOL`, `/backends/POOL/NAME` | all pools, one, or one backend, as JSON |
//! | `POST /backends/POOL/NAME/drain`, `enable`, `disable` | the backend as it is then |
//! | `POST /backends/POOL/NAME/weight?value=5` | the same |
//! | `POST /backends/POOL/NAME/unpin` | the same; the sessions in the table that it had are placed anew |
//! | `GET /udp` | the UDP listeners, where the proxy can have some: sessions and datagrams, counted |
//!
//! Where there is only one pool, `/backends/NAME` and what follows it do as well.
//!
//! # Who may ask
//! Everybody who can connect, or those who know the token. Without a token it listens on a loopback
//! address only. That alone does not keep web pages out, which a browser on the machine may have
//! open, so then a request whose `Host` is not of the loopback is refused (a page whose name was
//! rebound to 127.0.0.1 has its own), and a `POST` with an `Origin` is (only a page sends one).

mod routes;
mod server;
mod settings;
mod start;
mod udp;

use equipoise_core::{Admin, Weight};
use serde::Serialize;

pub use crate::sticky::SessionsReport;

pub use server::serve;
pub use settings::{AdminSection, AdminSettings};
pub use start::start;
pub use udp::{UdpDatagrams, UdpDropped, UdpReport, UdpSessions};

/// The pools of a proxy, as an operator sees them.
pub trait Pools: Send + Sync + 'static {
    /// All pools and their backends as they are now.
    fn report(&self) -> Vec<PoolReport>;

    /// Does something to one backend. [`report`](Self::report) shows it at once.
    ///
    /// # Errors
    /// There is no such backend, or what the proxy has against it.
    fn act(&self, pool: &str, backend: &str, action: Action) -> Result<(), ActError>;

    /// Its UDP listeners; `None` if it is not a proxy that can have some.
    fn udp(&self) -> Option<Vec<UdpReport>> {
        None
    }
}

/// A pool as an operator sees it.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct PoolReport {
    /// Its name.
    pub name: String,
    /// How it chooses.
    pub policy: String,
    /// Why it is in panic, in words; `None` if it is not.
    pub panic: Option<String>,
    /// What came of sessions, if they are kept together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sessions: Option<SessionsReport>,
    /// Its backends.
    pub backends: Vec<BackendReport>,
}

/// A backend as an operator sees it.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct BackendReport {
    /// Its name.
    pub name: String,
    /// `up`, `down`, `pending`, `ejected`, `trial`, `draining`, `drained` or `disabled`.
    pub state: String,
    /// Why, in words.
    pub reason: String,
    /// What the operator wants of it.
    pub admin: Admin,
    /// Its weight.
    pub weight: Weight,
    /// Its tier; 0 goes first.
    pub tier: u8,
    /// Requests (or connections) in flight.
    pub in_flight: u32,
    /// How much of its weight counts, 0 to 1: less than 1 in its slow start.
    pub share: f64,
    /// What is probed, if anything is.
    pub check: Option<String>,
    /// How many sessions it has, if a table knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sessions: Option<usize>,
}

/// What an operator does to a backend.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Gives it no new sessions.
    Drain,
    /// Puts it into service.
    Enable,
    /// Takes it out of service.
    Disable,
    /// Sets its weight.
    Weight(Weight),
    /// Places its sessions anew.
    Unpin,
}

/// Why nothing was done.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ActError {
    /// There is no such pool or backend, or no longer.
    Unknown,
    /// The proxy refuses it, for this reason.
    Refused(String),
}

#[cfg(test)]
mod tests;
