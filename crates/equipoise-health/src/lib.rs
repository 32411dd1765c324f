//! Health of backends, as state machines without I/O and without a clock.
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate alloc;

mod check;
mod panic;
mod slow_start;

pub use check::{
    Check, CheckConfig, CheckConfigBuilder, CheckConfigError, InitialHealth, Late, Poll, Progress,
    Standing, Token, Transition, Verdict,
};
pub use panic::{Census, Panic, PanicConfig, PanicConfigError, PanicEvent, PanicMode};
pub use slow_start::{Share, SlowStart, SlowStartError};
