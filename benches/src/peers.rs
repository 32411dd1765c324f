//! The crates that one would use today, each driven as its documentation says.
//!
//! A peer that picks through `&mut self` is shared by two threads behind a `parking_lot::Mutex`.

#[cfg(feature = "pingora")]
pub mod pingora;
pub mod tower;
pub mod weighted;
