//! Load-balancing algorithms, one policy a module.
//!
//! | policy | what it equalises | a pick | memory | when to use it |
//! |---|---|---|---|---|
//! | [`RoundRobin`] | requests, in proportion to weight, at every moment | O(1) | O(n), or a schedule of up to 64 Ki entries | requests that cost alike |
//! | [`Random`] | requests, in the long run | O(1) | O(n) | many independent balancers |
//! | [`LeastConn`] | requests in flight per weight, exactly | O(1) to O(log n) | O(n) | long or uneven requests, one balancer |
//! | [`P2c`] | requests in flight per weight, nearly | O(d) | O(n) | the default for everything else |
//! | [`PeakEwma`] | expected waiting time | O(1) | O(n) | backends of differing or changing speed |
//! | [`Hashed`] | keys, in proportion to weight | a table's lookup | the table's | caches and sessions that live on a backend |
//! | [`BoundedLoad`] | keys, and requests in flight up to a factor | the same and two loads | the same and O(n) | the same, where some keys are hot |
//!
//! All of them honour weights, share nothing between workers but counters of the backends, pick
//! through `&self`, and allocate nothing in a pick. All pick only admitted backends, and find one
//! whenever there is one.
//!
//! [`PolicyConfig`] chooses one at run time, by name.
//!
//! # Example
//! ```
//! use equipoise_algorithms::RoundRobin;
//! use equipoise_core::{BackendId, Weight};
//! use equipoise_pool::{Pool, Request, Spec};
//!
//! let pool = Pool::new(RoundRobin, 7);
//! pool.update([("a", 5), ("b", 1), ("c", 1)].map(|(name, weight)| {
//!     Spec::new(BackendId::named(name), name).weight(Weight::new(weight))
//! }))?;
//! let mut picks = [0; 3];
//! for _ in 0..70 {
//!     let lease = pool.pick(&Request::new())?;
//!     picks["abc".find(*lease).unwrap()] += 1;
//! }
//! assert_eq!(picks, [50, 10, 10]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate alloc;

mod alias;
mod bounded_load;
mod config;
mod hashed;
mod intervals;
mod keyed;
mod least_conn;
mod load_tree;
mod lottery;
mod p2c;
mod peak_ewma;
mod random;
mod retry;
mod rotation;
mod round_robin;
mod schedule;

pub use bounded_load::{BoundedLoad, BoundedLoadPicker, LoadFactor};
pub use config::{CompatConfig, ConfigError, HashConfig, PolicyConfig, TableConfig};
pub use hashed::{Hashed, HashedPicker, WithoutKey};
pub use least_conn::{LeastConn, LeastConnPicker};
pub use p2c::{P2c, P2cPicker};
pub use peak_ewma::{PeakEwma, PeakEwmaPicker};
pub use random::{Random, RandomPicker};
pub use round_robin::{RoundRobin, RoundRobinPicker};
