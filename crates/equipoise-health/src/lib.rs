//! Health of backends, as state machines without I/O and without a clock.
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate alloc;

mod check;

pub use check::{
    Check, CheckConfig, CheckConfigBuilder, CheckConfigError, InitialHealth, Late, Poll, Progress,
    Standing, Token, Transition, Verdict,
};
