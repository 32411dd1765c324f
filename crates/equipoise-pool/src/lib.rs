//! A pool of backends, and leases on them.
//!
//! ```
//! use equipoise_algorithms::P2c;
//! use equipoise_pool::{BackendId, Instant, Outcome, Pool, Request, Spec};
//!
//! let pool = Pool::new(P2c::default(), 42);
//! pool.update(["10.0.0.1:80", "10.0.0.2:80"].map(|addr| Spec::new(BackendId::named(addr), addr)))?;
//!
//! let lease = pool.pick(&Request::new())?;   // in flight: 1
//! let address: &str = *lease;                // the caller's own type
//! # let _ = address;
//! lease.finish(Instant::ZERO, Outcome::Success);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # How it works
//! A registry knows the backends. Each change of it builds a new snapshot, with the policy's
//! picker over it, and publishes it whole: a pick sees all of a change or nothing. Health, weight
//! and drain come in here, when a snapshot is made, and so cost nothing at a pick.
//!
//! * [`Pool::pick`] takes `&self`, from any thread; all who use it share one rotation.
//! * [`Pool::reader`] makes a [`Reader`] for one worker: it keeps the snapshot at hand, so that
//!   reading it is one load and a compare, and has its own rotation and random numbers.
//!
//! A pick fails only when there is nobody to pick, and the [`PickError`] says why. A [`Lease`]
//! holds its backend, not a slot: an update can't make it point to another one. Dropping it, in
//! whatever way, ends the request; [`Lease::finish`] also says how it went.
//!
//! [`Pool::pick_session`] looks a session up in a table, picks, and pins it.
//!
//! # What the order of a pick is
//! 1. The backend that the request is pinned to, if that one still takes established sessions; if
//!    not, what the request says: another one for good, another one for this once, or nobody.
//! 2. The policy's pick among the admitted backends of the best tier that has any.
//! 3. A place on that backend, if it has a limit; a full one is passed over.
//! 4. The next tier, when no backend of this one is left.

mod error;
mod event;
mod gate;
mod id_map;
mod lease;
#[cfg(all(test, equipoise_loom))]
mod models;
mod pick;
mod places;
mod pool;
mod primitive;
mod publish;
mod reader;
mod record;
mod registry;
mod request;
mod session;
mod snapshot;
mod spec;
mod watch;
mod window;

/// The words of `equipoise-core` that users of a pool need.
#[doc(no_inline)]
pub use equipoise_core::{
    Admin, Admission, BackendId, Clock, Drain, Explanation, Failure, Finding, HashKey, Health,
    Instant, LoadReport, Outcome, Passive, Persistence, Pin, PinOutcome, PinnedState, Reason, Runs,
    Sessions, Share, Tally, Weight,
};
pub use error::{PickError, UpdateError};
pub use event::Event;
pub use lease::Lease;
pub use pool::Pool;
pub use reader::Reader;
pub use request::Request;
pub use spec::{Spec, Status};
pub use watch::Alarm;
