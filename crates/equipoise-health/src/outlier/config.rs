//! The settings of outlier detection.

use core::time::Duration;

use equipoise_core::Runs;

use crate::PassiveConfigError;
use crate::backoff::Backoff;
use crate::passive_error::{check_number, check_time};

/// How an ejected backend comes back when its time is up.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Recovery {
    /// On trial: it gets one request at a time until one has an outcome. A success un-ejects it, a
    /// failure ejects it again, for longer.
    #[default]
    HalfOpen,
    /// At once, with all its traffic: the rule of gRFC A50 and Envoy.
    Full,
}

/// Settings of outlier detection that were checked. [`OutlierConfig::default`] has the defaults of
/// the [`OutlierBuilder`].
///
/// ```
/// use equipoise_health::OutlierConfig;
///
/// let config = OutlierConfig::builder().consecutive(3).max_ejection_percent(34).build()?;
/// let refused = OutlierConfig::builder().max_ejection_percent(101).build();
/// let error = refused.err().ok_or("refused")?;
/// assert_eq!(
///     error.to_string(),
///     "max_ejection_percent: 101 is out of range; allowed are 0 to 100"
/// );
/// # let _ = config;
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Default, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "OutlierBuilder", into = "OutlierBuilder"))]
pub struct OutlierConfig(OutlierBuilder);

impl OutlierConfig {
    /// Starts from the defaults.
    pub fn builder() -> OutlierBuilder {
        OutlierBuilder::default()
    }

    /// At which runs of failures [`on_runs`](super::on_runs) has something to say; 0: never.
    pub const fn thresholds(&self) -> Runs {
        let OutlierBuilder { consecutive, consecutive_gateway, consecutive_local, .. } = self.0;
        Runs {
            failures: consecutive,
            gateway: consecutive_gateway,
            local: consecutive_local,
            code: 0,
        }
    }

    /// How long the first ejection lasts.
    pub const fn base_ejection_time(&self) -> Duration {
        self.0.base_ejection_time
    }

    /// How often to sweep.
    pub const fn interval(&self) -> Duration {
        self.0.interval
    }

    /// How ejected backends come back.
    pub const fn recovery(&self) -> Recovery {
        self.0.recovery
    }

    pub(super) const fn settings(&self) -> &OutlierBuilder {
        &self.0
    }

    pub(super) const fn backoff(&self) -> Backoff {
        Backoff {
            base: self.0.base_ejection_time,
            max: self.0.max_ejection_time,
            jitter: self.0.ejection_time_jitter,
        }
    }
}

/// Whether one more backend may be ejected: `ejected` are out already, ejected or on trial, of
/// `countable` that would take requests if none were.
///
/// The limit holds after the ejection: `ejected + 1 <= floor(max_ejection_percent * countable /
/// 100)`, so of one backend none goes at 50 %, of two one, of three one. The last one stays in any
/// case, unless [`may_eject_last`](OutlierBuilder::may_eject_last) is set. One on trial counts, so
/// that its failing the trial can't break the limit. O(1).
///
/// Where backends leave the pool, more may be out than the limit allows; then nobody follows them,
/// and [`Ejection::clear`](super::Ejection::clear) brings one back early.
///
/// ```
/// use equipoise_health::OutlierConfig;
/// use equipoise_health::outlier::may_eject;
///
/// let config = OutlierConfig::default(); // 50 %
/// assert!(!may_eject(&config, 0, 1));
/// assert!(may_eject(&config, 0, 3));
/// assert!(!may_eject(&config, 1, 3));
/// ```
pub const fn may_eject(config: &OutlierConfig, ejected: usize, countable: usize) -> bool {
    let settings = config.settings();
    // 128 bits: no count overflows.
    let (after, countable) = (ejected as u128 + 1, countable as u128);
    let is_last = after == countable;
    after * 100 <= settings.max_ejection_percent as u128 * countable
        && (!is_last || settings.may_eject_last)
}

