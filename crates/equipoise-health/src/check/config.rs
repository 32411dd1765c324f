//! The settings of the active check.

use core::time::Duration;

use super::CheckConfigError;

/// When backends are checked, and how many answers in a row decide. One for the whole pool: a
/// [`Check`](crate::Check) keeps no copy.
///
/// | setting | default | allowed |
/// |---|---|---|
/// | [`rise`](CheckConfigBuilder::rise), [`fall`](CheckConfigBuilder::fall) | 2, 3 | 1 to 65,535 |
/// | [`up`](CheckConfigBuilder::up), [`down`](CheckConfigBuilder::down) | 2 s | 1 ms to 1 day |
/// | [`going_down`](CheckConfigBuilder::going_down) | 500 ms | 1 ms to 1 day |
/// | [`no_traffic`](CheckConfigBuilder::no_traffic) | none: as `up` | `up` to 1 day |
/// | [`timeout`](CheckConfigBuilder::timeout) | 500 ms | 1 ms to the shortest interval |
/// | [`jitter`](CheckConfigBuilder::jitter) | 0.1 | 0 to 0.5 |
/// | [`spread`](CheckConfigBuilder::spread) | yes | |
/// | [`initial`](CheckConfigBuilder::initial) | [`InitialHealth::FirstCheck`] | |
///
/// Rise and fall have HAProxy's defaults. Its intervals are `inter`, `fastinter`, `downinter` in the
/// same roles as `up`, `going_down` and `down` here; its jitter is `spread-checks`, both up and down,
/// at most 50 %.
///
/// With the feature `serde` it reads a table of these names, the durations in milliseconds and with
/// `_ms` behind the name (`going_down_ms`). What is unknown, out of range or contradictory is refused.
///
/// ```
/// use core::time::Duration;
/// use equipoise_health::{CheckConfig, InitialHealth};
///
/// let config = CheckConfig::builder()
///     .fall(2)
///     .up(Duration::from_secs(1))
///     .initial(InitialHealth::FirstN(3))
///     .build()?;
/// assert_eq!(config.detection_bound(), Duration::from_millis(1100 + 550 + 500));
///
/// let error = CheckConfig::builder().timeout(Duration::from_secs(1)).build().unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "timeout: 1s is longer than going_down, 500ms: a check must end before the next one is due"
/// );
/// # Ok::<(), equipoise_health::CheckConfigError>(())
/// ```
#[derive(Clone, PartialEq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(into = "stored::Stored", try_from = "stored::Stored"))]
pub struct CheckConfig {
    rise: u16,
    fall: u16,
    up: Duration,
    going_down: Duration,
    down: Duration,
    no_traffic: Option<Duration>,
    timeout: Duration,
    jitter: f64,
    spread: bool,
    initial: InitialHealth,
}

/// What a backend is before its first checks.
///
/// | mode | gets traffic before the first check | HAProxy's `init-state` (3.1) |
/// |---|---|---|
/// | [`Up`](Self::Up) | yes | `fully-up` |
/// | [`Down`](Self::Down) | no | `fully-down` |
/// | [`FirstCheck`](Self::FirstCheck) | no | `down` |
/// | [`FirstN`](Self::FirstN) | no | none; asked for in haproxy#3405 |
///
/// HAProxy's default, `up`, is not among them: there a backend gets traffic at once and its first
/// check decides alone, so one lost packet after a restart takes it out. Here `Up` and `Down` count
/// like any other time: `fall` failures or `rise` passes in a row change them. Envoy has `FirstCheck`
/// alone.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum InitialHealth {
    /// Up, as if it had passed: `fall` failures in a row take it down.
    Up,
    /// Down, as if it had failed: `rise` passes in a row bring it up.
    Down,
    /// Pending, until the first check decides alone.
    #[default]
    FirstCheck,
    /// Pending. The first pass among the first so many checks brings it up at once; if all of them
    /// fail, it is down. For networks that need some time after a start. At least 1, which is
    /// `FirstCheck`.
    FirstN(u16),
}

impl InitialHealth {
    /// How many failures in a row take a pending backend down.
    pub(super) const fn tries(self) -> u16 {
        match self {
            Self::FirstN(n) => n,
            Self::Up | Self::Down | Self::FirstCheck => 1,
        }
    }
}

impl CheckConfig {
    /// The shortest interval and time-out.
    pub const SHORTEST: Duration = Duration::from_millis(1);
    /// The longest interval.
    pub const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
    /// The largest jitter.
    pub const MAX_JITTER: f64 = 0.5;

