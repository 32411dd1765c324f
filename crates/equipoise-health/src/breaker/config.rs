//! The settings of a circuit breaker.

use core::time::Duration;

use crate::PassiveConfigError;
use crate::backoff::Backoff;
use crate::passive_error::{check_number, check_time};

/// Settings of a circuit breaker that were checked.
///
/// ```
/// use equipoise_health::BreakerConfig;
///
/// let config = BreakerConfig::builder().consecutive(3).max_in_flight(100).build()?;
/// assert!(BreakerConfig::builder().max_in_flight(0).build().is_err());
/// # let _ = config;
/// # Ok::<(), equipoise_health::PassiveConfigError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Default, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "BreakerBuilder", into = "BreakerBuilder"))]
pub struct BreakerConfig(BreakerBuilder);

impl BreakerConfig {
    /// Starts from the defaults.
    pub fn builder() -> BreakerBuilder {
        BreakerBuilder::default()
    }

    pub(super) const fn settings(&self) -> &BreakerBuilder {
        &self.0
    }

    pub(super) const fn backoff(&self) -> Backoff {
        Backoff {
            base: self.0.open_time,
            max: self.0.max_open_time,
            jitter: self.0.open_time_jitter,
        }
    }
}

/// Settings of a circuit breaker that were not checked yet. Its serde form is a table of the
/// settings by these names, times in milliseconds with `_ms` at the end; what is missing has its
/// default, unknown names are refused.
#[derive(Clone, Copy, PartialEq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[must_use = "settings do nothing until they are built"]
pub struct BreakerBuilder {
    pub(super) consecutive: u32,
    pub(super) failure_percentage: u8,
    pub(super) min_volume: u32,
    #[cfg_attr(
        feature = "serde",
        serde(rename = "window_ms", with = "crate::passive_error::millis")
    )]
    pub(super) window: Duration,
    #[cfg_attr(
        feature = "serde",
        serde(rename = "open_time_ms", with = "crate::passive_error::millis")
    )]
    open_time: Duration,
    #[cfg_attr(
        feature = "serde",
        serde(rename = "max_open_time_ms", with = "crate::passive_error::millis")
    )]
    max_open_time: Duration,
    open_time_jitter: f64,
    pub(super) successes_to_close: u32,
    pub(super) max_in_flight: u32,
}

impl Default for BreakerBuilder {
    fn default() -> Self {
        Self {
            consecutive: 5,
            failure_percentage: 50,
            min_volume: 20,
            window: Duration::from_secs(10),
            open_time: Duration::from_secs(1),
            max_open_time: Duration::from_secs(30),
            open_time_jitter: 0.2,
            successes_to_close: 1,
            max_in_flight: u32::MAX,
        }
    }
}

impl BreakerBuilder {
    /// Failures in a row that open it. Default 5; 0 is off.
    pub const fn consecutive(mut self, failures: u32) -> Self {
        self.consecutive = failures;
        self
    }

    /// It opens if so many percent of the window's requests failed, or more. Default 50; 0 is off.
    pub const fn failure_percentage(mut self, percent: u8) -> Self {
        self.failure_percentage = percent;
        self
    }

    /// ... of so many requests at least, 1 or more. Default 20.
    pub const fn min_volume(mut self, requests: u32) -> Self {
        self.min_volume = requests;
        self
    }

    /// How far back the failure percentage looks, 1 ms to a day. Default 10 s.
    pub const fn window(mut self, window: Duration) -> Self {
        self.window = window;
        self
    }

    /// How long it is open the first time, 1 ms to a day. Each time that follows is longer by as
    /// much, until it has been closed for a whole window. Default 1 s.
    pub const fn open_time(mut self, time: Duration) -> Self {
        self.open_time = time;
        self
    }

    /// How long it is open at most, from the open time to a day. Default 30 s.
    pub const fn max_open_time(mut self, time: Duration) -> Self {
        self.max_open_time = time;
        self
    }

    /// By what part of itself a random draw lengthens the open time at most, 0 to 1. Default 0.2.
    pub const fn open_time_jitter(mut self, part: f64) -> Self {
        self.open_time_jitter = part;
        self
    }

    /// Successes, one after the other, that close it again, 1 or more. Default 1.
    pub const fn successes_to_close(mut self, successes: u32) -> Self {
        self.successes_to_close = successes;
        self
    }

    /// So many requests may be in flight at once, 1 or more. Exact. Default 2³² - 1: no cap.
    pub const fn max_in_flight(mut self, requests: u32) -> Self {
        self.max_in_flight = requests;
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// The first that is out of range or contradicts another, by its name.
    pub fn build(self) -> Result<BreakerConfig, PassiveConfigError> {
        let counts = [
            ("min_volume", self.min_volume),
            ("successes_to_close", self.successes_to_close),
            ("max_in_flight", self.max_in_flight),
        ];
        for (field, given) in counts {
            check_number(field, f64::from(given), 1.0..=f64::from(u32::MAX))?;
        }
        check_number("failure_percentage", f64::from(self.failure_percentage), 0.0..=100.0)?;
        check_number("open_time_jitter", self.open_time_jitter, 0.0..=1.0)?;
        check_time("window", self.window)?;
        check_time("open_time", self.open_time)?;
        check_time("max_open_time", self.max_open_time)?;
        if self.max_open_time < self.open_time {
            let because = "is shorter than open_time";
            return Err(PassiveConfigError::Contradiction { field: "max_open_time", because });
        }
        Ok(BreakerConfig(self))
    }
}

impl TryFrom<BreakerBuilder> for BreakerConfig {
    type Error = PassiveConfigError;

    fn try_from(builder: BreakerBuilder) -> Result<Self, PassiveConfigError> {
        builder.build()
    }
}

impl From<BreakerConfig> for BreakerBuilder {
    /// To change some settings of a configuration.
    fn from(config: BreakerConfig) -> Self {
        config.0
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn settings_out_of_range_are_refused_by_name() {
        let b = BreakerConfig::builder;
        assert_eq!(b().build(), Ok(BreakerConfig::default()));
        let refused = [
            (b().min_volume(0), "min_volume"),
            (b().successes_to_close(0), "successes_to_close"),
            (b().max_in_flight(0), "max_in_flight"),
            (b().failure_percentage(101), "failure_percentage"),
            (b().open_time_jitter(f64::NAN), "open_time_jitter"),
            (b().window(Duration::ZERO), "window"),
            (b().open_time(Duration::ZERO), "open_time"),
            (b().max_open_time(Duration::MAX), "max_open_time"),
            (b().max_open_time(Duration::from_millis(1)), "max_open_time"),
        ];
        for (builder, field) in refused {
            let error = builder.build().expect_err(field).to_string();
            assert!(error.starts_with(&alloc::format!("{field}: ")), "{error}");
        }
    }
}
