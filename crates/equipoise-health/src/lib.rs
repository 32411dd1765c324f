//! Health of backends, as state machines without I/O and without a clock.
//!
//! Whoever drives them says what time it is and what a backend answered, and is told what to ask, and
//! of whom what holds now. It may be a control task on tokio (`equipoise-tokio` has one), a thread, or
//! a test that runs a day in a moment: the same inputs and the same seed give the same states.
//!
//! # Who needs this crate
//! * **You run on tokio**: you want `equipoise-tokio`, which asks the backends and keeps a pool in step.
//! * **You have another runtime, or probes of your own**: drive a [`Monitor`], which has all that a pool
//!   needs, and publish what it finds with `Pool::apply` of `equipoise-pool`.
//! * **You need one of the machines**, in a client say: each can be had alone.
//!
//! # What is in it
//! | machine | the question that it answers |
//! |---|---|
//! | [`Check`] | is the backend up, after these answers to probes? Rise and fall, intervals by state, jitter |
//! | [`Ejection`] | is it out, for what its requests came to? Back-off, half-open |
//! | [`outlier::on_runs`], [`Sweeper`] | whose requests go worse than they should: failures in a row; success rate, failure percentage and latency beside the others' |
//! | [`outlier::may_eject`] | may one more be ejected? |
//! | [`outlier::Guard`] | does failing only move about, so that ejection makes it worse? |
//! | [`CircuitBreaker`] | may a request be sent at all? |
//! | [`RetryBudget`] | may it be sent once more? |
//! | [`SlowStart`] | how much of its weight has a backend that has come back? |
//! | [`Panic`] | are so few healthy that health should not count? |
//! | [`Monitor`] | all but the breaker and the budget, for all backends of a pool, and in words |
//!
//! The states are drawn in the pages `docs/health-states.md` and `docs/ejection-states.md`, from whose
//! tables tests run the code.
//!
//! # Numbers that are wrong
//! Settings are checked once, when they are built: [`CheckConfigError`] and [`PassiveConfigError`] name
//! the field and what it allows. After that nothing fails and nothing panics: times and counters
//! saturate, an answer that comes too late is told apart by its [`Token`].
//!
//! # Features
//! * `serde`: `Serialize` and `Deserialize` for the settings. Off by default.
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate alloc;

mod backoff;
pub mod breaker;
mod check;
pub mod monitor;
pub mod outlier;
mod panic;
mod passive_error;
pub mod retry_budget;
mod rolling;
mod slow_start;

pub use breaker::{BreakerConfig, CircuitBreaker};
pub use check::{
    Check, CheckConfig, CheckConfigBuilder, CheckConfigError, InitialHealth, Late, Poll, Progress,
    Standing, Token, Transition, Verdict,
};
pub use monitor::{Monitor, MonitorConfig};
pub use outlier::{Ejection, EjectionCause, OutlierConfig, Sweeper};
pub use panic::{Census, Panic, PanicConfig, PanicConfigError, PanicEvent, PanicMode};
pub use passive_error::PassiveConfigError;
pub use retry_budget::{RetryBudget, RetryBudgetConfig};
pub use slow_start::{SlowStart, SlowStartError};

/// The code of the README runs.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
#[derive(Debug)]
pub struct Readme;
