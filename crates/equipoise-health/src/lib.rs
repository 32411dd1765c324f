//! Health of backends, as state machines without I/O and without a clock.
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
