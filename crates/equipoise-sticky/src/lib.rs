//! Sticky sessions: which backend has a client's session, without I/O and without a clock.
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

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
