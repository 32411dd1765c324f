//! Sticky sessions: which backend has a client's session, without I/O and without a clock.
//!
//! # Who needs this crate
//! * **You have a pool of `equipoise-pool`**: give [`ShardedTable`] to its `pick_session`, or a
//!   [token](affinity::token)'s backend to `Request::pinned_to`.
//! * **Several balancers share sessions in Redis**: `equipoise-tokio` has that, over a table of this crate.
//! * **You need a map from sessions to anything that has an id**, bounded and expiring: it is usable alone.
//!
//! # What is in it
//! | item | the question that it answers |
//! |---|---|
//! | [`SessionHasher`], [`SessionKey`] | what is the key of this session id? Tables keep digests, never ids |
//! | [`Table`], [`ShardedTable`] | who has this session? For one thread, and for many |
//! | [`affinity`] | what did the client send, and what is it sent: tokens, cookies, attributes |
//! | [`surplus`] | which sessions may move when a backend has more than its share? |
//!
//! # Features
//! All are off by default.
//! * `std`: [`ShardedTable`], the table that threads share.
//! * `affinity`: tokens and cookies; brings HMAC and SHA-256.
//! * `serde`: `Serialize` and `Deserialize` for exported sessions and for settings.
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

#[cfg(feature = "affinity")]
pub mod affinity;
mod key;
#[cfg(all(test, equipoise_loom, feature = "std"))]
mod models;
mod primitive;
#[cfg(feature = "std")]
mod sharded;
pub mod surplus;
mod table;

pub use key::{SessionHasher, SessionKey};
#[cfg(feature = "std")]
pub use sharded::ShardedTable;
pub use table::{
    Counters, Delta, Deltas, Found, Imported, Removal, Session, Swept, Table, TableBuilder,
    TableConfig, TableConfigError,
};

/// The code of the README runs.
#[cfg(all(doctest, feature = "std", feature = "affinity"))]
#[doc = include_str!("../README.md")]
#[derive(Debug)]
pub struct Readme;
