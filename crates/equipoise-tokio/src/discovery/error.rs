//! What can go wrong in discovery.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::guard::Refusal;
use super::list::ListError;

/// Why there is no set. What the listener had stays as it was.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum DiscoveryError {
    /// A setting's value is not allowed.
    Setting {
        /// The setting.
        field: &'static str,
        /// What was given.
        given: String,
        /// What it may be.
        allowed: &'static str,
    },
    /// Two backends have the same name.
    Duplicate {
        /// The name.
        name: String,
    },
    /// More backends, or more targets of SRV records, than a set may have.
    TooMany {
        /// The most it may have.
        limit: usize,
    },
    /// The list could not be read.
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        kind: io::ErrorKind,
    },
    /// The path leads to something other than a file.
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// The file is no list of backends.
    List {
        /// The file.
        path: PathBuf,
        /// Where, and why.
        error: ListError,
    },
    /// The system's configuration of name servers could not be read.
    NameServers {
        /// Why not.
        reason: String,
    },
    /// A question to the name servers failed.
    Lookup {
        /// The name that was asked for.
        name: String,
        /// The record that was asked for: `A`, `AAAA`, `SRV` or `CNAME`.
        record: &'static str,
        /// Why.
        failure: LookupFailure,
    },
    /// A guard kept the last set.
    Refused(Refusal),
}

/// Why a question to the name servers failed.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum LookupFailure {
    /// There is no such name (NXDOMAIN).
    NoSuchName,
    /// Nobody answered in time.
    Timeout,
    /// The server answered with an error, such as SERVFAIL or REFUSED.
    Answered(String),
    /// Anything else: the network, or an answer that makes no sense.
    Other(String),
}

impl fmt::Display for DiscoveryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Setting { field, given, allowed } => {
                write!(f, "{field}: `{given}` is not allowed; allowed is {allowed}")
            }
            Self::Duplicate { name } => write!(f, "two backends have the name `{name}`"),
            Self::TooMany { limit } => write!(f, "a set may have at most {limit} backends"),
            Self::Read { path, kind } => write!(f, "{}: {kind}", path.display()),
            Self::NotAFile { path } => write!(f, "{}: not a file", path.display()),
            Self::List { path, error } => write!(f, "{}: {error}", path.display()),
            Self::NameServers { reason } => {
                write!(f, "the system's name servers are unknown: {reason}")
            }
            Self::Lookup { name, record, failure } => write!(f, "{record} {name}: {failure}"),
            Self::Refused(refusal) => refusal.fmt(f),
        }
    }
}

impl fmt::Display for LookupFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchName => f.write_str("no such name"),
            Self::Timeout => f.write_str("no answer in time"),
            Self::Answered(code) => write!(f, "the server answered: {code}"),
            Self::Other(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for DiscoveryError {}
