//! What can be wrong with a configuration.

use alloc::string::String;
use core::fmt;

use super::{NAMES, SETTINGS};

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
    /// A setting's value is none of those allowed.
    NotAllowed {
        /// The setting.
        field: &'static str,
        /// What was given.
        given: String,
        /// What it may be.
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
    /// A setting's value must be a prime number.
    NotPrime {
        /// The setting.
        field: &'static str,
        /// What was given.
        given: u64,
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
            Self::NotAllowed { field, given, allowed } => {
                write!(
                    f,
                    "policy.{field}: `{given}` is not allowed; allowed are {}",
                    allowed.join(", ")
                )
            }
            Self::OutOfRange { field, given, min, max } => {
                write!(f, "policy.{field}: {given} is out of range; allowed are {min} to {max}")
            }
            Self::NotPrime { field, given } => {
                write!(f, "policy.{field}: {given} is not a prime number")
            }
        }
    }
}

impl core::error::Error for ConfigError {}
