//! Slow start: a backend that comes back gets its traffic by degrees.

mod power;

use core::fmt;
use core::time::Duration;

use equipoise_core::Share;

use self::power::power;

/// How a backend that has come back, or joined, grows to its full weight.
///
/// Caches are cold and connection pools empty after a start, so a full share at once can take a backend
/// down again. For a time t since it came back, below the window, its share of its own weight is
///
/// max(floor, (t / window) ^ (1 / aggression))
///
/// as in [Envoy]. With aggression 1 it grows linearly, as HAProxy's `slowstart` does; a larger one gives
/// more in the beginning, a smaller one less. Envoy counts the first second as a whole; here time counts
/// from the first moment, and the floor is what keeps the share above 0. HAProxy's floor is 1 %.
///
/// | setting | default | allowed |
/// |---|---|---|
/// | `window` | | 1 ms to 1 day |
/// | `aggression` | 1 | 0.1 to 10 |
/// | `floor` | 10 % | 1 to 100 % |
///
/// The floor is never 0: every live backend gets something, or nobody would ever know whether it works
/// (envoy#29259).
///
/// With the feature `serde` it reads a table of `window_ms`, `aggression` and `floor`.
///
/// ```
/// use core::time::Duration;
/// use equipoise_core::Share;
/// use equipoise_health::SlowStart;
///
/// let slow_start = SlowStart::new(Duration::from_secs(30))?;
/// let share = slow_start.share(Duration::from_secs(15));
/// assert_eq!(share.get(), 0.5);
/// assert_eq!(slow_start.share(Duration::from_secs(30)), Share::FULL);
/// # Ok::<(), equipoise_health::SlowStartError>(())
/// ```
///
/// [Envoy]: https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/load_balancing/slow_start
#[derive(Clone, Copy, PartialEq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(into = "stored::Stored", try_from = "stored::Stored"))]
pub struct SlowStart {
    window: Duration,
    aggression: f64,
    floor: u8,
}

/// All of it, in the units of a [`Share`].
const FULL: u32 = Share::FULL.units();

impl SlowStart {
    /// The shortest window.
    pub const SHORTEST: Duration = Duration::from_millis(1);
    /// The longest window.
    pub const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
    /// The smallest and the largest aggression.
    pub const AGGRESSION: core::ops::RangeInclusive<f64> = 0.1..=10.0;

    /// Steps from nothing to the full share.
    const STEPS: f64 = 20.0;
    /// Each step is a new snapshot of the pool, so they keep a distance.
    const STEP: Duration = Duration::from_millis(50);

    /// Grows linearly over the window, from 10 %.
    ///
    /// # Errors
    /// If the window is not in 1 ms to 1 day.
    pub fn new(window: Duration) -> Result<Self, SlowStartError> {
        if (Self::SHORTEST..=Self::LONGEST).contains(&window) {
            Ok(Self { window, aggression: 1.0, floor: 10 })
        } else {
            Err(SlowStartError::Window { value: window })
        }
    }

    /// Sets the aggression.
    ///
    /// # Errors
    /// If it is not in 0.1 to 10.
    pub fn with_aggression(self, aggression: f64) -> Result<Self, SlowStartError> {
        if Self::AGGRESSION.contains(&aggression) {
            Ok(Self { aggression, ..self })
        } else {
            Err(SlowStartError::Aggression { value: aggression })
        }
    }

    /// Sets the smallest share, in percent.
    ///
    /// # Errors
    /// If it is not in 1 to 100.
    pub fn with_floor(self, percent: u8) -> Result<Self, SlowStartError> {
        if (1..=100).contains(&percent) {
            Ok(Self { floor: percent, ..self })
        } else {
            Err(SlowStartError::Floor { value: percent })
        }
    }

    /// How long it takes.
    pub const fn window(&self) -> Duration {
        self.window
    }

    /// How fast it begins; 1 is linear.
    pub const fn aggression(&self) -> f64 {
        self.aggression
    }

    /// The smallest share, in percent.
    pub const fn floor(&self) -> u8 {
        self.floor
    }

