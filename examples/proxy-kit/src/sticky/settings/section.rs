//! `[pools.NAME.sticky]`, as it is written.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroUsize;

use equipoise_core::Persistence;
use equipoise_hash::key::KeyKind;
use serde::Deserialize;

use crate::keys::Secret;

/// `[pools.NAME.sticky]`, as it is written. What is not for its `mode` is refused.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StickySection {
    /// How a session is told.
    pub mode: ModeKind,
    /// The name of the cookie, of the header or of the parameter.
    pub name: Option<String>,
    /// With `client`: how many bits of an IPv4 address make the session.
    pub v4: Option<u8>,
    /// With `client`: how many bits of an IPv6 address make the session.
    pub v6: Option<u8>,
    /// With `route`: what applications call themselves, by backend.
    pub routes: Option<BTreeMap<String, String>>,
    /// What becomes of a session whose backend can't take it.
    #[serde(default)]
    pub on_lost: Persistence,
    /// After how long without a request a session is over.
    pub idle_ms: Option<u64>,
    /// After how long a session is over, whatever it asks.
    pub lifetime_ms: Option<u64>,
    /// How many sessions the table has room for.
    pub max_sessions: Option<NonZeroUsize>,
    /// Under which tokens are sealed, and ids become keys.
    pub secret: Option<Secret>,
    /// Under which tokens were sealed before: a list of secrets.
    pub old_secrets: Option<Unread>,
    /// Raised, it makes all tokens from before worth nothing.
    pub epoch: Option<u32>,
    /// The attributes of the cookie.
    pub attributes: Option<toml::Table>,
    /// The response header that says what came of a session.
    pub report: Option<String>,
    /// When sessions may move to backends that have less than their share.
    pub surplus: Option<SurplusSection>,
    /// Where sessions are kept for several balancers.
    pub redis: Option<Unread>,
}

/// A value that is read when it is checked: an error of the reader would quote what is in it.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Unread(pub(super) toml::Value);

impl fmt::Debug for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unread")
    }
}

/// The ways to tell a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModeKind {
    /// By a cookie of our own.
    Cookie,
    /// By a token in front of the application's cookie.
    Prefix,
    /// By the application's name for the backend, in its cookie or in the URI.
    Route,
    /// By the application's cookie.
    Learn,
    /// By a header of the client's.
    Header,
    /// By the client's address.
    Client,
}

/// `[pools.NAME.sticky.surplus]`, as it is written.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SurplusSection {
    /// How many times its share a backend may have.
    pub cap: Option<f64>,
    /// For how long load is measured, and sessions may move.
    pub interval_ms: Option<u64>,
    /// How long a session that moves has asked nothing.
    pub idle_ms: Option<u64>,
}

impl StickySection {
    /// All as it is by default.
    pub const fn new(mode: ModeKind, name: Option<String>) -> Self {
        Self {
            mode,
            name,
            v4: None,
            v6: None,
            routes: None,
            on_lost: Persistence::Repin,
            idle_ms: None,
            lifetime_ms: None,
            max_sessions: None,
            secret: None,
            old_secrets: None,
            epoch: None,
            attributes: None,
            report: None,
            surplus: None,
            redis: None,
        }
    }
}

impl ModeKind {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Cookie => "cookie",
            Self::Prefix => "prefix",
            Self::Route => "route",
            Self::Learn => "learn",
            Self::Header => "header",
            Self::Client => "client",
        }
    }

    pub(super) const fn has_token(self) -> bool {
        matches!(self, Self::Cookie | Self::Prefix)
    }

    pub(super) const fn has_table(self) -> bool {
        matches!(self, Self::Learn | Self::Header | Self::Client)
    }

    /// What of a request it looks at.
    pub(super) const fn looks_at(self) -> KeyKind {
        match self {
            Self::Cookie | Self::Prefix | Self::Route | Self::Learn => KeyKind::Cookie,
            Self::Header => KeyKind::Header,
            Self::Client => KeyKind::Client,
        }
    }
}
