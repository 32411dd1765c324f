//! What can be wrong with the settings of shared sessions.

use std::fmt;

/// A setting that is not allowed. Nothing changed.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum SessionsError {
    /// A setting's value is not allowed.
    Setting {
        /// The setting.
        field: &'static str,
        /// What was given.
        given: String,
        /// What it may be.
        allowed: &'static str,
    },
    /// The URL names no Redis. What was given is not told: it may hold a password.
    Url {
        /// What is wrong with it.
        reason: String,
    },
}

impl fmt::Display for SessionsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Setting { field, given, allowed } => {
                write!(f, "{field}: `{given}` is not allowed; allowed is {allowed}")
            }
            Self::Url { reason } => write!(
                f,
                "url: {reason}; allowed is redis://[USER:PASSWORD@]HOST[:PORT][/DB] or redis+unix:///PATH"
            ),
        }
    }
}

impl std::error::Error for SessionsError {}