/// Settings of outlier detection that were not checked yet. Counts of 0 and factors of 0 switch
/// their detector off. Its serde form is a table of the settings by these names, times in
/// milliseconds with `_ms` at the end; what is missing has its default, unknown names are refused.
#[derive(Clone, Copy, PartialEq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[must_use = "settings do nothing until they are built"]
pub struct OutlierBuilder {
    pub(super) consecutive: u16,
    pub(super) consecutive_gateway: u16,
    pub(super) consecutive_local: u16,
    pub(super) split: bool,
    pub(super) success_rate_stdev_factor: f64,
    pub(super) success_rate_min_gap: f64,
    pub(super) success_rate_min_hosts: u32,
    pub(super) success_rate_min_volume: u32,
    pub(super) failure_percentage_threshold: u8,
    pub(super) failure_percentage_min_hosts: u32,
    pub(super) failure_percentage_min_volume: u32,
    pub(super) latency_factor: f64,
    pub(super) latency_min_ratio: f64,
    pub(super) latency_min_hosts: u32,
    pub(super) latency_min_volume: u32,
    #[cfg_attr(
        feature = "serde",
        serde(rename = "interval_ms", with = "crate::passive_error::millis")
    )]
    interval: Duration,
    pub(super) max_ejection_percent: u8,
    pub(super) may_eject_last: bool,
    #[cfg_attr(
        feature = "serde",
        serde(rename = "base_ejection_time_ms", with = "crate::passive_error::millis")
    )]
    base_ejection_time: Duration,
    #[cfg_attr(
        feature = "serde",
        serde(rename = "max_ejection_time_ms", with = "crate::passive_error::millis")
    )]
    max_ejection_time: Duration,
    ejection_time_jitter: f64,
    recovery: Recovery,
    pub(super) active_pass_unejects: bool,
    pub(super) general_failure_percentage: u8,
}

impl Default for OutlierBuilder {
    fn default() -> Self {
        Self {
            consecutive: 5,
            consecutive_gateway: 0,
            consecutive_local: 5,
            split: true,
            success_rate_stdev_factor: 1.9,
            success_rate_min_gap: 0.05,
            success_rate_min_hosts: 5,
            success_rate_min_volume: 100,
            failure_percentage_threshold: 85,
            failure_percentage_min_hosts: 5,
            failure_percentage_min_volume: 50,
            latency_factor: 0.0,
            latency_min_ratio: 2.0,
            latency_min_hosts: 5,
            latency_min_volume: 50,
            interval: Duration::from_secs(10),
            max_ejection_percent: 50,
            may_eject_last: false,
            base_ejection_time: Duration::from_secs(1),
            max_ejection_time: Duration::from_secs(30),
            ejection_time_jitter: 0.2,
            recovery: Recovery::HalfOpen,
            active_pass_unejects: true,
            general_failure_percentage: 70,
        }
    }
}

/// One setter a setting: they differ in nothing but the name.
macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident: $type:ty,)*) => {
        impl OutlierBuilder {
            $($(#[$doc])*
            pub const fn $name(mut self, $name: $type) -> Self {
                self.$name = $name;
                self
            })*
        }
    };
}

