//! Choosing a policy by name.

use alloc::string::{String, ToString};
use core::fmt;
use core::str::FromStr;
use core::time::Duration;

use equipoise_core::BoxPolicy;

use crate::{LeastConn, P2c, PeakEwma, Random, RoundRobin};

/// A policy and its settings, as a configuration gives them.
///
/// With the feature `serde` it reads either a name, or a table with the name and settings; what is
/// unknown or out of range is refused with an error that names it and lists what is allowed.
///
/// | name | settings |
/// |---|---|
/// | `round_robin` (or `weighted_round_robin`) | |
/// | `random` | |
/// | `least_conn` | |
/// | `p2c` | `choices`: 2 to 16, default 2 |
/// | `peak_ewma` | `decay_ms`: 1 to 3,600,000, default 10,000; `penalty_ms`: the same, default 5,000 |
///
/// ```
/// use equipoise_algorithms::PolicyConfig;
/// use equipoise_pool::Pool;
///
/// let config: PolicyConfig = "least_conn".parse()?;
/// let pool: Pool<String, _> = Pool::new(config.policy(), 42);
/// # let _ = pool;
///
/// let error = "leastconn".parse::<PolicyConfig>().unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "policy: unknown name `leastconn`; allowed are round_robin, weighted_round_robin, random, \
///      least_conn, p2c, peak_ewma"
/// );
/// # Ok::<(), equipoise_algorithms::ConfigError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum PolicyConfig {
    /// [`RoundRobin`]
    RoundRobin,
    /// [`Random`]
    Random,
    /// [`LeastConn`]
    LeastConn,
    /// [`P2c`]
    P2c(P2c),
    /// [`PeakEwma`]
    PeakEwma(PeakEwma),
}

/// The names that a configuration may give.
const NAMES: [&str; 6] =
    ["round_robin", "weighted_round_robin", "random", "least_conn", "p2c", "peak_ewma"];

impl PolicyConfig {
    /// All names that a configuration may give.
    pub const fn names() -> &'static [&'static str] {
        &NAMES
    }

    /// The policy's name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::RoundRobin => "round_robin",
            Self::Random => "random",
            Self::LeastConn => "least_conn",
            Self::P2c(_) => "p2c",
            Self::PeakEwma(_) => "peak_ewma",
        }
    }

    /// The policy itself, for one pool.
    pub fn policy(&self) -> BoxPolicy {
        match *self {
            Self::RoundRobin => BoxPolicy::new(RoundRobin),
            Self::Random => BoxPolicy::new(Random),
            Self::LeastConn => BoxPolicy::new(LeastConn::new()),
            Self::P2c(p2c) => BoxPolicy::new(p2c),
            Self::PeakEwma(peak_ewma) => BoxPolicy::new(peak_ewma),
        }
    }

    /// The settings that it has.
    const fn settings(&self) -> &'static [&'static str] {
        match self {
            Self::P2c(_) => &["choices"],
            Self::PeakEwma(_) => &["decay_ms", "penalty_ms"],
            _ => &[],
        }
    }
}

impl Default for PolicyConfig {
    /// Round robin: what a newcomer expects to see.
    fn default() -> Self {
        Self::RoundRobin
    }
}

impl FromStr for PolicyConfig {
    type Err = ConfigError;

    /// A name, with the default settings.
    fn from_str(name: &str) -> Result<Self, ConfigError> {
        Table { name: name.to_string(), ..Table::default() }.try_into()
    }
}

impl fmt::Display for PolicyConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a configuration names no policy.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ConfigError {
    /// No policy has this name.
    UnknownName {
        /// What was given.
        given: String,
    },
    /// No name was given.
    NoName,
    /// No policy has this setting.
    NoSuchSetting {
        /// What was given.
        given: String,
    },
    /// The policy does not have this setting; another one has.
    ForeignSetting {
        /// The policy.
        policy: String,
        /// What was given.
        given: &'static str,
        /// What the policy has.
        allowed: &'static [&'static str],
    },
    /// A setting's value is out of range.
    OutOfRange {
        /// The setting.
        field: &'static str,
        /// What was given.
        given: u64,
        /// The smallest value allowed.
        min: u64,
        /// The largest value allowed.
        max: u64,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownName { given } => {
                write!(f, "policy: unknown name `{given}`; allowed are {}", NAMES.join(", "))
            }
            Self::NoName => write!(f, "policy.name: missing; allowed are {}", NAMES.join(", ")),
            Self::NoSuchSetting { given } => {
                write!(f, "policy.{given}: unknown; allowed are name, {}", SETTINGS.join(", "))
            }
            Self::ForeignSetting { policy, given, allowed: [] } => {
                write!(f, "policy.{given}: `{policy}` has no settings")
            }
            Self::ForeignSetting { policy, given, allowed } => {
                write!(
                    f,
                    "policy.{given}: `{policy}` has no such setting; allowed are {}",
                    allowed.join(", ")
                )
            }
            Self::OutOfRange { field, given, min, max } => {
                write!(f, "policy.{field}: {given} is out of range; allowed are {min} to {max}")
            }
        }
    }
}

impl core::error::Error for ConfigError {}

