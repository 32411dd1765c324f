//! Sections of a configuration that both proxies have, checked into types that can't be wrong.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::net::SocketAddr;
use std::time::Duration;

use equipoise_algorithms::PolicyConfig;
use equipoise_hash::key::KeySpec;
use equipoise_tokio::queue::QueueConfig;
use equipoise_tokio::socket::{BadAddress, StreamAddr};
use serde::Deserialize;

use crate::StartError;
use crate::backend::BackendSpec;
use crate::discover::{DiscoverSection, Discovery};
use crate::flags::{Flags, parse_listen};
use crate::health::{HealthSection, HealthSettings};
use crate::keys::{KeySettings, Secret, Sight, Written};
use crate::proxy_protocol::SendProxy;
use crate::sticky::{StickySection, StickySettings};

/// `[pools.NAME]`, as it is written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolSection {
    /// How to choose.
    #[serde(default)]
    pub policy: PolicyConfig,
    /// By what, if the policy picks by a key.
    pub key: Option<KeySpec>,
    /// Under which the key is hashed.
    pub secret: Option<Secret>,
    /// Among whom.
    #[serde(default)]
    pub backends: Vec<BackendSpec>,
    /// Among whom, if that is not listed.
    pub discover: Option<DiscoverSection>,
    /// How their health is found out, instead of as `[health]` says.
    pub health: Option<HealthSection>,
    /// How a session's requests are kept together.
    pub sticky: Option<StickySection>,
    /// What a backend is told of the client first.
    pub send_proxy: Option<SendProxy>,
}

/// Nobody waits while all backends are full.
const NO_QUEUE: QueueConfig = QueueConfig { max: 0, wait: Duration::ZERO };

/// A pool with a good name, and at least one backend, all of them different, or a place to find
/// them.
#[derive(Clone, Debug)]
pub struct PoolSettings {
    name: String,
    field: String,
    policy: PolicyConfig,
    key: Option<KeySettings>,
    backends: Vec<BackendSpec>,
    discovery: Option<Discovery>,
    health: HealthSettings,
    sticky: Option<StickySettings>,
    queue: QueueConfig,
    send_proxy: Option<SendProxy>,
    written: Section,
}

/// A pool's section as it is written, but for its backends; with the `[health]` that holds for it.
#[derive(Clone, PartialEq, Default)]
struct Section(toml::Table);

impl Section {
    fn of(file: &toml::Table, pool: &str) -> Self {
        let section = file.get("pools").and_then(|pools| pools.get(pool)?.as_table());
        let mut section = section.cloned().unwrap_or_default();
        section.remove("backends");
        if let (None, Some(health)) = (section.get("health"), file.get("health")) {
            section.insert("health".to_owned(), health.clone());
        }
        Self(section)
    }
}

impl fmt::Debug for Section {
    /// It may have secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Section").finish_non_exhaustive()
    }
}

/// The pool that the flags describe.
pub const DEFAULT_POOL: &str = "default";

impl PoolSettings {
    /// Checks one pool of a proxy that sees this of its requests. `health` holds unless the pool has
    /// a section of its own.
    ///
    /// # Errors
    /// A name that would spoil the log; no backends; the same backend twice; backends that are both
    /// listed and discovered; what [`Written::check`], [`Discovery::new`] and [`HealthSettings::new`]
    /// refuse.
    pub fn new(
        name: &str,
        section: PoolSection,
        health: &HealthSettings,
        sight: Sight,
    ) -> Result<Self, StartError> {
        let good = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if name.is_empty() || !name.bytes().all(good) {
            let wrong = "a name has letters, digits, `-` and `_` only";
            return Err(StartError::new(format!("pools.{name}"), wrong));
        }
        let PoolSection {
            policy,
            key,
            secret,
            backends,
            discover,
            health: own,
            sticky,
            send_proxy,
        } = section;
        let written = Written { section: Some(name), key, secret };
        let key = written.check(policy, sight)?;
        let health = match own {
            Some(own) => HealthSettings::new(&format!("pools.{name}.health"), &own)?,
            None => health.clone(),
        };
        let at = format!("pools.{name}.discover");
        let discovery = discover.map(|section| Discovery::new(&at, &section)).transpose()?;
        let at = format!("pools.{name}.sticky");
        let sticky = sticky.map(|section| StickySettings::new(&at, &section, sight, &backends));
        let sticky = sticky.transpose()?;
        let field = format!("pools.{name}.backends");
        let name = name.to_owned();
        let plain = Self::plain(name, field, policy, key, backends);
        Self { discovery, health, sticky, send_proxy, ..plain }.with_good_backends()
    }

