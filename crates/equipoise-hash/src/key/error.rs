//! What can be wrong with the description of a key.

use alloc::string::String;
use core::fmt::{self, Write};

use super::{KeyKind, KeySpec};

/// Why a description names no key. Nothing changed.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum KeyError {
    /// It has no parts.
    NoParts,
    /// It has too many.
    TooManyParts,
    /// No part has this name.
    UnknownPart {
        /// What was given.
        given: String,
    },
    /// The part needs a setting.
    NoSetting {
        /// The part.
        part: KeyKind,
    },
    /// The part has no setting, or none in the short form.
    NoSuchSetting {
        /// The part.
        part: KeyKind,
    },
    /// A table that does not name exactly one part.
    NotOnePart,
    /// No header, cookie or parameter has such a name.
    BadName {
        /// The part.
        part: KeyKind,
        /// What was given.
        given: String,
    },
    /// Something else than a number.
    NoNumber {
        /// The field.
        field: &'static str,
        /// What was given.
        given: String,
    },
    /// A number is out of range.
    OutOfRange {
        /// The field.
        field: &'static str,
        /// What was given.
        given: u64,
        /// The smallest value allowed.
        min: u64,
        /// The largest value allowed.
        max: u64,
    },
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoParts => f.write_str("key: no parts"),
            Self::TooManyParts => {
                write!(f, "key: too many parts; at most {} are allowed", KeySpec::MAX_PARTS)
            }
            Self::UnknownPart { given } => {
                write!(f, "key: unknown part `{}`; allowed are ", Beginning(given))?;
                for (index, kind) in KeyKind::ALL.into_iter().enumerate() {
                    write!(f, "{}{kind}", if index == 0 { "" } else { ", " })?;
                }
                Ok(())
            }
            Self::NoSetting { part } => {
                let setting = if *part == KeyKind::Path { "DEPTH" } else { "\"NAME\"" };
                write!(f, "key: `{part}` alone says too little; give {{ {part} = {setting} }}")
            }
            Self::NoSuchSetting { part } => write!(f, "key: `{part}` takes no setting here"),
            Self::NotOnePart => {
                f.write_str("key: a table has one part; put several into a list of tables")
            }
            Self::BadName { part, given } => {
                let noun = part.noun();
                write!(f, "key.{part}: `{}` is no name of a {noun}", Beginning(given))
            }
            Self::NoNumber { field, given } => {
                write!(f, "key.{field}: `{}` is no number", Beginning(given))
            }
            Self::OutOfRange { field, given, min, max } => {
                write!(f, "key.{field}: {given} is out of range; allowed are {min} to {max}")
            }
        }
    }
}

impl core::error::Error for KeyError {}

/// As much of what was given as an error quotes.
struct Beginning<'a>(&'a str);

impl fmt::Display for Beginning<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.chars();
        rest.by_ref().take(64).try_for_each(|char| f.write_char(char))?;
        if rest.next().is_some() { f.write_str("...") } else { Ok(()) }
    }
}