/// The long form of a configuration: the name, and every setting that any policy has.
#[derive(Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
struct Table {
    name: String,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    choices: Option<u64>,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    decay_ms: Option<u64>,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    penalty_ms: Option<u64>,
}

/// The names of all settings, in the order of the table.
const SETTINGS: [&str; 3] = ["choices", "decay_ms", "penalty_ms"];

impl TryFrom<Table> for PolicyConfig {
    type Error = ConfigError;

    fn try_from(table: Table) -> Result<Self, ConfigError> {
        let config = match table.name.as_str() {
            "round_robin" | "weighted_round_robin" => Self::RoundRobin,
            "random" => Self::Random,
            "least_conn" => Self::LeastConn,
            "p2c" => Self::P2c(table.p2c()?),
            "peak_ewma" => Self::PeakEwma(table.peak_ewma()?),
            "" => return Err(ConfigError::NoName),
            _ => return Err(ConfigError::UnknownName { given: table.name }),
        };
        table.refuse_foreign_settings(config.settings())?;
        Ok(config)
    }
}

impl Table {
    #[cfg(feature = "serde")]
    fn settings_mut(&mut self) -> impl Iterator<Item = (&'static str, &mut Option<u64>)> {
        let Self { name: _, choices, decay_ms, penalty_ms } = self;
        SETTINGS.into_iter().zip([choices, decay_ms, penalty_ms])
    }

    fn p2c(&self) -> Result<P2c, ConfigError> {
        let Some(choices) = self.choices else { return Ok(P2c::default()) };
        let max = u64::from(P2c::MAX_CHOICES);
        let error = ConfigError::OutOfRange { field: "choices", given: choices, min: 2, max };
        u8::try_from(choices).ok().and_then(P2c::new).ok_or(error)
    }

    fn peak_ewma(&self) -> Result<PeakEwma, ConfigError> {
        let (min, max) = (PeakEwma::RANGE.start(), PeakEwma::RANGE.end());
        let (min, max) = (min.as_millis() as u64, max.as_millis() as u64);
        let in_range = |field, value: Option<u64>, default| match value {
            None => Ok(default),
            Some(ms) if (min..=max).contains(&ms) => Ok(Duration::from_millis(ms)),
            Some(given) => Err(ConfigError::OutOfRange { field, given, min, max }),
        };
        Ok(PeakEwma::default()
            .with_decay(in_range("decay_ms", self.decay_ms, PeakEwma::DEFAULT_DECAY)?)
            .with_penalty(in_range("penalty_ms", self.penalty_ms, PeakEwma::DEFAULT_PENALTY)?))
    }

    fn refuse_foreign_settings(&self, allowed: &'static [&'static str]) -> Result<(), ConfigError> {
        let Self { name: _, choices, decay_ms, penalty_ms } = self;
        let settings = SETTINGS.into_iter().zip([choices, decay_ms, penalty_ms]);
        let mut foreign =
            settings.filter(|(name, value)| value.is_some() && !allowed.contains(name));
        match foreign.next() {
            None => Ok(()),
            Some((given, _)) => {
                let policy = self.name.clone();
                Err(ConfigError::ForeignSetting { policy, given, allowed })
            }
        }
    }
}

impl From<&PolicyConfig> for Table {
    fn from(config: &PolicyConfig) -> Self {
        let mut table = Self { name: config.name().to_string(), ..Self::default() };
        match config {
            PolicyConfig::P2c(p2c) => table.choices = Some(p2c.choices().into()),
            PolicyConfig::PeakEwma(ewma) => {
                table.decay_ms = Some(ewma.decay().as_millis() as u64);
                table.penalty_ms = Some(ewma.penalty().as_millis() as u64);
            }
            _ => {}
        }
        table
    }
}

#[cfg(feature = "serde")]
mod serde_form {
    use super::{ConfigError, PolicyConfig, String, Table, fmt};
    use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
    use serde::ser::{Serialize, Serializer};

    impl<'de> Deserialize<'de> for PolicyConfig {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_any(NameOrTable)
        }
    }

    impl Serialize for PolicyConfig {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            Table::from(self).serialize(serializer)
        }
    }

    struct NameOrTable;

    impl<'de> Visitor<'de> for NameOrTable {
        type Value = PolicyConfig;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("policy: a name, or a table with `name` and settings")
        }

        fn visit_str<E: Error>(self, name: &str) -> Result<PolicyConfig, E> {
            name.parse().map_err(E::custom)
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<PolicyConfig, A::Error> {
            let mut table = Table::default();
            while let Some(key) = map.next_key::<String>()? {
                let wrong =
                    |error: A::Error| A::Error::custom(format_args!("policy.{key}: {error}"));
                if key == "name" {
                    table.name = map.next_value().map_err(wrong)?;
                } else if let Some((_, setting)) =
                    table.settings_mut().find(|(name, _)| *name == key)
                {
                    *setting = Some(map.next_value().map_err(wrong)?);
                } else {
                    return Err(A::Error::custom(ConfigError::NoSuchSetting { given: key }));
                }
            }
            table.try_into().map_err(A::Error::custom)
        }
    }
}