    /// All else as it is by default.
    fn plain(
        name: String,
        field: String,
        policy: PolicyConfig,
        key: Option<KeySettings>,
        backends: Vec<BackendSpec>,
    ) -> Self {
        Self {
            name,
            field,
            policy,
            key,
            backends,
            discovery: None,
            health: HealthSettings::default(),
            sticky: None,
            queue: NO_QUEUE,
            send_proxy: None,
            written: Section::default(),
        }
    }

    fn with_good_backends(self) -> Result<Self, StartError> {
        let Self { field, backends, .. } = &self;
        match (backends.is_empty(), self.discovery.is_some()) {
            (true, false) => return Err(StartError::new(field, "no backends")),
            (false, true) => {
                let wrong = "they are discovered as well; list them or discover them";
                return Err(StartError::new(field, wrong));
            }
            (true, true) | (false, false) => {}
        }
        for (index, backend) in backends.iter().enumerate() {
            if backends[..index].iter().any(|other| other.address == backend.address) {
                let wrong = format!("duplicate backend `{}`", backend.address);
                return Err(StartError::new(field, wrong));
            }
            let own_port = self.health.check.as_ref().and_then(|check| check.port);
            if own_port.is_some() && backend.address.unix().is_some() && backend.check.is_none() {
                let wrong = format!(
                    "backend `{}`: a Unix socket has no port, and [health.check] asks at one; give `check`",
                    backend.address
                );
                return Err(StartError::new(field, wrong));
            }
            if backend.check.is_some() && self.health.check.is_none() {
                let wrong = format!(
                    "backend `{}`: `check` says where to ask for its health, but nothing is asked; add \
                     [health.check]",
                    backend.address
                );
                return Err(StartError::new(field, wrong));
            }
        }
        Ok(self)
    }

    /// Checks all pools of a file, and its `[health]`.
    ///
    /// # Errors
    /// No pools, and what [`new`](Self::new) refuses.
    pub fn all(
        sections: BTreeMap<String, PoolSection>,
        health: &HealthSection,
        sight: Sight,
    ) -> Result<Vec<Self>, StartError> {
        let health = HealthSettings::new("health", health)?;
        if sections.is_empty() {
            return Err(StartError::new("pools", "no pools, so no backends; add [pools.NAME]"));
        }
        let check = |(name, section): (String, _)| Self::new(&name, section, &health, sight);
        sections.into_iter().map(check).collect()
    }

    /// The one pool that the flags describe.
    ///
    /// # Errors
    /// No backends, or the same backend twice; what [`Written::check`] refuses.
    pub fn from_flags(flags: &Flags, sight: Sight) -> Result<Self, StartError> {
        if flags.backend.is_empty() {
            let wrong = "no backends; give --backend HOST:PORT, or --config FILE";
            return Err(StartError::plain(wrong));
        }
        let policy = flags.policy.unwrap_or_default();
        let written = Written { section: None, key: flags.key.clone(), secret: None };
        let key = written.check(policy, sight)?;
        let (name, field) = (DEFAULT_POOL.to_owned(), "--backend".to_owned());
        let backends = flags.backend.clone();
        let sticky = flags.sticky.as_ref().map(|mode| mode.settings(sight)).transpose()?;
        Self { sticky, ..Self::plain(name, field, policy, key, backends) }.with_good_backends()
    }

    /// Remembers what is written of these pools in the file, so that a reload sees what it changes.
    pub fn remember(pools: &mut [Self], text: &str) {
        let file: toml::Table = text.parse().unwrap_or_default();
        for pool in pools {
            pool.written = Section::of(&file, &pool.name);
        }
    }

    /// Whether a pool of these settings becomes one of those by an update of its backends.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        // A policy that does as another proxy does is made for the servers as they are listed.
        let is_made_for_backends = self.policy.key_rule().is_some();
        self.name == other.name
            && self.written == other.written
            && (!is_made_for_backends || self.backends == other.backends)
    }

    /// Whether all of these settings are written alike in both.
    pub(crate) fn has_alike(&self, other: &Self, names: &[&str]) -> bool {
        names.iter().all(|name| self.written.0.get(*name) == other.written.0.get(*name))
    }

    /// Lets requests wait while all backends are full.
    pub const fn set_queue(&mut self, queue: QueueConfig) {
        self.queue = queue;
    }

    /// How requests wait while all backends are full, if they do.
    pub const fn queue(&self) -> QueueConfig {
        self.queue
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where its backends are written, for errors.
    pub fn field(&self) -> &str {
        &self.field
    }

    /// The policy.
    pub const fn policy(&self) -> PolicyConfig {
        self.policy
    }

    /// The key, if the policy picks by one.
    pub const fn key(&self) -> Option<&KeySettings> {
        self.key.as_ref()
    }

    /// How the health of its backends is found out.
    pub const fn health(&self) -> &HealthSettings {
        &self.health
    }

    /// How a session's requests are kept together, if they are.
    pub const fn sticky(&self) -> Option<&StickySettings> {
        self.sticky.as_ref()
    }

    /// What a backend is told of the client first, if it is.
    pub const fn send_proxy(&self) -> Option<SendProxy> {
        self.send_proxy
    }

    /// Where its backends come from, if they are not listed.
    pub const fn discovery(&self) -> Option<&Discovery> {
        self.discovery.as_ref()
    }

    /// The backends that are listed; none if they are discovered.
    pub fn backends(&self) -> &[BackendSpec] {
        &self.backends
    }
}