setters! {
    /// Failures in a row, of any kind, that eject. Default 5; 0 is off.
    consecutive: u16,
    /// Times 502, 503 or 504 in a row that eject. Default 0, off: what stands behind a backend is
    /// mostly behind its neighbours too.
    consecutive_gateway: u16,
    /// Failures in a row that the balancer saw itself (no connection, a reset, no answer in time)
    /// that eject. Default 5; 0 is off.
    consecutive_local: u16,
    /// Keeps failures of local and of upstream origin apart in the statistics (Envoy's
    /// `split_external_local_origin_errors`): the upstream ones count answered requests alone, the
    /// local ones count all attempts, and neither thins out the other. Default true; Envoy's is
    /// false.
    split: bool,
    /// A backend whose success rate is below the mean of all minus so many standard deviations is
    /// ejected. Default 1.9, as gRFC A50 and Envoy have it; 0 is off, at most 100. Of n backends a
    /// single one can't be further from the mean than sqrt(n - 1) standard deviations: with 1.9,
    /// nothing can happen among fewer than five.
    success_rate_stdev_factor: f64,
    /// ... and by at least this much, 0 to 1. Default 0.05: where all others are perfect, any
    /// failure is many deviations away. 0 is the rule of gRFC A50.
    success_rate_min_gap: f64,
    /// ... if so many backends have enough requests, 2 or more. Default 5.
    success_rate_min_hosts: u32,
    /// ... and it has had so many in the interval, 1 or more. Default 100.
    success_rate_min_volume: u32,
    /// A backend of whose requests so many percent failed, or more, is ejected, whatever the others
    /// do. Default 85, on, where Envoy has it off: deviations are blind where two of five fail,
    /// and the limit is strict, so a wrong one has its bounds. 0 is off.
    failure_percentage_threshold: u8,
    /// ... if the pool has so many countable backends, 1 or more. Default 5.
    failure_percentage_min_hosts: u32,
    /// ... and it has had so many requests in the interval, 1 or more. Default 50.
    failure_percentage_min_volume: u32,
    /// A backend that answers, but slowly (a grey failure): if the mean latency of its successes is
    /// above the median of all by so many deviations, it is ejected. A deviation is the median
    /// absolute deviation times 1.4826 (which estimates sigma, and which slow backends do not
    /// widen), or 10 % of the median if that is more. Default 0, off: only who knows that all
    /// backends do the same work can call one slow. 3 is usual (Leys et al. 2013); at most 100.
    latency_factor: f64,
    /// ... and at least so many times the median, 1 to 1,000. Default 2.
    latency_min_ratio: f64,
    /// ... if so many backends have enough successes, 3 or more. Default 5.
    latency_min_hosts: u32,
    /// ... and it has had so many in the interval, 1 or more. Default 50.
    latency_min_volume: u32,
    /// From one sweep to the next, 1 ms to a day. Default 10 s.
    interval: Duration,
    /// So many percent of the backends may be out at once, 0 to 100, rounded down. Default 50. See
    /// [`may_eject`].
    max_ejection_percent: u8,
    /// Lets the last backend go too, which needs a limit of 100 %. Default false.
    may_eject_last: bool,
    /// How long the first ejection lasts, 1 ms to a day. Each that follows is longer by as much.
    /// Default 1 s, where Envoy has 30 s: coming back costs one request here.
    base_ejection_time: Duration,
    /// How long an ejection lasts at most, from the base time to a day. Default 30 s.
    max_ejection_time: Duration,
    /// By what part of itself a random draw lengthens an ejection at most, 0 to 1: what was ejected
    /// together comes back one by one. Default 0.2.
    ejection_time_jitter: f64,
    /// How ejected backends come back. Default [`Recovery::HalfOpen`].
    recovery: Recovery,
    /// Whether an active check that passes un-ejects (Envoy's
    /// `successful_active_health_check_uneject_host`). Default true. The one that the failing requests
    /// have called for does not: it would undo the ejection at once. Nor does any within the base time,
    /// unless no connection or answer was to be had: then a check knows as much as clients do; or unless it
    /// had failed too.
    active_pass_unejects: bool,
    /// Where so many percent of the requests of the backends that are left fail, 0 to 100, nobody
    /// is an outlier: see [`Guard`](super::Guard). Default 70; 0 is off.
    general_failure_percentage: u8,
}