    /// Starts from the defaults.
    pub const fn builder() -> CheckConfigBuilder {
        CheckConfigBuilder(Self::DEFAULT)
    }

    const DEFAULT: Self = Self {
        rise: 2,
        fall: 3,
        up: Duration::from_secs(2),
        going_down: Duration::from_millis(500),
        down: Duration::from_secs(2),
        no_traffic: None,
        timeout: Duration::from_millis(500),
        jitter: 0.1,
        spread: true,
        initial: InitialHealth::FirstCheck,
    };

    /// How many passes in a row bring a backend up that is down.
    pub const fn rise(&self) -> u16 {
        self.rise
    }

    /// How many failures in a row take a backend down that is up.
    pub const fn fall(&self) -> u16 {
        self.fall
    }

    /// From one check of a backend that is up to the next.
    pub const fn up(&self) -> Duration {
        self.up
    }

    /// From one check to the next while a change is on its way.
    pub const fn going_down(&self) -> Duration {
        self.going_down
    }

    /// From one check of a backend that is down to the next.
    pub const fn down(&self) -> Duration {
        self.down
    }

    /// From one check of a backend that is up and not in use to the next, if that differs.
    pub const fn no_traffic(&self) -> Option<Duration> {
        self.no_traffic
    }

    /// How long a backend has for its answer.
    pub const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// By which fraction of itself an interval varies, up and down.
    pub const fn jitter(&self) -> f64 {
        self.jitter
    }

    /// Whether the first check comes at a random time.
    pub const fn spread(&self) -> bool {
        self.spread
    }

    /// What a backend is before its first checks.
    pub const fn initial(&self) -> InitialHealth {
        self.initial
    }

    /// The longest time from a backend's death to its transition to down:
    ///
    /// (1 + jitter) × (max(up, no_traffic) + (fall − 1) × going_down) + timeout
    ///
    /// The backend dies right after a check that it has passed, so the next one is a whole interval
    /// away; each failure calls for the next check, and the last one times out. It holds for a driver
    /// that calls [`poll`](crate::Check::poll) at the deadline; add its delays. A backend that is in
    /// use when it dies, is found as if there were no `no_traffic`.
    pub fn detection_bound(&self) -> Duration {
        let steady = self.up.max(self.no_traffic.unwrap_or_default());
        self.bound(steady, self.fall)
    }

    /// The longest time from the return of a backend that is down to its transition to up:
    ///
    /// (1 + jitter) × (down + (rise − 1) × going_down) + timeout
    ///
    /// It returns right after a check that it has failed, and each of its passes takes just as long as
    /// it may. [`Check::check_now`](crate::Check::check_now) cuts the first interval short.
    pub fn recovery_bound(&self) -> Duration {
        self.bound(self.down, self.rise)
    }

    fn bound(&self, first: Duration, answers: u16) -> Duration {
        let more = u32::from(answers.saturating_sub(1));
        let steps = self.longest(self.going_down).saturating_mul(more);
        self.longest(first).saturating_add(steps).saturating_add(self.timeout)
    }

    /// The most that jitter can make of an interval.
    pub(super) fn longest(&self, interval: Duration) -> Duration {
        interval.saturating_add(self.deviation(interval))
    }

    /// How far jitter can move an interval. Exact to the nanosecond up to 104 days.
    pub(super) fn deviation(&self, interval: Duration) -> Duration {
        Duration::from_nanos((nanos(interval) as f64 * self.jitter) as u64)
    }
}

impl Default for CheckConfig {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Whole nanoseconds; an interval has at most a day.
pub(super) fn nanos(interval: Duration) -> u64 {
    u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX)
}

/// Makes a [`CheckConfig`].
#[derive(Clone, Debug)]
#[must_use = "it does nothing until it is built"]
pub struct CheckConfigBuilder(CheckConfig);

impl CheckConfigBuilder {
    /// How many passes in a row bring a backend up that is down.
    pub const fn rise(mut self, passes: u16) -> Self {
        self.0.rise = passes;
        self
    }

    /// How many failures in a row take a backend down that is up.
    pub const fn fall(mut self, failures: u16) -> Self {
        self.0.fall = failures;
        self
    }

    /// The interval while a backend is up and passes. All intervals count from the start of one check
    /// to the start of the next.
    pub const fn up(mut self, interval: Duration) -> Self {
        self.0.up = interval;
        self
    }

