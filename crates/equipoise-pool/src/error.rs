//! What can go wrong.

use std::fmt;

use equipoise_core::{BackendId, PinnedState};

/// Why there is no backend for a request. Nothing changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum PickError {
    /// The pool is empty.
    NoBackends,
    /// There are backends, but none takes new requests: all are down, draining, disabled or of
    /// weight 0.
    NoneAdmitted,
    /// The policy picks by a key, refuses requests that have none, and this one has none.
    NoKey,
    /// The request belongs to a session that has to stay with its backend, which can't take it.
    Pinned(PinnedState),
    /// Some backends take new requests, but not this one: it has tried them, or they are full. Each
    /// was full when it was looked at; where places come and go, one may be free again by now.
    Exhausted {
        /// How many admitted backends it had tried.
        tried: usize,
        /// How many others were full.
        full: usize,
    },
}

impl fmt::Display for PickError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoBackends => f.write_str("the pool has no backends"),
            Self::NoneAdmitted => f.write_str("no backend takes new requests"),
            Self::NoKey => f.write_str("the request has no key to pick a backend by"),
            Self::Pinned(state) => write!(f, "the backend of its session {state}"),
            Self::Exhausted { tried, full } => {
                write!(f, "no backend is left: {tried} tried, {full} full")
            }
        }
    }
}

impl std::error::Error for PickError {}

/// Why an update was refused. Nothing changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum UpdateError {
    /// Two backends have the same id.
    DuplicateId(BackendId),
    /// No backend has this id.
    UnknownId(BackendId),
    /// More backends than a pool takes.
    TooMany {
        /// The most it takes.
        limit: usize,
    },
}

impl fmt::Display for UpdateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DuplicateId(id) => write!(f, "two backends have the id {id}"),
            Self::UnknownId(id) => write!(f, "no backend has the id {id}"),
            Self::TooMany { limit } => write!(f, "a pool takes at most {limit} backends"),
        }
    }
}

impl std::error::Error for UpdateError {}
