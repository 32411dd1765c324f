//! Health of backends, as state machines without I/O and without a clock.
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate alloc;

mod backoff;
pub mod breaker;
pub mod outlier;
mod passive_error;
pub mod retry_budget;
mod rolling;

pub use breaker::{BreakerConfig, CircuitBreaker};
pub use outlier::{Ejection, EjectionCause, OutlierConfig, Sweeper};
pub use passive_error::PassiveConfigError;
pub use retry_budget::{RetryBudget, RetryBudgetConfig};
