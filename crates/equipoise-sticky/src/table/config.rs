//! The settings of a table.

use core::fmt;
use core::time::Duration;

/// How long sessions live, and how much a table holds. Checked when it is built.
///
/// | setting | default | allowed |
/// |---|---|---|
/// | [`idle`](TableBuilder::idle) | 30 min | 1 ms to 366 days |
/// | [`lifetime`](TableBuilder::lifetime) | none | `idle` to 3,660 days |
/// | [`max_sessions`](TableBuilder::max_sessions) | 1,000,000 | 1 to 2³⁰ |
/// | [`max_bytes`](TableBuilder::max_bytes) | none | 64 KiB more than the table has without sessions |
/// | [`max_backends`](TableBuilder::max_backends) | 1,024 | 1 to 65,535 |
/// | [`deltas`](TableBuilder::deltas) | 0: none are kept | 0 to 2²⁴ |
/// | [`refreshes`](TableBuilder::refreshes) | no | |
///
/// With the feature `serde` it reads a table of these names, the times in milliseconds and with `_ms`
/// behind the name (`idle_ms`). What is unknown, out of range or contradictory is refused.
///
/// ```
/// use core::time::Duration;
/// use equipoise_sticky::TableConfig;
///
/// let config = TableConfig::builder()
///     .idle(Duration::from_secs(600))
///     .lifetime(Duration::from_secs(24 * 3600))
///     .max_sessions(50_000)
///     .build()?;
/// assert_eq!(config.max_sessions(), 50_000);
///
/// let error = TableConfig::builder().lifetime(Duration::from_secs(60)).build().unwrap_err();
/// assert_eq!(error.to_string(), "lifetime: 60s is out of range; allowed are 1800s to 316224000s");
/// # Ok::<(), equipoise_sticky::TableConfigError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(into = "stored::Stored", try_from = "stored::Stored"))]
pub struct TableConfig {
    idle: Duration,
    lifetime: Option<Duration>,
    max_sessions: usize,
    max_bytes: Option<usize>,
    max_backends: u16,
    deltas: usize,
    refreshes: bool,
}

/// Why settings were refused. Nothing was built.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum TableConfigError {
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
    /// A number is out of range.
    Number {
        /// The setting.
        field: &'static str,
        /// What was given.
        given: usize,
        /// The smallest number allowed.
        min: usize,
        /// The largest number allowed.
        max: usize,
    },
}

impl TableConfig {
    const SHORTEST: Duration = Duration::from_millis(1);
    const LONGEST: Duration = Duration::from_secs(366 * DAY);
    const LONGEST_LIFE: Duration = Duration::from_secs(3_660 * DAY);

    /// Starts from the defaults.
    pub const fn builder() -> TableBuilder {
        TableBuilder(Self {
            idle: Duration::from_secs(30 * 60),
            lifetime: None,
            max_sessions: 1_000_000,
            max_bytes: None,
            max_backends: 1_024,
            deltas: 0,
            refreshes: false,
        })
    }

    /// How long a session lives after its last request.
    pub const fn idle(&self) -> Duration {
        self.idle
    }

    /// How long a session stays with a backend at the longest.
    pub const fn lifetime(&self) -> Option<Duration> {
        self.lifetime
    }

    /// How many sessions a table holds at the most.
    pub const fn max_sessions(&self) -> usize {
        self.max_sessions
    }

    /// How many bytes of heap a table takes at the most.
    pub const fn max_bytes(&self) -> Option<usize> {
        self.max_bytes
    }

    /// How many backends may have sessions at a time.
    pub const fn max_backends(&self) -> usize {
        self.max_backends as usize
    }

    /// How many changes are kept for [`take_deltas`](crate::Table::take_deltas).
    pub const fn deltas(&self) -> usize {
        self.deltas
    }

    /// Whether refreshes are among the changes.
    pub const fn refreshes(&self) -> bool {
        self.refreshes
    }
}

const DAY: u64 = 24 * 60 * 60;

impl Default for TableConfig {
    fn default() -> Self {
        Self::builder().0
    }
}

/// Builds a [`TableConfig`].
#[derive(Clone, Debug)]
#[must_use]
pub struct TableBuilder(TableConfig);

impl TableBuilder {
    /// How long a session lives after its last request. It lives at least as long, and up to 1/1000
    /// longer: times are kept in ticks.
    pub const fn idle(mut self, idle: Duration) -> Self {
        self.0.idle = idle;
        self
    }

    /// How long a session stays with a backend at the longest, however busy it is, since it was bound
    /// or moved; up to 1/4000 longer.
    pub const fn lifetime(mut self, lifetime: Duration) -> Self {
        self.0.lifetime = Some(lifetime);
        self
    }

