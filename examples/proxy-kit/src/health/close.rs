//! When the connections to a backend are closed.

use std::fmt;

use equipoise_core::Reason;
use serde::de::value::SeqAccessDeserializer;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// What becomes of a backend whose connections are closed then.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Close(Vec<Cause>);

/// What becomes of a backend.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Its check found it dead.
    Down,
    /// Its traffic went badly.
    Ejected,
    /// An operator took it out.
    Disabled,
    /// It has drained for as long as it may.
    Drained,
    /// It is not in the configuration any more, or not discovered.
    Removed,
}

impl Cause {
    const ALL: [Self; 5] =
        [Self::Down, Self::Ejected, Self::Disabled, Self::Drained, Self::Removed];

    /// `None`: it was removed.
    const fn of(reason: Option<Reason>) -> Self {
        match reason {
            None => Self::Removed,
            Some(Reason::Ejected) => Self::Ejected,
            Some(Reason::Disabled) => Self::Disabled,
            Some(Reason::Drained) => Self::Drained,
            Some(_) => Self::Down,
        }
    }
}

impl Close {
    /// Whether connections are closed when a backend may take nothing any more for this reason, or
    /// without one has been removed.
    pub(crate) fn on(&self, reason: Option<Reason>) -> bool {
        self.0.contains(&Cause::of(reason))
    }
}

impl Default for Close {
    /// Where somebody knows that it is over. A backend that leaves the configuration is well, as far as one
    /// knows; and who is ejected may be too: what failed, failed seconds ago, and new connections alone.
    fn default() -> Self {
        Self(vec![Cause::Down, Cause::Disabled, Cause::Drained])
    }
}

impl<'de> Deserialize<'de> for Close {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SwitchOrList)
    }
}

/// An untagged enum would say only that nothing matched; this says what is wrong.
struct SwitchOrList;

impl<'de> Visitor<'de> for SwitchOrList {
    type Value = Close;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("true, false, or a list of `down`, `ejected`, `disabled`, `drained`, `removed`")
    }

    fn visit_bool<E: Error>(self, all: bool) -> Result<Close, E> {
        Ok(Close(if all { Cause::ALL.to_vec() } else { Vec::new() }))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Close, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(list)).map(Close)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_switch_or_a_list() {
        #[derive(Debug, Deserialize)]
        struct Section {
            close: Close,
        }
        let read = |text: &str| {
            let section: Result<Section, _> = toml::from_str(&format!("close = {text}"));
            section.map(|section| section.close).map_err(|error| error.to_string())
        };
        let closes = |text: &str| {
            let close = read(text).unwrap();
            [
                Some(Reason::Down),
                Some(Reason::Pending),
                Some(Reason::Ejected),
                Some(Reason::Disabled),
                Some(Reason::Drained),
                None,
            ]
            .map(|reason| close.on(reason))
        };
        assert_eq!(closes("true"), [true; 6]);
        assert_eq!(closes("false"), [false; 6]);
        assert_eq!(closes("[\"down\"]"), [true, true, false, false, false, false]);
        assert_eq!(closes("[\"ejected\", \"removed\"]"), [false, false, true, false, false, true]);
        assert_eq!(Close::default(), read("[\"down\", \"disabled\", \"drained\"]").unwrap());
        assert!(read("[\"up\"]").unwrap_err().contains("`removed`"));
        assert!(read("1").unwrap_err().contains("true, false, or a list"));
    }
}
