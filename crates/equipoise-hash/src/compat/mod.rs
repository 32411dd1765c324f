//! Other proxies' placement, key for key: for a fleet in which some run nginx, HAProxy or Envoy, and
//! some run this.
//!
//! | theirs | ours | a lookup | memory |
//! |---|---|---|---|
//! | nginx `hash ... consistent` | [`nginx::Consistent`] | O(1) expected | 10 to 12 B a point, 160 points a unit of weight |
//! | nginx `hash ...` | [`nginx::PlainHash`] | O(log n) | 8 B a server |
//! | nginx `ip_hash` | [`nginx::IpHash`] | O(log n) | 8 B a server |
//! | HAProxy `hash-type consistent` | [`haproxy::Consistent`] | O(1) expected | 10 to 12 B a point, 16 points a unit of weight |
//! | Envoy `RING_HASH` | [`envoy::RingHash`] | O(1) expected | 18 to 20 B a point, 1,024 points and more |
//! | Envoy `MAGLEV` | [`envoy::Maglev`] | O(1), one load | 2 B a slot, 65,537 slots |
//!
//! and 16 B a node besides.
//!
//! Each of them agrees with the real server on every one of the golden keys, which were asked of
//! the server itself (`golden/README.md` says how, of which versions, and how many). What could not
//! be made to agree was left out, and is listed with each server.
//!
//! These are for compatibility. Clients can aim at a backend, for there is no secret in these
//! hashes; and all but Maglev spread keys less evenly than
//! [`RendezvousTable`](crate::RendezvousTable) does. Start with another structure if you can.
//!
//! When servers are down, [`lookup_where`](crate::ConsistentHash::lookup_where) goes where the other
//! proxy goes, and not where the keys would be spread best. Each server's page says how that is, and
//! when it needs an [`update`](crate::ConsistentHash::update) instead.
//!
//! # What has to be the same
//! * **The servers**, with the names and in the order of the other proxy's configuration: both are
//!   hashed, or decide who comes first. [`BackendId`](crate::BackendId) knows neither, so [`Servers`] does.
//! * **The weights.** A weight of 0 owns nothing.
//! * **The key**, byte for byte. Each table's own function makes a [`HashKey`](crate::HashKey) of
//!   it; a key that another function made means nothing to it. [`KeyRule`] does so from a
//!   [`KeySpec`](crate::key::KeySpec).
//!
//! # Example
//! A pool whose other half runs nginx, with `hash $request_uri consistent`:
//!
//! ```
//! use equipoise_hash::compat::{Servers, nginx};
//! use equipoise_hash::{ConsistentHash, Weight};
//!
//! // As nginx.conf has it: server 10.0.0.1:8080; server 10.0.0.2:8080 weight=3; server 10.0.0.3:8080;
//! let servers = Servers::named(["10.0.0.1:8080", "10.0.0.2:8080", "10.0.0.3:8080"])?;
//! let nodes = servers.nodes([1, 3, 1].map(Weight::new));
//! let table = nginx::Consistent::new(&servers, &nodes)?;
//!
//! let key = nginx::Consistent::key(b"/index.html").expect("nginx has no place for an empty key");
//! assert_eq!(table.lookup(key), Some(0));
//!
//! // nginx goes on along the ring when that one is down, and so does this.
//! assert_eq!(table.lookup_where(key, |node| node != 0), Some(1));
//! # Ok::<(), equipoise_hash::BuildError>(())
//! ```

mod chance;
pub mod envoy;
pub mod haproxy;
pub mod nginx;
mod rule;
mod servers;
mod walk;

pub use rule::{KeyRule, KeyRuleError};
pub use servers::{Server, Servers};