    /// The interval while a change is on its way: after a failure of a backend that is up, after a pass
    /// of one that is down, and while one is pending. Usually shorter than the others, for a quick
    /// verdict.
    pub const fn going_down(mut self, interval: Duration) -> Self {
        self.0.going_down = interval;
        self
    }

    /// The interval while a backend is down and fails.
    pub const fn down(mut self, interval: Duration) -> Self {
        self.0.down = interval;
        self
    }

    /// The interval while a backend is up and no request goes there; not shorter than `up`. Its first
    /// request ends it: the backend is then checked within one interval of `up`.
    pub const fn no_traffic(mut self, interval: Option<Duration>) -> Self {
        self.0.no_traffic = interval;
        self
    }

    /// How long a backend has for its answer; not longer than any interval.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.0.timeout = timeout;
        self
    }

    /// By which fraction of itself each interval varies at random, up and down, so that checks of many
    /// backends, or by many balancers, don't fall into step.
    pub const fn jitter(mut self, fraction: f64) -> Self {
        self.0.jitter = fraction;
        self
    }

    /// Whether the first check comes at a random time within the first interval (while pending: within
    /// the first 200 ms, since nothing goes to the backend before), rather than at once. Otherwise a
    /// start with many backends begins with a burst.
    pub const fn spread(mut self, spread: bool) -> Self {
        self.0.spread = spread;
        self
    }

    /// What a backend is before its first checks.
    pub const fn initial(mut self, initial: InitialHealth) -> Self {
        self.0.initial = initial;
        self
    }

    /// The settings, checked.
    ///
    /// # Errors
    /// The first setting that is out of range or contradicts another.
    pub fn build(self) -> Result<CheckConfig, CheckConfigError> {
        let config = self.0;
        let intervals = [
            ("up", Some(config.up)),
            ("going_down", Some(config.going_down)),
            ("down", Some(config.down)),
            ("no_traffic", config.no_traffic),
        ];
        let tries = config.initial.tries();
        for (field, count) in [("rise", config.rise), ("fall", config.fall), ("first_n", tries)] {
            if count == 0 {
                return Err(CheckConfigError::Zero { field });
            }
        }
        let durations = intervals.into_iter().chain([("timeout", Some(config.timeout))]);
        for (field, value) in durations.filter_map(|(field, d)| Some((field, d?))) {
            if !(CheckConfig::SHORTEST..=CheckConfig::LONGEST).contains(&value) {
                return Err(CheckConfigError::Duration { field, value });
            }
        }
        for (field, interval) in intervals.into_iter().filter_map(|(field, d)| Some((field, d?))) {
            if config.timeout > interval {
                let timeout = config.timeout;
                return Err(CheckConfigError::Timeout { timeout, field, interval });
            }
        }
        if let Some(no_traffic) = config.no_traffic.filter(|&interval| interval < config.up) {
            return Err(CheckConfigError::NoTraffic { no_traffic, up: config.up });
        }
        // Not a comparison of the other kind: NaN must fail.
        if !(0.0..=CheckConfig::MAX_JITTER).contains(&config.jitter) {
            return Err(CheckConfigError::Jitter { value: config.jitter });
        }
        Ok(config)
    }
}

#[cfg(feature = "serde")]
mod stored {
    use core::time::Duration;

    use super::{CheckConfig, CheckConfigBuilder, InitialHealth, nanos};
    use crate::check::CheckConfigError;

    #[derive(serde::Serialize, serde::Deserialize)]
    #[serde(deny_unknown_fields, default)]
    pub(super) struct Stored {
        rise: u16,
        fall: u16,
        up_ms: u64,
        going_down_ms: u64,
        down_ms: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        no_traffic_ms: Option<u64>,
        timeout_ms: u64,
        jitter: f64,
        spread: bool,
        initial: InitialHealth,
    }

    impl Default for Stored {
        fn default() -> Self {
            CheckConfig::default().into()
        }
    }

    impl From<CheckConfig> for Stored {
        fn from(config: CheckConfig) -> Self {
            let millis = |duration| nanos(duration) / 1_000_000;
            Self {
                rise: config.rise,
                fall: config.fall,
                up_ms: millis(config.up),
                going_down_ms: millis(config.going_down),
                down_ms: millis(config.down),
                no_traffic_ms: config.no_traffic.map(millis),
                timeout_ms: millis(config.timeout),
                jitter: config.jitter,
                spread: config.spread,
                initial: config.initial,
            }
        }
    }

