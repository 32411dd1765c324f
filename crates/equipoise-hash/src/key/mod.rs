//! From a request to its [`HashKey`].
//!
//! | type | what it is |
//! |---|---|
//! | [`KeyHasher`] | hashes one or several parts under a secret; all that sharding data needs |
//! | [`KeySpec`] | which parts of a request make its key: what a configuration says |
//! | [`KeySource`] | what a proxy implements for its request, so that a spec can read it |
//!
//! # Rules
//! * **A missing part is a missing key**, and so is an empty one: requests without a session cookie
//!   have no key, rather than one key that sends them all to one backend. What becomes of them is
//!   the policy's to say.
//! * **Parts don't run into each other**: each is hashed with its length in front, so `("ab", "c")`
//!   and `("a", "bc")` are different keys.
//! * **A client picks the key, and must not aim**: the hash is keyed with a secret.
//! * **Every platform, process and release hashes alike**: balancers with the same secret agree.
//!
//! # Example
//! ```
//! use equipoise_hash::key::{KeyHasher, KeyPart, KeySource, KeySpec};
//! use std::net::SocketAddr;
//!
//! struct Request {
//!     client: SocketAddr,
//!     user: Option<&'static str>,
//! }
//!
//! impl KeySource for Request {
//!     fn client(&self) -> Option<SocketAddr> {
//!         Some(self.client)
//!     }
//!     fn header(&self, name: &str) -> Option<&[u8]> {
//!         self.user.filter(|_| name == "x-user").map(str::as_bytes)
//!     }
//! }
//!
//! let spec = KeySpec::new([KeyPart::header("X-User")?])?;
//! let hasher = KeyHasher::new(*b"sixteen secret b");
//! let from = |client: &str, user| Request { client: client.parse().unwrap(), user };
//!
//! let key = spec.key(&from("192.0.2.1:1234", Some("ada")), &hasher);
//! assert!(key.is_some());
//! assert_eq!(key, spec.key(&from("192.0.2.9:9999", Some("ada")), &hasher));
//! assert_eq!(spec.key(&from("192.0.2.1:1234", None), &hasher), None);
//! # Ok::<(), equipoise_hash::key::KeyError>(())
//! ```

mod error;
mod hasher;
mod part;
#[cfg(feature = "serde")]
mod serde_form;
mod source;
mod spec;
mod value;

pub use crate::HashKey;
pub use error::KeyError;
pub use hasher::{KeyHasher, SipHash13, SipHasher};
pub use part::{KeyKind, KeyPart};
pub use source::KeySource;
pub use spec::KeySpec;
pub use value::AddressForm;
