//! What can be wrong with the settings of passive health.

use core::fmt;
use core::ops::RangeInclusive;
use core::time::Duration;

/// Why settings were refused. Nothing was built.
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub enum PassiveConfigError {
    /// A number is out of range.
    Number {
        /// The setting.
        field: &'static str,
        /// What was given.
        given: f64,
        /// The smallest value allowed.
        min: f64,
        /// The largest value allowed.
        max: f64,
    },
    /// A time is out of range.
    Time {
        /// The setting.
        field: &'static str,
        /// What was given.
        given: Duration,
        /// The shortest time allowed.
        min: Duration,
        /// The longest time allowed.
        max: Duration,
    },
    /// A setting contradicts another one.
    Contradiction {
        /// The setting.
        field: &'static str,
        /// What it contradicts.
        because: &'static str,
    },
}

impl fmt::Display for PassiveConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number { field, given, min, max } => {
                write!(f, "{field}: {given} is out of range; allowed are {min} to {max}")
            }
            Self::Time { field, given, min, max } => {
                write!(f, "{field}: {given:?} is out of range; allowed are {min:?} to {max:?}")
            }
            Self::Contradiction { field, because } => write!(f, "{field}: {because}"),
        }
    }
}

impl core::error::Error for PassiveConfigError {}

/// The shortest time that any setting may have.
pub(crate) const SHORTEST: Duration = Duration::from_millis(1);
/// The longest time that any setting may have: a day. Whoever wants more wants a backend removed.
pub(crate) const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Refuses a number out of range. NaN is in no range.
pub(crate) fn check_number(
    field: &'static str,
    given: f64,
    allowed: RangeInclusive<f64>,
) -> Result<(), PassiveConfigError> {
    if allowed.contains(&given) {
        return Ok(());
    }
    Err(PassiveConfigError::Number { field, given, min: *allowed.start(), max: *allowed.end() })
}

/// Refuses a time below a millisecond or above a day.
pub(crate) fn check_time(field: &'static str, given: Duration) -> Result<(), PassiveConfigError> {
    if (SHORTEST..=LONGEST).contains(&given) {
        return Ok(());
    }
    Err(PassiveConfigError::Time { field, given, min: SHORTEST, max: LONGEST })
}

/// Times in whole milliseconds, as configuration files write them.
#[cfg(feature = "serde")]
pub(crate) mod millis {
    use core::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(
        time: &Duration,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}
