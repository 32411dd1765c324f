//! Panic: what a pool does when too few of its backends are healthy.

use core::fmt;

use equipoise_core::{Admin, Admission, Condition, Drain, Health, Passive};

/// When a pool panics, and what it does then. The mode is chosen by name, and every change is an event:
/// users of other balancers report traffic to unhealthy backends as a bug, others its absence.
///
/// A pool panics when fewer than `threshold` percent of its countable backends are healthy, or none at
/// all. At 0 it panics only if none is; Envoy's default is 50.
///
/// While it panics:
///
/// | mode | who is picked | for |
/// |---|---|---|
/// | [`FailOpen`](PanicMode::FailOpen) | all countable backends, whatever checks and traffic say | a check that is wrong for all of them: a `/health` that fails with a database that most requests don't need |
/// | [`FailClosed`](PanicMode::FailClosed) | healthy ones only, as ever; without any, picks fail at once | answers that must be right, or another pool to turn to |
/// | [`LastGood`](PanicMode::LastGood) | healthy ones, and those that were healthy when the panic began | a check that broke for all at once, without the backends that were down before |
///
/// Backends that are disabled, draining or of weight 0 get no new requests in any mode: somebody wants
/// that.
///
/// With the feature `serde` it reads a table of `mode` (`fail_open`, `fail_closed`, `last_good`) and
/// `threshold`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(into = "stored::Stored", try_from = "stored::Stored"))]
pub struct PanicConfig {
    mode: PanicMode,
    threshold: u8,
}

/// What a pool does in panic.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum PanicMode {
    /// Ignores health.
    FailOpen,
    /// Keeps to health.
    FailClosed,
    /// Goes by the health from before the panic.
    LastGood,
}

impl PanicMode {
    /// Whether a backend's health does not count in panic.
    pub(crate) const fn looks_away(self, last_good: bool) -> bool {
        match self {
            Self::FailOpen => true,
            Self::FailClosed => false,
            Self::LastGood => last_good,
        }
    }
}

impl PanicConfig {
    /// A mode, and the share of healthy backends below which it begins, in percent.
    ///
    /// # Errors
    /// If the threshold is more than 100.
    pub const fn new(mode: PanicMode, threshold: u8) -> Result<Self, PanicConfigError> {
        if threshold > 100 {
            return Err(PanicConfigError::Threshold { value: threshold });
        }
        Ok(Self { mode, threshold })
    }

    /// What a pool does in panic.
    pub const fn mode(&self) -> PanicMode {
        self.mode
    }

    /// The share of healthy backends below which it panics, in percent.
    pub const fn threshold(&self) -> u8 {
        self.threshold
    }
}

impl Default for PanicConfig {
    /// Fails open when nobody is healthy: any answer is then better than none, and as long as one
    /// backend is healthy, nobody is surprised.
    fn default() -> Self {
        Self { mode: PanicMode::FailOpen, threshold: 0 }
    }
}

/// How many of a pool's backends count, and how many of those are healthy.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Census {
    /// Backends that would take new requests if their health allowed it.
    pub countable: u32,
    /// Those of them that do.
    pub healthy: u32,
}

impl Census {
    /// Whether a backend counts: it is enabled, does not drain, has some weight, and its first checks
    /// have decided. One that is pending says nothing yet; if it counted, every start would begin with
    /// a panic, and by failing open send requests where none should go.
    pub const fn counts(condition: &Condition) -> bool {
        !matches!(condition.health, Health::Pending)
            && matches!(condition.admin, Admin::Enabled)
            && matches!(condition.drain, Drain::No)
            && condition.weight.get() > 0
    }

    /// Adds a backend; says whether it counts.
    pub fn add(&mut self, condition: &Condition) -> bool {
        let counts = Self::counts(condition);
        if counts {
            self.countable = self.countable.saturating_add(1);
            self.healthy = self.healthy.saturating_add(u32::from(is_healthy(condition)));
        }
        counts
    }
}

impl fmt::Display for Census {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} backends are healthy", self.healthy, self.countable)
    }
}

const fn is_healthy(condition: &Condition) -> bool {
    matches!(Admission::of(condition), Admission::New)
}

