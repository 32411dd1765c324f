//! Discovery: who the backends are.
//!
//! A [`Discover`] waits for the next set of [`Endpoint`]s. There are three: [`Static`] has one set,
//! [`FileWatch`] reads a list, and `Dns` (feature `dns`) asks a name server for addresses or SRV
//! records. A type of yours that implements the trait makes a fourth.
//!
//! A source that fails says so and keeps quiet about the set: a failure is never an empty set. A
//! source that honestly answers "nobody" is another matter, on which operators disagree, so it is a
//! policy: [`Guarded`] puts a [`Guard`] between a source and whoever listens to it.
//!
//! ```
//! use equipoise_tokio::discovery::{Discover, Endpoint, Guard, GuardSettings, Guarded, Static};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), equipoise_tokio::discovery::DiscoveryError> {
//! let endpoint = Endpoint::new("10.0.0.1:8080".parse().unwrap());
//! let guard = Guard::new(GuardSettings::default());
//! let mut source = Guarded::new(Static::new(vec![endpoint])?, guard);
//! let set = source.next().await?;
//! assert_eq!(set[0].name, "10.0.0.1:8080");
//! # Ok(())
//! # }
//! ```

#[cfg(feature = "dns")]
mod dns;
mod endpoint;
mod error;
mod file;
mod fixed;
mod guard;
mod guarded;
mod list;

use std::future::Future;
use std::pin::Pin;

#[cfg(feature = "dns")]
pub use dns::{AddressFamily, Dns, DnsBuilder};
pub use endpoint::Endpoint;
pub use error::{DiscoveryError, LookupFailure};
pub use file::FileWatch;
pub use fixed::Static;
pub use guard::{EmptyUpdate, Guard, GuardSettings, Refusal, Verdict};
pub use guarded::Guarded;
pub use list::{ListError, MAX_LIST_BYTES, parse_list};

/// The most backends that one set may have: as many as a file may list.
pub const MAX_ENDPOINTS: usize = 65_536;

/// The next set that a source has.
pub type NextSet<'a> =
    Pin<Box<dyn Future<Output = Result<Vec<Endpoint>, DiscoveryError>> + Send + 'a>>;

/// A source of backends.
pub trait Discover: Send + 'static {
    /// Waits for the next set that differs from the one before: at first for any set.
    ///
    /// A set is whole, names no backend twice, and its order means nothing. An error leaves the set
    /// as it was; the source goes on, so ask again after one. It must not fail without end in no
    /// time: the listener asks again at once.
    ///
    /// # Cancellation
    /// Dropping the future loses neither a set nor the progress towards one: a listener may wait
    /// for several things at once, and ask anew as often as it likes.
    fn next(&mut self) -> NextSet<'_>;
}

impl<D: Discover + ?Sized> Discover for Box<D> {
    fn next(&mut self) -> NextSet<'_> {
        (**self).next()
    }
}
