//! `[health]`: how the health of backends is found out, and what follows from it.
//!
//! `[health]` holds for every pool, and `[pools.NAME.health]` stands in its place for one of them:
//! the whole of it, so that a reader finds all that holds for a pool in one section.

mod check;
mod close;
mod script;
mod tls;

use std::fmt::Display;
use std::time::Duration;

use equipoise_health::breaker::BreakerBuilder;
use equipoise_health::outlier::OutlierBuilder;
use equipoise_health::{
    BreakerConfig, OutlierConfig, PanicConfig, PanicMode, PassiveConfigError, RetryBudgetConfig,
    SlowStart,
};
use serde::Deserialize;

use crate::StartError;

pub use check::{CheckKind, CheckSection, CheckSettings};
pub use close::{Cause, Close};
pub use tls::TlsSection;

/// `[health]`, as it is written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HealthSection {
    /// What to ask the backends; without it, nothing is.
    pub check: Option<CheckSection>,
    /// What to learn from their answers to clients. A table of `enabled` and the settings of an
    /// [`OutlierBuilder`], which is read when it is checked.
    pub passive: Option<toml::Table>,
    /// How a backend that has come back grows to its share.
    pub slow_start: Option<SlowStartSection>,
    /// What to do when too few are healthy.
    pub panic: Option<PanicSection>,
    /// How many requests may be tried again.
    pub retries: Option<RetrySection>,
    /// The circuit breaker of the pool; without it, there is none.
    pub breaker: Option<BreakerBuilder>,
    /// When to close the connections to a backend that is taken out.
    pub close: Option<Close>,
    /// How long a backend may drain; without it, as long as that is wanted.
    pub drain_limit_ms: Option<u64>,
}

/// `[health.slow_start]`, as it is written.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlowStartSection {
    /// How long it takes.
    pub window_ms: u64,
    /// How fast it begins; 1 is linear.
    pub aggression: Option<f64>,
    /// The smallest share, in percent.
    pub floor: Option<u8>,
}

/// `[health.panic]`, as it is written.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PanicSection {
    /// What to do in panic.
    pub mode: Option<PanicMode>,
    /// The share of healthy backends below which it begins, in percent.
    pub threshold: Option<u8>,
}

/// `[health.retries]`, as it is written.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetrySection {
    /// Retries per hundred requests.
    pub percent: Option<u32>,
    /// Retries a second, whatever the requests.
    pub per_second: Option<u32>,
    /// For how long a request counts.
    pub window_ms: Option<u64>,
}

/// The health settings of a pool. By default nothing is probed, and traffic tells.
#[derive(Clone, Debug)]
pub struct HealthSettings {
    /// What to ask the backends, and when.
    pub check: Option<CheckSettings>,
    /// What to learn from their answers to clients.
    pub outlier: Option<OutlierConfig>,
    /// How a backend that has come back grows to its share; at once without it.
    pub slow_start: Option<SlowStart>,
    /// What to do when too few are healthy.
    pub panic: PanicConfig,
    /// How many requests may be tried again.
    pub retries: RetryBudgetConfig,
    /// The circuit breaker of the pool.
    pub breaker: Option<BreakerConfig>,
    /// When to close the connections to a backend that is taken out.
    pub close: Close,
    /// How long a backend may drain.
    pub drain_limit: Option<Duration>,
}

impl Default for HealthSettings {
    fn default() -> Self {
        Self {
            check: None,
            outlier: Some(OutlierConfig::default()),
            slow_start: None,
            panic: PanicConfig::default(),
            retries: RetryBudgetConfig::default(),
            breaker: None,
            close: Close::default(),
            drain_limit: None,
        }
    }
}

impl HealthSettings {
    /// Checks a section that is written at `at`: `health` or `pools.web.health`. Reads the files of
    /// certificates that it names, and nothing else.
    ///
    /// # Errors
    /// The first setting that is out of range or contradicts another, by its name.
    pub fn new(at: &str, section: &HealthSection) -> Result<Self, StartError> {
        let at = |name: &str| format!("{at}.{name}");
        let check = section.check.as_ref().map(|check| check.check(&at("check"))).transpose()?;
        let slow_start = section.slow_start.map(|section| section.check(&at("slow_start")));
        let breaker = section
            .breaker
            .map(|builder| builder.build().map_err(|error| passive_error(&at("breaker"), error)));
        Ok(Self {
            check,
            outlier: passive(&at("passive"), section.passive.as_ref())?,
            slow_start: slow_start.transpose()?,
            panic: section.panic.unwrap_or_default().check(&at("panic"))?,
            retries: section.retries.unwrap_or_default().check(&at("retries"))?,
            breaker: breaker.transpose()?,
            close: section.close.clone().unwrap_or_default(),
            drain_limit: drain_limit(&at("drain_limit_ms"), section.drain_limit_ms)?,
        })
    }
}

