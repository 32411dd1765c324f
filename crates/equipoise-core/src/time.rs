//! Time as an argument.

use core::fmt;
use core::time::Duration;

/// A point in time: nanoseconds since an epoch that the caller chose.
///
/// Libraries never read a clock; whoever drives them does, and passes the reading in. All
/// arithmetic saturates, so no sequence of readings can panic, not even one that runs backwards.
/// 64 bits of nanoseconds last 584 years.
///
/// ```
/// use core::time::Duration;
/// use equipoise_core::Instant;
///
/// let start = Instant::from_nanos(1_000);
/// let later = start + Duration::from_micros(2);
/// assert_eq!(later.since(start), Duration::from_nanos(2_000));
/// assert_eq!(start.since(later), Duration::ZERO);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(transparent))]
pub struct Instant(u64);

impl Instant {
    /// The epoch itself.
    pub const ZERO: Self = Self(0);

    /// This many nanoseconds after the epoch.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the epoch.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this is; zero if it is not.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl core::ops::Add<Duration> for Instant {
    type Output = Self;

    /// Saturates at the end of time, 584 years after the epoch.
    fn add(self, after: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(after.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", Duration::from_nanos(self.0))
    }
}

/// What tells the time. Drivers implement it, over a monotonic clock or over a simulated one; no
/// library type holds one.
///
/// ```
/// use equipoise_core::{Clock, Instant};
///
/// /// Nanoseconds since the program started.
/// struct Monotonic(std::time::Instant);
///
/// impl Clock for Monotonic {
///     fn now(&self) -> Instant {
///         Instant::from_nanos(self.0.elapsed().as_nanos() as u64)
///     }
/// }
///
/// let clock = Monotonic(std::time::Instant::now());
/// assert!(clock.now() <= clock.now());
/// ```
pub trait Clock {
    /// The time now; never less than an earlier answer.
    fn now(&self) -> Instant;
}