/// Where a pool of this name is in the list.
///
/// # Errors
/// `field` names no pool; the error lists those that there are.
pub fn pool_index(field: &str, name: &str, pools: &[PoolSettings]) -> Result<usize, StartError> {
    pools.iter().position(|pool| pool.name == name).ok_or_else(|| {
        let names: Vec<_> = pools.iter().map(PoolSettings::name).collect();
        let wrong = format!("no pool `{name}`; allowed are {}", names.join(", "));
        StartError::new(field, wrong)
    })
}

/// Checks the addresses to listen on.
///
/// # Errors
/// None at all, one that is no address, the same one twice.
pub fn listeners<'a, A: ListenAddress>(
    addresses: impl Iterator<Item = &'a str>,
) -> Result<Vec<A>, StartError> {
    let parsed = listen_addresses("listeners", addresses)?;
    if parsed.is_empty() {
        return Err(StartError::new("listeners", "nothing to listen on; add [[listeners]]"));
    }
    Ok(parsed)
}

/// Checks the addresses of a section of listeners, which may have none.
///
/// # Errors
/// One that is no address, the same one twice.
pub fn listen_addresses<'a, A: ListenAddress>(
    section: &str,
    addresses: impl Iterator<Item = &'a str>,
) -> Result<Vec<A>, StartError> {
    let mut parsed: Vec<A> = Vec::new();
    for (index, text) in addresses.enumerate() {
        let field = format!("{section}[{index}].address");
        let address = A::parse(text).map_err(|wrong| StartError::new(&field, wrong))?;
        refuse_twice(&field, &address, &parsed)?;
        parsed.push(address);
    }
    Ok(parsed)
}

/// Where a proxy can listen: at IP addresses alone, or on Unix sockets too.
pub trait ListenAddress: PartialEq + Display {
    /// Checks it.
    ///
    /// # Errors
    /// It is none.
    fn parse(text: &str) -> Result<Self, String>
    where
        Self: Sized;

    /// Whether the system chooses the port: it can do so more than once.
    fn is_any(&self) -> bool;
}

impl ListenAddress for SocketAddr {
    fn parse(text: &str) -> Result<Self, String> {
        parse_listen(text)
    }

    fn is_any(&self) -> bool {
        self.port() == 0
    }
}

impl ListenAddress for StreamAddr {
    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|wrong: BadAddress| wrong.to_string())
    }

    fn is_any(&self) -> bool {
        self.ip().is_some_and(|address| address.is_any())
    }
}

/// The addresses that the flags give, or `default` if they give none.
///
/// # Errors
/// The same one twice.
pub fn listeners_from_flags(
    flags: &Flags,
    default: SocketAddr,
) -> Result<Vec<SocketAddr>, StartError> {
    if flags.listen.is_empty() {
        return Ok(vec![default]);
    }
    for (index, &address) in flags.listen.iter().enumerate() {
        refuse_twice("--listen", &address, &flags.listen[..index])?;
    }
    Ok(flags.listen.clone())
}

fn refuse_twice<A: ListenAddress>(
    field: &str,
    address: &A,
    before: &[A],
) -> Result<(), StartError> {
    if !address.is_any() && before.contains(address) {
        return Err(StartError::new(field, format!("duplicate listener `{address}`")));
    }
    Ok(())
}

/// A time limit in milliseconds, as it is written: 1 ms to a week.
///
/// # Errors
/// Out of range; names `field`.
pub fn millis(field: &str, given: Option<u64>, default: Duration) -> Result<Duration, StartError> {
    const MAX: u64 = 7 * 24 * 3_600_000;
    match given {
        None => Ok(default),
        Some(ms @ 1..=MAX) => Ok(Duration::from_millis(ms)),
        Some(ms) => {
            let wrong = format!("{ms} is out of range; allowed are 1 to {MAX}");
            Err(StartError::new(field, wrong))
        }
    }
}