/// 1 ms to a week.
fn drain_limit(at: &str, given: Option<u64>) -> Result<Option<Duration>, StartError> {
    const MAX: u64 = 7 * 24 * 3_600_000;
    match given {
        Some(ms) if !(1..=MAX).contains(&ms) => {
            let wrong = format!("{ms} is out of range; allowed are 1 to {MAX}");
            Err(StartError::new(at, wrong))
        }
        given => Ok(given.map(Duration::from_millis)),
    }
}

/// The settings of an [`OutlierBuilder`], and `enabled` beside them. Serde can't refuse unknown names
/// in a table whose settings belong to two types, so they are parted here.
fn passive(at: &str, written: Option<&toml::Table>) -> Result<Option<OutlierConfig>, StartError> {
    let Some(written) = written else { return Ok(Some(OutlierConfig::default())) };
    let mut settings = written.clone();
    let is_enabled = match settings.remove("enabled") {
        None => true,
        Some(toml::Value::Boolean(is_enabled)) => is_enabled,
        Some(_) => return Err(StartError::new(format!("{at}.enabled"), "neither true nor false")),
    };
    if !is_enabled {
        return match settings.keys().next() {
            None => Ok(None),
            Some(name) => {
                let wrong = format!("false, but `{name}` is set, which would then mean nothing");
                Err(StartError::new(format!("{at}.enabled"), wrong))
            }
        };
    }
    let builder: OutlierBuilder =
        toml::Value::Table(settings).try_into().map_err(|error| StartError::new(at, error))?;
    builder.build().map(Some).map_err(|error| passive_error(at, error))
}

impl SlowStartSection {
    fn check(self, at: &str) -> Result<SlowStart, StartError> {
        let wrong = |name, field, error| named(at, name, field, error);
        let mut slow_start = SlowStart::new(Duration::from_millis(self.window_ms))
            .map_err(|error| wrong("window_ms", "window", error))?;
        if let Some(aggression) = self.aggression {
            slow_start = slow_start
                .with_aggression(aggression)
                .map_err(|error| wrong("aggression", "aggression", error))?;
        }
        if let Some(floor) = self.floor {
            slow_start =
                slow_start.with_floor(floor).map_err(|error| wrong("floor", "floor", error))?;
        }
        Ok(slow_start)
    }
}

impl PanicSection {
    fn check(self, at: &str) -> Result<PanicConfig, StartError> {
        let default = PanicConfig::default();
        let mode = self.mode.unwrap_or(default.mode());
        let threshold = self.threshold.unwrap_or(default.threshold());
        PanicConfig::new(mode, threshold)
            .map_err(|error| named(at, "threshold", "threshold", error))
    }
}

impl RetrySection {
    fn check(self, at: &str) -> Result<RetryBudgetConfig, StartError> {
        const MAX_PERCENT: u32 = 1_000;
        let percent = self.percent.unwrap_or(20);
        if percent > MAX_PERCENT {
            let wrong = format!("{percent} is out of range; allowed are 0 to {MAX_PERCENT}");
            return Err(StartError::new(format!("{at}.percent"), wrong));
        }
        let window = Duration::from_millis(self.window_ms.unwrap_or(10_000));
        let per_second = self.per_second.unwrap_or(10);
        RetryBudgetConfig::new(f64::from(percent) / 100.0, per_second, window)
            .map_err(|error| passive_error(at, error))
    }
}

/// An error of `equipoise_health`, by the name that the setting has in the file.
fn passive_error(at: &str, error: PassiveConfigError) -> StartError {
    let (field, is_time) = match error {
        PassiveConfigError::Time { field, .. } => (field, true),
        PassiveConfigError::Number { field, .. } => (field, false),
        PassiveConfigError::Contradiction { field, .. } => (field, field.ends_with("_time")),
        other => return StartError::new(at, other),
    };
    let name = match field {
        "min_retries_per_second" => "per_second".to_owned(),
        "ttl" => "window_ms".to_owned(),
        time if is_time => format!("{time}_ms"),
        name => name.to_owned(),
    };
    named(at, &name, field, error)
}

/// An error that begins with its `field`, under the `name` that the file has for it.
fn named(at: &str, name: &str, field: &str, error: impl Display) -> StartError {
    let text = error.to_string();
    let wrong = text.strip_prefix(field).and_then(|text| text.strip_prefix(": "));
    StartError::new(format!("{at}.{name}"), wrong.unwrap_or(&text))
}

#[cfg(test)]
mod tests;