    /// The share that a backend has so long after it came back. It never falls as time goes on.
    ///
    /// O(1), about 50 floating-point operations. Within 2⁻¹⁶ of the formula at that 65,536th part of the
    /// window in which the time is.
    pub fn share(&self, since: Duration) -> Share {
        // Whole parts of the window, so that neighbouring times are far enough apart for the power's
        // error never to turn their order.
        let window = self.window.as_nanos().max(1);
        let part = since.as_nanos().saturating_mul(u128::from(FULL)) / window;
        let Ok(part) = u32::try_from(part) else { return Share::FULL };
        if part >= FULL {
            return Share::FULL;
        }
        let full = f64::from(FULL);
        let grown = (power(f64::from(part) / full, 1.0 / self.aggression) * full + 0.5) as u32;
        let floor = (u32::from(self.floor) * FULL).div_ceil(100);
        Share::from_units(grown.max(floor))
    }

    /// When the share will have grown enough for an update to be worth while: by a twentieth of the
    /// whole, or to the full share. Counted from when the backend came back, as `since` is, and at least
    /// 50 ms after it. `None` once the share is full.
    pub fn next_step(&self, since: Duration) -> Option<Duration> {
        let share = self.share(since);
        if share == Share::FULL {
            return None;
        }
        let full = f64::from(FULL);
        let target = share.get() + 1.0 / Self::STEPS;
        let part = if target < 1.0 { power(target, self.aggression) } else { 1.0 };
        // A part of the window more, for what rounding takes.
        let nanos = self.window.as_nanos() as f64 * (part + 1.0 / full).min(1.0);
        let grown = Duration::from_nanos(nanos as u64).min(self.window);
        Some(grown.max(since.saturating_add(Self::STEP)))
    }
}

/// Why settings of the slow start were refused. Nothing changed.
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub enum SlowStartError {
    /// `window` is not in 1 ms to 1 day.
    Window {
        /// What it is.
        value: Duration,
    },
    /// `aggression` is not in 0.1 to 10.
    Aggression {
        /// What it is.
        value: f64,
    },
    /// `floor` is not in 1 to 100 percent.
    Floor {
        /// What it is.
        value: u8,
    },
}

impl fmt::Display for SlowStartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Window { value } => {
                write!(f, "window: {value:?} is out of range: 1 ms to 1 day are allowed")
            }
            Self::Aggression { value } => {
                write!(f, "aggression: {value} is out of range: 0.1 to 10 are allowed")
            }
            Self::Floor { value } => {
                write!(f, "floor: {value} is out of range: 1 to 100 percent are allowed")
            }
        }
    }
}

impl core::error::Error for SlowStartError {}

#[cfg(feature = "serde")]
mod stored {
    use core::time::Duration;

    use super::{SlowStart, SlowStartError};

