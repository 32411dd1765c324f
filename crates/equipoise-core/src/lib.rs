//! The vocabulary and the traits of the Equipoise load-balancing libraries.
//!
//! A load balancer answers one question, over and over: *which backend takes this request?* This
//! crate holds the words in which the question and its answer are put, and nothing that answers
//! it: no algorithm, no I/O, no clock, no runtime. It is `no_std` and needs only `alloc`.
//!
//! # Who needs this crate
//! * **You call a balancer**: you want `equipoise-pool`, which hands out leases on your backends,
//!   and `equipoise-algorithms`, which chooses among them. The pool re-exports what its users
//!   need from here.
//! * **You write a policy of your own**: implement [`Policy`] and [`Picker`]. Both see ids,
//!   weights and load, never your backend type. The documentation of [`Policy`] has a whole one.
//!
//! # The words
//! | word | meaning |
//! |---|---|
//! | backend | whatever takes a request; its type is the caller's own |
//! | [`BackendId`] | a backend's stable identity: never its weight, never its position in a list |
//! | [`Slot`] | a backend's index in *one* snapshot; never kept across snapshots |
//! | [`Weight`] | a backend's share relative to the others; 0 takes no new work |
//! | [`Admission`] | may the backend take new requests, only those of its established sessions, or none |
//! | [`Policy`] | the recipe: builds a picker from a [`View`] of the backends |
//! | [`Picker`] | an immutable value over one snapshot, which answers [`Picker::pick`] |
//! | [`Load`] | how many requests a backend has in flight |
//! | [`Pin`] | the bond between a session and its backend; [`Sessions`] remembers it |
//! | [`Tracker`] | what a policy keeps about one backend: latency, errors, its own counters |
//! | [`Outcome`] | how a request ended |
//! | [`Instant`] | nanoseconds since an epoch that the caller chose |
//!
//! # Determinism
//! Time comes in as an [`Instant`], randomness as a seeded [`Rng`]: the same seed and the same
//! calls give the same picks, on every platform.
//!
//! # Features
//! * `serde`: `Serialize` and `Deserialize` for the value types. Off by default.
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate alloc;

mod admission;
mod backend;
mod context;
mod erased;
mod explain;
mod id_hasher;
mod load;
mod outcome;
mod pin;
mod policy;
mod rng;
mod slot_set;
mod tally;
mod time;

pub use admission::{Admin, Admission, Condition, Drain, Finding, Health, Passive, Share};
pub use backend::{BackendId, HashKey, Slot, Weight, WeightError};
pub use context::{PickContext, Turn};
pub use erased::{BoxPolicy, ErasedPolicy};
pub use explain::{Considered, Excluded, Explanation, Reason};
pub use id_hasher::IdHasher;
pub use load::Load;
pub use outcome::{Failure, LoadReport, Outcome, Sample};
pub use pin::{Persistence, Pin, PinAction, PinOutcome, PinnedState, Sessions};
pub use policy::{Member, Picker, Policy, Tracker, View};
pub use rng::Rng;
pub use slot_set::SlotSet;
pub use tally::{Runs, Tally};
pub use time::{Clock, Instant};