    impl TryFrom<Stored> for CheckConfig {
        type Error = CheckConfigError;

        fn try_from(stored: Stored) -> Result<Self, CheckConfigError> {
            CheckConfigBuilder(Self {
                rise: stored.rise,
                fall: stored.fall,
                up: Duration::from_millis(stored.up_ms),
                going_down: Duration::from_millis(stored.going_down_ms),
                down: Duration::from_millis(stored.down_ms),
                no_traffic: stored.no_traffic_ms.map(Duration::from_millis),
                timeout: Duration::from_millis(stored.timeout_ms),
                jitter: stored.jitter,
                spread: stored.spread,
                initial: stored.initial,
            })
            .build()
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn error(builder: CheckConfigBuilder) -> alloc::string::String {
        builder.build().unwrap_err().to_string()
    }

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(CheckConfig::builder().build(), Ok(CheckConfig::default()));
    }

    #[test]
    fn every_wrong_setting_is_refused_by_name() {
        let new = CheckConfig::builder;
        let range = "0ns is out of range: 1 ms to 1 day are allowed";
        let first = |n| new().initial(InitialHealth::FirstN(n));
        assert_eq!(error(new().rise(0)), "rise: 0 is out of range: 1 to 65535 are allowed");
        assert_eq!(error(new().fall(0)), "fall: 0 is out of range: 1 to 65535 are allowed");
        assert_eq!(error(first(0)), "first_n: 0 is out of range: 1 to 65535 are allowed");
        assert_eq!(error(new().up(MS(0))), ["up: ", range].concat());
        assert_eq!(error(new().going_down(MS(0))), ["going_down: ", range].concat());
        assert_eq!(error(new().down(MS(0))), ["down: ", range].concat());
        assert_eq!(error(new().no_traffic(Some(MS(0)))), ["no_traffic: ", range].concat());
        assert_eq!(error(new().timeout(MS(0))), ["timeout: ", range].concat());
        assert!(error(new().up(MS(86_400_001))).starts_with("up: 86400.001s is out of range"));
        for (field, builder) in [
            ("up", new().up(MS(400))),
            ("going_down", new().going_down(MS(400))),
            ("down", new().down(MS(400))),
        ] {
            let start = ["timeout: 500ms is longer than ", field, ", 400ms"].concat();
            assert!(error(builder).starts_with(&start), "{field}");
        }
        assert_eq!(
            error(new().no_traffic(Some(MS(1999)))),
            "no_traffic: 1.999s is shorter than up, 2s"
        );
        for jitter in [-0.001, 0.501, f64::NAN, f64::INFINITY] {
            let got = error(new().jitter(jitter));
            assert!(got.starts_with("jitter: ") && got.ends_with("0 to 0.5 are allowed"), "{got}");
        }
    }

    #[test]
    fn the_limits_are_allowed() {
        let day = CheckConfig::LONGEST;
        let all = |d| CheckConfig::builder().up(d).going_down(d).down(d).no_traffic(Some(d));
        assert!(all(day).timeout(day).jitter(0.5).rise(u16::MAX).fall(u16::MAX).build().is_ok());
        assert!(all(MS(1)).timeout(MS(1)).jitter(0.0).rise(1).fall(1).build().is_ok());
    }

    #[cfg(feature = "serde")]
    #[test]
    fn it_reads_what_it_writes_and_refuses_the_unknown() {
        let config: CheckConfig = serde_json::from_str(
            r#"{"fall": 2, "up_ms": 1000, "no_traffic_ms": 60000, "initial": {"first_n": 3}}"#,
        )
        .unwrap();
        assert_eq!(config.fall(), 2);
        assert_eq!(config.rise(), 2);
        assert_eq!(config.no_traffic(), Some(MS(60_000)));
        assert_eq!(config.initial(), InitialHealth::FirstN(3));
        let written = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<CheckConfig>(&written).unwrap(), config);

        let refused = |json| serde_json::from_str::<CheckConfig>(json).unwrap_err().to_string();
        assert!(refused(r#"{"intervall_ms": 5}"#).contains("intervall_ms"));
        assert!(refused(r#"{"rise": 0}"#).contains("rise: 0 is out of range"));
        assert!(refused(r#"{"timeout_ms": 3000}"#).contains("timeout: 3s is longer than up, 2s"));
    }
}