/// Whether a pool panics.
///
/// The caller counts the backends after each change ([`Census`]), and asks [`admission`](Self::admission)
/// instead of [`Admission::of`]. For [`PanicMode::LastGood`] it keeps one bit a backend: whenever
/// [`is_active`](Self::is_active) is `false` after an [`update`](Self::update), it stores whether the
/// backend is healthy (its [`Admission`] is `New`); a backend that joins during a panic starts with
/// `false`.
///
/// ```
/// use equipoise_core::{Admission, Condition, Health};
/// use equipoise_health::{Census, Panic, PanicConfig, PanicMode};
///
/// let config = PanicConfig::new(PanicMode::LastGood, 50)?;
/// let down = Condition { health: Health::Down, ..Condition::default() };
/// let mut census = Census::default();
/// for condition in [Condition::default(), down, down] {
///     census.add(&condition);
/// }
/// let mut panic = Panic::default();
/// let event = panic.update(&config, census).unwrap();
/// assert_eq!(event.to_string(), "panic (last good): 1 of 3 backends are healthy");
/// assert_eq!(panic.admission(&config, &down, true), Admission::New);
/// assert_eq!(panic.admission(&config, &down, false), Admission::Never);
/// assert_eq!(panic.update(&config, census), None);
/// # Ok::<(), equipoise_health::PanicConfigError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Panic {
    active: bool,
}

impl Panic {
    /// Takes a new count of the backends; says whether a panic begins or ends. O(1).
    ///
    /// A pool without countable backends does not panic: there is nobody to turn to.
    pub fn update(&mut self, config: &PanicConfig, census: Census) -> Option<PanicEvent> {
        let Census { countable, healthy } = census;
        let wanted = u64::from(config.threshold) * u64::from(countable);
        let active = countable > 0 && (healthy == 0 || u64::from(healthy) * 100 < wanted);
        if active == self.active {
            return None;
        }
        self.active = active;
        Some(if active {
            PanicEvent::Entered { mode: config.mode, census }
        } else {
            PanicEvent::Left { census }
        })
    }

    /// Whether the pool panics.
    pub const fn is_active(&self) -> bool {
        self.active
    }

    /// What a backend may take. `last_good`: whether it was healthy when the pool last did not panic.
    ///
    /// It is [`Admission::of`], unless the pool panics and the mode says to look away from the
    /// backend's health.
    pub const fn admission(
        &self,
        config: &PanicConfig,
        condition: &Condition,
        last_good: bool,
    ) -> Admission {
        let look_away = config.mode.looks_away(last_good);
        if self.active && look_away && !matches!(condition.health, Health::Pending) {
            // The operator's wish, the backend's own and the weight still hold.
            Admission::of(&Condition { health: Health::Up, passive: Passive::Clear, ..*condition })
        } else {
            Admission::of(condition)
        }
    }
}

/// A panic began or ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PanicEvent {
    /// It began.
    Entered {
        /// What the pool does now.
        mode: PanicMode,
        /// Why.
        census: Census,
    },
    /// It ended.
    Left {
        /// Why.
        census: Census,
    },
}

impl fmt::Display for PanicMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FailOpen => "fail open",
            Self::FailClosed => "fail closed",
            Self::LastGood => "last good",
        })
    }
}

impl fmt::Display for PanicEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entered { mode, census } => write!(f, "panic ({mode}): {census}"),
            Self::Left { census } => write!(f, "panic is over: {census}"),
        }
    }
}

/// Why settings of the panic were refused. Nothing changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum PanicConfigError {
    /// `threshold` is not in 0 to 100 percent.
    Threshold {
        /// What it is.
        value: u8,
    },
}

impl fmt::Display for PanicConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Threshold { value } => {
                write!(f, "threshold: {value} is out of range: 0 to 100 percent are allowed")
            }
        }
    }
}

impl core::error::Error for PanicConfigError {}

#[cfg(feature = "serde")]
mod stored {
    use super::{PanicConfig, PanicConfigError, PanicMode};

    #[derive(serde::Serialize, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct Stored {
        mode: PanicMode,
        #[serde(default)]
        threshold: u8,
    }

    impl From<PanicConfig> for Stored {
        fn from(config: PanicConfig) -> Self {
            Self { mode: config.mode, threshold: config.threshold }
        }
    }

    impl TryFrom<Stored> for PanicConfig {
        type Error = PanicConfigError;

        fn try_from(stored: Stored) -> Result<Self, PanicConfigError> {
            Self::new(stored.mode, stored.threshold)
        }
    }
}

#[cfg(test)]
mod tests {
    use equipoise_core::Weight;

    use super::*;

    const MODES: [PanicMode; 3] = [PanicMode::FailOpen, PanicMode::FailClosed, PanicMode::LastGood];

    fn panics(threshold: u8, healthy: u32, countable: u32) -> bool {
        let config = PanicConfig::new(PanicMode::FailOpen, threshold).unwrap();
        let mut panic = Panic::default();
        panic.update(&config, Census { countable, healthy });
        panic.is_active()
    }