    #[derive(serde::Serialize, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct Stored {
        window_ms: u64,
        aggression: Option<f64>,
        floor: Option<u8>,
    }

    impl From<SlowStart> for Stored {
        fn from(settings: SlowStart) -> Self {
            Self {
                window_ms: u64::try_from(settings.window.as_millis()).unwrap_or(u64::MAX),
                aggression: Some(settings.aggression),
                floor: Some(settings.floor),
            }
        }
    }

    impl TryFrom<Stored> for SlowStart {
        type Error = SlowStartError;

        fn try_from(stored: Stored) -> Result<Self, SlowStartError> {
            let settings = Self::new(Duration::from_millis(stored.window_ms))?;
            settings
                .with_aggression(stored.aggression.unwrap_or(settings.aggression))?
                .with_floor(stored.floor.unwrap_or(settings.floor))
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use alloc::string::ToString;

    use super::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    #[test]
    fn shares_are_those_of_the_published_formulas() {
        // Worked out by hand for a window of 60 s, in ten-thousandths after so many seconds. Envoy:
        // weight * max(min_weight_percent, (max(t, 1 s) / window) ^ (1 / aggression)).
        let linear = [(1, 1000), (6, 1000), (12, 2000), (15, 2500), (45, 7500), (60, 10_000)];
        let root = [(1, 1291), (6, 3162), (15, 5000), (30, 7071), (54, 9487), (60, 10_000)];
        let square = [(1, 1000), (15, 1000), (24, 1600), (30, 2500), (54, 8100), (60, 10_000)];
        // HAProxy: linear from 1 % to 100 %.
        let haproxy = [(0, 100), (6, 1000), (15, 2500), (30, 5000), (54, 9000), (90, 10_000)];
        for (aggression, floor, table) in
            [(1.0, 10, linear), (2.0, 10, root), (0.5, 10, square), (1.0, 1, haproxy)]
        {
            let slow = SlowStart::new(S(60)).unwrap();
            let slow = slow.with_aggression(aggression).unwrap().with_floor(floor).unwrap();
            for (seconds, want) in table {
                let got = (slow.share(S(seconds)).units() * 10_000 + 32_768) >> 16;
                assert_eq!(got, want, "aggression {aggression}, {seconds} s");
            }
        }
    }

    #[test]
    fn a_share_never_falls_and_is_never_nothing_or_more_than_all() {
        // All the times that a share can tell apart, and those around the end.
        for aggression in [0.1, 0.5, 1.0, 1.5, 2.0, 10.0] {
            let window = Duration::from_nanos(65_536 * 1_000);
            let slow = SlowStart::new(window).unwrap();
            let slow = slow.with_aggression(aggression).unwrap().with_floor(1).unwrap();
            let mut last = slow.share(Duration::ZERO);
            assert!(last.units() >= 655);
            for k in 1..=65_540_u64 {
                let share = slow.share(Duration::from_nanos(k * 1_000));
                assert!(share >= last && share <= Share::FULL, "{aggression} {k}");
                last = share;
            }
            assert!(slow.share(window) == Share::FULL && slow.share(Duration::MAX) == Share::FULL);
        }
    }

    #[test]
    fn steps_are_few_and_apart_and_reach_the_full_share() {
        for window in [1, 40, 500, 999, 10_000, 3_600_000, 86_400_000].map(Duration::from_millis) {
            for aggression in [0.1, 0.5, 1.0, 3.0, 10.0] {
                let slow = SlowStart::new(window).unwrap();
                let slow = slow.with_aggression(aggression).unwrap().with_floor(1).unwrap();
                let (mut since, mut steps) = (Duration::ZERO, 0);
                while let Some(next) = slow.next_step(since) {
                    assert!(next >= since + SlowStart::STEP, "{slow:?} {since:?} {next:?}");
                    let grown = slow.share(next).units() - slow.share(since).units();
                    let enough = grown >= 65_536 / 20 - 2 || slow.share(next) == Share::FULL;
                    assert!(enough, "{slow:?} {since:?} {grown}");
                    since = next;
                    steps += 1;
                }
                assert!(slow.share(since) == Share::FULL);
                assert!((1..=20).contains(&steps), "{slow:?} {steps}");
            }
        }
        let slow = SlowStart::new(S(10)).unwrap();
        assert_eq!(slow.next_step(S(10)), None);
        assert_eq!(slow.with_floor(100).unwrap().next_step(Duration::ZERO), None);
    }

    #[test]
    fn wrong_settings_are_refused_by_name() {
        let slow = SlowStart::new(S(10)).unwrap();
        let error = |result: Result<SlowStart, SlowStartError>| result.unwrap_err().to_string();
        assert_eq!(
            error(SlowStart::new(Duration::ZERO)),
            "window: 0ns is out of range: 1 ms to 1 day are allowed"
        );
        for wrong in [0.0, 0.09, 10.1, f64::NAN] {
            assert!(error(slow.with_aggression(wrong)).starts_with("aggression: "));
        }
        assert_eq!(
            error(slow.with_floor(0)),
            "floor: 0 is out of range: 1 to 100 percent are allowed"
        );
        assert!(slow.with_floor(101).is_err());
    }

    #[cfg(feature = "serde")]
    #[test]
    fn it_reads_what_it_writes_and_refuses_the_unknown() {
        let slow: SlowStart = serde_json::from_str(r#"{"window_ms": 30000}"#).unwrap();
        assert_eq!(slow, SlowStart::new(S(30)).unwrap());
        let slow = slow.with_aggression(1.5).unwrap().with_floor(5).unwrap();
        let written = serde_json::to_string(&slow).unwrap();
        assert_eq!(serde_json::from_str::<SlowStart>(&written).unwrap(), slow);
        let refused = |json| serde_json::from_str::<SlowStart>(json).unwrap_err().to_string();
        assert!(refused(r#"{"window_ms": 5, "agression": 2.0}"#).contains("agression"));
        assert!(refused(r#"{"window_ms": 5, "floor": 0}"#).contains("floor: 0 is out of range"));
    }
}
