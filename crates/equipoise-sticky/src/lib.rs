//! Sticky sessions: which backend has a client's session, without I/O and without a clock.
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

#[cfg(feature = "affinity")]
pub mod affinity;
pub mod surplus;
