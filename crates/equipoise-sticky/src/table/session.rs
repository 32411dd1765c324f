//! A session as it leaves a table and enters another.

use core::time::Duration;

use equipoise_core::BackendId;

use crate::SessionKey;

/// A session of a table: for export, and for import into another one.
///
/// Times are durations, since two balancers have no common clock. Whoever lets a session lie between
/// export and import adds that time to both.
///
/// With the feature `serde` it is `{ key, backend, idle_ms, age_ms }`, `age_ms` null or left out if unknown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct Session {
    /// What tells it apart.
    pub key: SessionKey,
    /// Its backend.
    pub backend: BackendId,
    /// How long ago it was last used.
    #[cfg_attr(feature = "serde", serde(rename = "idle_ms", with = "millis"))]
    pub idle: Duration,
    /// How long ago it was bound or moved there; `None` in a table without a lifetime. A table with
    /// one takes an unknown age for the idle time.
    #[cfg_attr(feature = "serde", serde(rename = "age_ms", with = "maybe_millis"))]
    #[cfg_attr(feature = "serde", serde(default))]
    pub age: Option<Duration>,
}

/// What a lookup found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Found {
    /// The session's backend.
    pub backend: BackendId,
    /// How long it had not been used, before this lookup.
    pub idle: Duration,
}

/// What became of sessions that were imported.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Imported {
    /// They are as they were given.
    pub taken: usize,
    /// The table knew them from a later use.
    pub known: usize,
    /// Their time was up.
    pub expired: usize,
    /// There was no room for them, or none for their backend.
    pub refused: usize,
}

#[cfg(feature = "serde")]
mod millis {
    use core::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        time: &Duration,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}

#[cfg(feature = "serde")]
mod maybe_millis {
    use core::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(
        time: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        time.map(millis).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(deserializer)?.map(Duration::from_millis))
    }
}
