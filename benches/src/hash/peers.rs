//! The crates that one would use today, each as its documentation says.
//!
//! Where a crate lets one choose the hash function, it has a second row with ours; where it wants a
//! number for a key, it gets what ours gets.

#[cfg(feature = "hash-peers")]
pub mod jumps;
#[cfg(feature = "pingora")]
pub mod pingora;
#[cfg(feature = "hash-peers")]
pub mod rings;
#[cfg(feature = "hash-peers")]
pub mod tables;