impl OutlierBuilder {
    /// Checks the settings.
    ///
    /// # Errors
    /// The first that is out of range or contradicts another, by its name.
    pub fn build(self) -> Result<OutlierConfig, PassiveConfigError> {
        let counts = [
            ("success_rate_min_hosts", self.success_rate_min_hosts, 2),
            ("success_rate_min_volume", self.success_rate_min_volume, 1),
            ("failure_percentage_min_hosts", self.failure_percentage_min_hosts, 1),
            ("failure_percentage_min_volume", self.failure_percentage_min_volume, 1),
            ("latency_min_hosts", self.latency_min_hosts, 3),
            ("latency_min_volume", self.latency_min_volume, 1),
        ];
        for (field, given, min) in counts {
            check_number(field, f64::from(given), f64::from(min)..=f64::from(u32::MAX))?;
        }
        check_number("success_rate_stdev_factor", self.success_rate_stdev_factor, 0.0..=100.0)?;
        check_number("success_rate_min_gap", self.success_rate_min_gap, 0.0..=1.0)?;
        let threshold = f64::from(self.failure_percentage_threshold);
        check_number("failure_percentage_threshold", threshold, 0.0..=100.0)?;
        check_number("latency_factor", self.latency_factor, 0.0..=100.0)?;
        check_number("latency_min_ratio", self.latency_min_ratio, 1.0..=1_000.0)?;
        let percent = f64::from(self.max_ejection_percent);
        check_number("max_ejection_percent", percent, 0.0..=100.0)?;
        let percent = f64::from(self.general_failure_percentage);
        check_number("general_failure_percentage", percent, 0.0..=100.0)?;
        check_number("ejection_time_jitter", self.ejection_time_jitter, 0.0..=1.0)?;
        check_time("interval", self.interval)?;
        check_time("base_ejection_time", self.base_ejection_time)?;
        check_time("max_ejection_time", self.max_ejection_time)?;
        let contradiction =
            |field, because| Err(PassiveConfigError::Contradiction { field, because });
        if self.max_ejection_time < self.base_ejection_time {
            return contradiction("max_ejection_time", "is shorter than base_ejection_time");
        }
        if self.may_eject_last && self.max_ejection_percent < 100 {
            return contradiction("may_eject_last", "needs a max_ejection_percent of 100");
        }
        Ok(OutlierConfig(self))
    }
}

impl TryFrom<OutlierBuilder> for OutlierConfig {
    type Error = PassiveConfigError;

    fn try_from(builder: OutlierBuilder) -> Result<Self, PassiveConfigError> {
        builder.build()
    }
}

impl From<OutlierConfig> for OutlierBuilder {
    /// To change some settings of a configuration.
    fn from(config: OutlierConfig) -> Self {
        config.0
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn the_defaults_are_allowed() {
        assert_eq!(OutlierBuilder::default().build(), Ok(OutlierConfig::default()));
    }

    #[test]
    fn settings_out_of_range_are_refused_by_name() {
        let b = OutlierConfig::builder;
        let zero = Duration::ZERO;
        let refused = [
            (b().success_rate_min_hosts(1), "success_rate_min_hosts"),
            (b().success_rate_min_volume(0), "success_rate_min_volume"),
            (b().success_rate_stdev_factor(-1.0), "success_rate_stdev_factor"),
            (b().success_rate_stdev_factor(f64::NAN), "success_rate_stdev_factor"),
            (b().success_rate_min_gap(1.5), "success_rate_min_gap"),
            (b().failure_percentage_min_hosts(0), "failure_percentage_min_hosts"),
            (b().failure_percentage_min_volume(0), "failure_percentage_min_volume"),
            (b().failure_percentage_threshold(101), "failure_percentage_threshold"),
            (b().latency_factor(f64::INFINITY), "latency_factor"),
            (b().latency_min_ratio(0.5), "latency_min_ratio"),
            (b().latency_min_hosts(2), "latency_min_hosts"),
            (b().latency_min_volume(0), "latency_min_volume"),
            (b().interval(zero), "interval"),
            (b().base_ejection_time(zero), "base_ejection_time"),
            (b().max_ejection_time(Duration::MAX), "max_ejection_time"),
            (b().max_ejection_time(Duration::from_millis(999)), "max_ejection_time"),
            (b().max_ejection_percent(101), "max_ejection_percent"),
            (b().general_failure_percentage(101), "general_failure_percentage"),
            (b().ejection_time_jitter(1.1), "ejection_time_jitter"),
            (b().may_eject_last(true), "may_eject_last"),
        ];
        for (builder, field) in refused {
            let error = builder.build().expect_err(field).to_string();
            assert!(error.starts_with(&alloc::format!("{field}: ")), "{error}");
        }
    }

    #[test]
    fn the_last_may_go_only_if_asked() {
        let all = OutlierConfig::builder().max_ejection_percent(100);
        let (all, last) = (all.build().unwrap(), all.may_eject_last(true).build().unwrap());
        assert!(may_eject(&all, 1, 3));
        assert!(!may_eject(&all, 2, 3));
        assert!(may_eject(&last, 2, 3));
        assert!(!may_eject(&last, 3, 3));
        assert!(!may_eject(&last, usize::MAX, usize::MAX));
        assert!(!may_eject(&last, 0, 0));
    }
}