    #[test]
    fn it_panics_strictly_below_the_threshold_or_without_anybody() {
        for (threshold, healthy, countable, want) in [
            (0, 1, 1000, false),
            (0, 0, 1000, true),
            (0, 0, 1, true),
            (50, 5, 10, false),
            (50, 4, 10, true),
            (50, 1, 3, true),
            (50, 2, 3, false),
            (100, 9, 10, true),
            (100, 10, 10, false),
            (1, 1, 100, false),
            (1, 1, 101, true),
            (100, u32::MAX - 1, u32::MAX, true),
            // Nobody to turn to.
            (0, 0, 0, false),
            (100, 0, 0, false),
        ] {
            let got = panics(threshold, healthy, countable);
            assert_eq!(got, want, "{threshold} % {healthy}/{countable}");
        }
        let error = PanicConfig::new(PanicMode::FailOpen, 101).unwrap_err();
        let want = "threshold: 101 is out of range: 0 to 100 percent are allowed";
        assert_eq!(alloc::string::ToString::to_string(&error), want);
    }

    #[test]
    fn each_change_is_one_event() {
        let config = PanicConfig::new(PanicMode::FailClosed, 50).unwrap();
        let mut panic = Panic::default();
        let census = |healthy| Census { countable: 4, healthy };
        let entered = PanicEvent::Entered { mode: PanicMode::FailClosed, census: census(1) };
        assert_eq!(panic.update(&config, census(4)), None);
        assert_eq!(panic.update(&config, census(1)), Some(entered));
        assert_eq!(panic.update(&config, census(0)), None);
        assert_eq!(panic.update(&config, census(2)), Some(PanicEvent::Left { census: census(2) }));
        assert_eq!(panic.update(&config, census(3)), None);
    }

    /// Every condition that differs.
    fn conditions() -> impl Iterator<Item = Condition> {
        (0..3 * 3 * 3 * 2 * 2).map(|n| Condition {
            admin: [Admin::Enabled, Admin::Draining, Admin::Disabled][n % 3],
            health: [Health::Up, Health::Pending, Health::Down][n / 3 % 3],
            passive: [Passive::Clear, Passive::Trial, Passive::Ejected][n / 9 % 3],
            drain: [Drain::No, Drain::Wanted][n / 27 % 2],
            weight: Weight::new((n / 54) as u16),
        })
    }

    #[test]
    fn without_a_panic_admission_is_that_of_the_condition() {
        for mode in MODES {
            let config = PanicConfig::new(mode, 50).unwrap();
            for condition in conditions() {
                for last_good in [false, true] {
                    let got = Panic::default().admission(&config, &condition, last_good);
                    assert_eq!(got, Admission::of(&condition), "{condition:?}");
                }
            }
        }
    }

    #[test]
    fn in_panic_each_mode_admits_whom_it_says_and_never_whom_somebody_took_out() {
        for mode in MODES {
            let config = PanicConfig::new(mode, 50).unwrap();
            let panic = Panic { active: true };
            for condition in conditions() {
                for last_good in [false, true] {
                    let normal = Admission::of(&condition);
                    let got = panic.admission(&config, &condition, last_good);
                    let healthy = normal == Admission::New;
                    let want = match mode {
                        PanicMode::FailOpen => Census::counts(&condition),
                        PanicMode::FailClosed => healthy,
                        PanicMode::LastGood => healthy || last_good && Census::counts(&condition),
                    };
                    assert_eq!(got == Admission::New, want, "{mode} {condition:?} {last_good}");
                    // A panic takes nothing from anybody.
                    assert!(got <= normal, "{mode} {condition:?}");
                    if condition.admin == Admin::Disabled {
                        assert_eq!(got, Admission::Never);
                    }
                }
            }
        }
    }

    #[test]
    fn whoever_is_healthy_counts_and_a_start_is_no_panic() {
        for condition in conditions() {
            let mut census = Census::default();
            let counted = census.add(&condition);
            assert_eq!(census.countable, u32::from(counted));
            assert_eq!(census.healthy, u32::from(Admission::of(&condition) == Admission::New));
        }
        let mut census = Census::default();
        let pending = Condition { health: Health::Pending, ..Condition::default() };
        assert!(!census.add(&pending));
        assert_eq!(Panic::default().update(&PanicConfig::default(), census), None);
    }

    #[cfg(feature = "serde")]
    #[test]
    fn it_reads_what_it_writes_and_refuses_the_unknown() {
        let config = PanicConfig::new(PanicMode::LastGood, 30).unwrap();
        let written = serde_json::to_string(&config).unwrap();
        assert_eq!(written, r#"{"mode":"last_good","threshold":30}"#);
        assert_eq!(serde_json::from_str::<PanicConfig>(&written).unwrap(), config);
        for wrong in [
            r#"{"mode":"open"}"#,
            r#"{"mode":"fail_open","threshold":101}"#,
            r#"{"mode":"fail_open","x":1}"#,
        ] {
            assert!(serde_json::from_str::<PanicConfig>(wrong).is_err(), "{wrong}");
        }
    }
}
