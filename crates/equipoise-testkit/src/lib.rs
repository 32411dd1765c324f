//! The contract suite that every Equipoise policy passes, open to policies of your own.
//!
//! Each property here is a bug that a well-known balancer has or had; `docs/invariants.md` has the
//! list. [`policy_contract!`] makes one `#[test]` of each; those that a policy does not promise pass
//! without looking:
//!
//! ```
//! use equipoise_testkit::{Promises, policy_contract};
//! # use equipoise_core::{PickContext, Picker, Policy, Slot, View};
//! # struct First;
//! # struct FirstPicker(Vec<Slot>);
//! # impl Policy for First {
//! #     type Picker = FirstPicker;
//! #     fn build(&self, view: &View<'_>, _: Option<&FirstPicker>) -> FirstPicker {
//! #         FirstPicker(view.admitted().map(|(slot, ..)| slot).collect())
//! #     }
//! # }
//! # impl Picker for FirstPicker {
//! #     fn pick(&self, cx: &mut PickContext<'_>) -> Option<Slot> {
//! #         self.0.iter().copied().find(|&slot| !cx.tried().contains(slot))
//! #     }
//! # }
//! policy_contract!(first, || First, Promises::none());
//! ```
//!
//! Everything is seeded, so a test fails always or never. Where a property is statistical, its
//! bound is one that a correct policy would miss with a probability of less than 10⁻⁹ if the seed
//! were drawn anew.

mod arena;
pub mod contract;
mod contract_macro;
pub mod model;
mod simulation;
pub mod statistics;

pub use arena::Arena;
pub use contract_macro::Promises;
pub use simulation::{ClosedLoop, Served};

/// The code of the pages runs.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
#[doc = include_str!("../../equipoise-pool/README.md")]
#[derive(Debug)]
pub struct Pages;
