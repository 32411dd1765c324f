//! A policy's name and settings, as they are written.

use alloc::string::{String, ToString};

use super::ConfigError;

/// Settings that are numbers.
const NUMBERS: [&str; 11] = [
    "choices",
    "decay_ms",
    "penalty_ms",
    "points",
    "probes",
    "slots",
    "quota",
    "capacity",
    "minimum_ring_size",
    "maximum_ring_size",
    "balance_factor",
];
/// The others.
const OTHERS: [&str; 3] = ["function", "avalanche", "without_key"];

/// The names of all settings that any policy has.
pub(super) const SETTINGS: [&str; NUMBERS.len() + OTHERS.len()] = {
    let mut all = [""; NUMBERS.len() + OTHERS.len()];
    let mut i = 0;
    while i < all.len() {
        all[i] = if i < NUMBERS.len() { NUMBERS[i] } else { OTHERS[i - NUMBERS.len()] };
        i += 1;
    }
    all
};

/// A policy's name and the settings that were given.
#[derive(Default)]
pub(super) struct Written {
    pub(super) name: String,
    numbers: [Option<u64>; NUMBERS.len()],
    pub(super) function: Option<String>,
    pub(super) avalanche: Option<bool>,
    pub(super) without_key: Option<String>,
}

impl Written {
    /// A name, without settings.
    pub(super) fn named(name: &str) -> Self {
        Self { name: name.to_string(), ..Self::default() }
    }

    /// Where to put a number; `None` if no policy has such a setting.
    pub(super) fn number_mut(&mut self, field: &str) -> Option<&mut Option<u64>> {
        let index = NUMBERS.iter().position(|name| *name == field)?;
        Some(&mut self.numbers[index])
    }

    /// Writes a number.
    pub(super) fn set(&mut self, field: &'static str, value: impl Into<u64>) {
        if let Some(number) = self.number_mut(field) {
            *number = Some(value.into());
        }
    }

    /// The numbers that were given.
    pub(super) fn numbers(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        NUMBERS.into_iter().zip(self.numbers).filter_map(|(name, value)| Some((name, value?)))
    }

    /// A number, if it was given.
    pub(super) fn number(
        &self,
        field: &'static str,
        (min, max): (u64, u64),
    ) -> Result<Option<u64>, ConfigError> {
        match self.numbers().find(|(name, _)| *name == field) {
            Some((_, given)) if !(min..=max).contains(&given) => {
                Err(ConfigError::OutOfRange { field, given, min, max })
            }
            given => Ok(given.map(|(_, number)| number)),
        }
    }

    /// Refuses settings that are not among those `allowed`.
    pub(super) fn refuse_foreign(
        &self,
        allowed: &'static [&'static str],
    ) -> Result<(), ConfigError> {
        let are_given =
            [self.function.is_some(), self.avalanche.is_some(), self.without_key.is_some()];
        let others = OTHERS.into_iter().zip(are_given).filter(|(_, is_given)| *is_given);
        let others = others.map(|(name, _)| name);
        let mut given = self.numbers().map(|(name, _)| name).chain(others);
        match given.find(|name| !allowed.contains(name)) {
            None => Ok(()),
            Some(given) => {
                Err(ConfigError::ForeignSetting { policy: self.name.clone(), given, allowed })
            }
        }
    }
}

#[cfg(feature = "serde")]
mod serde_form {
    use alloc::string::String;
    use core::fmt;

    use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
    use serde::ser::{Serialize, SerializeMap, Serializer};

    use super::Written;
    use crate::config::{ConfigError, PolicyConfig};

    impl<'de> Deserialize<'de> for PolicyConfig {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_any(NameOrTable)
        }
    }

    impl Serialize for PolicyConfig {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let written = self.written();
            let mut map = serializer.serialize_map(None)?;
            map.serialize_entry("name", &written.name)?;
            for (name, number) in written.numbers() {
                map.serialize_entry(name, &number)?;
            }
            if let Some(function) = &written.function {
                map.serialize_entry("function", function)?;
            }
            if let Some(avalanche) = written.avalanche {
                map.serialize_entry("avalanche", &avalanche)?;
            }
            if let Some(rule) = &written.without_key {
                map.serialize_entry("without_key", rule)?;
            }
            map.end()
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
            let mut written = Written::default();
            while let Some(key) = map.next_key::<String>()? {
                let wrong =
                    |error: A::Error| A::Error::custom(format_args!("policy.{key}: {error}"));
                if key == "name" {
                    written.name = map.next_value().map_err(wrong)?;
                } else if key == "function" {
                    written.function = Some(map.next_value().map_err(wrong)?);
                } else if key == "avalanche" {
                    written.avalanche = Some(map.next_value().map_err(wrong)?);
                } else if key == "without_key" {
                    written.without_key = Some(map.next_value().map_err(wrong)?);
                } else if let Some(number) = written.number_mut(&key) {
                    *number = Some(map.next_value().map_err(wrong)?);
                } else {
                    return Err(A::Error::custom(ConfigError::NoSuchSetting { given: key }));
                }
            }
            PolicyConfig::read(&written).map_err(A::Error::custom)
        }
    }
}