    /// How many sessions a table holds at the most. A full one evicts the least recently used of a
    /// sample for a new one.
    pub const fn max_sessions(mut self, max_sessions: usize) -> Self {
        self.0.max_sessions = max_sessions;
        self
    }

    /// How many bytes of heap a table takes at the most: as requested from the allocator, while it
    /// grows too. A table that may not grow evicts. 23 to 39 bytes a session are usual, and 23 in a
    /// `ShardedTable` that is full.
    pub const fn max_bytes(mut self, max_bytes: usize) -> Self {
        self.0.max_bytes = Some(max_bytes);
        self
    }

    /// How many backends may have sessions at a time. 20 bytes each are taken at once.
    pub const fn max_backends(mut self, max_backends: u16) -> Self {
        self.0.max_backends = max_backends;
        self
    }

    /// How many changes are kept for [`take_deltas`](crate::Table::take_deltas), 40 bytes each; 0
    /// keeps none. When there are more, the oldest are dropped and counted.
    pub const fn deltas(mut self, deltas: usize) -> Self {
        self.0.deltas = deltas;
        self
    }

    /// Whether refreshes are among the changes, so that whoever follows them knows how long sessions
    /// live. One a session in 1/16 to 1/8 of the idle time at the most.
    pub const fn refreshes(mut self, refreshes: bool) -> Self {
        self.0.refreshes = refreshes;
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// [`TableConfigError`], which names the setting that is out of range.
    pub fn build(self) -> Result<TableConfig, TableConfigError> {
        let config = self.0;
        let time = |field, given, min, max| {
            if (min..=max).contains(&given) {
                return Ok(());
            }
            Err(TableConfigError::Time { field, given, min, max })
        };
        let number = |field, given, min, max| {
            if (min..=max).contains(&given) {
                return Ok(());
            }
            Err(TableConfigError::Number { field, given, min, max })
        };
        time("idle", config.idle, TableConfig::SHORTEST, TableConfig::LONGEST)?;
        if let Some(lifetime) = config.lifetime {
            time("lifetime", lifetime, config.idle, TableConfig::LONGEST_LIFE)?;
        }
        number("max_sessions", config.max_sessions, 1, 1 << 30)?;
        number("max_backends", config.max_backends.into(), 1, u16::MAX.into())?;
        number("deltas", config.deltas, 0, 1 << 24)?;
        if let Some(max_bytes) = config.max_bytes {
            number("max_bytes", max_bytes, config.fixed_bytes() + (64 << 10), usize::MAX)?;
        }
        Ok(config)
    }
}

impl TableConfig {
    /// What a table takes besides its sessions, at the most: backends, their names and deltas.
    pub(super) const fn fixed_bytes(&self) -> usize {
        64 * self.max_backends as usize + super::journal::bytes(self.deltas)
    }
}

impl fmt::Display for TableConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time { field, given, min, max } => {
                write!(f, "{field}: {given:?} is out of range; allowed are {min:?} to {max:?}")
            }
            Self::Number { field, given, min, max } => {
                write!(f, "{field}: {given} is out of range; allowed are {min} to {max}")
            }
        }
    }
}

impl core::error::Error for TableConfigError {}

#[cfg(feature = "serde")]
mod stored {
    use core::time::Duration;

    use super::{TableBuilder, TableConfig, TableConfigError};

    /// As configuration files have it.
    #[derive(serde::Serialize, serde::Deserialize)]
    #[serde(deny_unknown_fields, default)]
    pub(super) struct Stored {
        idle_ms: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        lifetime_ms: Option<u64>,
        max_sessions: usize,
        #[serde(skip_serializing_if = "Option::is_none")]
        max_bytes: Option<usize>,
        max_backends: u16,
        deltas: usize,
        refreshes: bool,
    }

    impl Default for Stored {
        fn default() -> Self {
            TableConfig::default().into()
        }
    }

    impl From<TableConfig> for Stored {
        fn from(config: TableConfig) -> Self {
            let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
            Self {
                idle_ms: millis(config.idle),
                lifetime_ms: config.lifetime.map(millis),
                max_sessions: config.max_sessions,
                max_bytes: config.max_bytes,
                max_backends: config.max_backends,
                deltas: config.deltas,
                refreshes: config.refreshes,
            }
        }
    }

    impl TryFrom<Stored> for TableConfig {
        type Error = TableConfigError;

        fn try_from(stored: Stored) -> Result<Self, TableConfigError> {
            TableBuilder(Self {
                idle: Duration::from_millis(stored.idle_ms),
                lifetime: stored.lifetime_ms.map(Duration::from_millis),
                max_sessions: stored.max_sessions,
                max_bytes: stored.max_bytes,
                max_backends: stored.max_backends,
                deltas: stored.deltas,
                refreshes: stored.refreshes,
            })
            .build()
        }
    }
}
