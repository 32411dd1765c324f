//! Choosing a policy by name.

mod compat;
mod error;
mod hash;
mod settings;

use alloc::string::ToString;
use core::fmt;
use core::str::FromStr;
use core::time::Duration;

use equipoise_core::BoxPolicy;
use equipoise_hash::compat::{KeyRule, Servers};
use equipoise_hash::{BuildError, Node};

pub use self::compat::CompatConfig;
pub use self::error::ConfigError;
pub use self::hash::{HashConfig, TableConfig};
use self::settings::{SETTINGS, Written};
use crate::{LeastConn, P2c, PeakEwma, Random, RoundRobin};

/// A policy and its settings, as a configuration gives them.
///
/// With the feature `serde` it reads either a name, or a table with the name and settings; what is
/// unknown or out of range is refused with an error that names it and lists what is allowed.
///
/// | name | settings |
/// |---|---|
/// | `round_robin` (or `weighted_round_robin`) | |
/// | `random` | |
/// | `least_conn` | |
/// | `p2c` | `choices`: 2 to 16, default 2 |
/// | `peak_ewma` | `decay_ms`: 1 to 3,600,000, default 10,000; `penalty_ms`: the same, default 5,000 |
/// | `rendezvous_table` | `slots`: 1 to 16,777,216, default 65,536; `quota`: 0 to 1,000 percent, default none |
/// | `maglev` | `slots`: the same |
/// | `ring` | `points` for each unit of weight: 1 to 4,096, default 160 |
/// | `multi_probe` | `probes`: 1 to 128, default 21; `points`: 1 to 4,096, default 64 |
/// | `anchor` | `capacity`: 1 to 1,048,576 units of weight, default 1,024 |
/// | `rendezvous`, `jump`, `memento` | |
/// | `nginx_consistent`, `nginx_hash`, `nginx_ip_hash` | |
/// | `haproxy_consistent` | `function`: `sdbm`, `djb2`, `wt6` or `crc32`; `avalanche`: `true` or `false`. As after `hash-type consistent`: with neither, `sdbm` and `true`; with a function alone, `false` |
/// | `envoy_ring_hash` | `minimum_ring_size`: 1 to 8,388,608, default 1,024; `maximum_ring_size`: the same, default 8,388,608; `function`: `xx_hash` (the default) or `murmur_hash_2` |
/// | `envoy_maglev` | `slots`: a prime number up to 5,000,011, default 65,537 |
///
/// Those from `rendezvous_table` on pick by the request's key, and also have `without_key`:
/// `random` (the default), `round_robin` or `refuse`; and `balance_factor`: 100 to 10,000 percent,
/// the bound on a backend's share of the requests in flight, default none.
///
/// The last four lines are [compatible modes](equipoise_hash::compat): the same key goes where the
/// other proxy sends it. They need the servers' names and order, so make them by
/// [`policy_for`](Self::policy_for), and hash keys by [`key_rule`](Self::key_rule). Without a key they do as
/// the other proxy: nginx and HAProxy take turns, so `round_robin` is the default, and Envoy draws.
/// With `balance_factor` they are compatible no more when it comes into effect: each proxy sees its
/// own requests in flight.
///
/// ```
/// use equipoise_algorithms::PolicyConfig;
/// use equipoise_pool::Pool;
///
/// let config: PolicyConfig = "least_conn".parse()?;
/// let pool: Pool<String, _> = Pool::new(config.policy(), 42);
/// # let _ = pool;
///
/// let error = "leastconn".parse::<PolicyConfig>().unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "policy: unknown name `leastconn`; allowed are round_robin, weighted_round_robin, random, \
///      least_conn, p2c, peak_ewma, rendezvous_table, maglev, ring, rendezvous, multi_probe, anchor, \
///      memento, jump, nginx_consistent, nginx_hash, nginx_ip_hash, haproxy_consistent, envoy_ring_hash, \
///      envoy_maglev"
/// );
/// # Ok::<(), equipoise_algorithms::ConfigError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum PolicyConfig {
    /// [`RoundRobin`]
    RoundRobin,
    /// [`Random`]
    Random,
    /// [`LeastConn`]
    LeastConn,
    /// [`P2c`]
    P2c(P2c),
    /// [`PeakEwma`]
    PeakEwma(PeakEwma),
    /// [`Hashed`](crate::Hashed) or [`BoundedLoad`](crate::BoundedLoad)
    Hash(HashConfig),
}

/// The names that a configuration may give.
const NAMES: [&str; 20] = [
    "round_robin",
    "weighted_round_robin",
    "random",
    "least_conn",
    "p2c",
    "peak_ewma",
    "rendezvous_table",
    "maglev",
    "ring",
    "rendezvous",
    "multi_probe",
    "anchor",
    "memento",
    "jump",
    "nginx_consistent",
    "nginx_hash",
    "nginx_ip_hash",
    "haproxy_consistent",
    "envoy_ring_hash",
    "envoy_maglev",
];

impl PolicyConfig {
    /// All names that a configuration may give.
    pub const fn names() -> &'static [&'static str] {
        &NAMES
    }

    /// The policy's name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::RoundRobin => "round_robin",
            Self::Random => "random",
            Self::LeastConn => "least_conn",
            Self::P2c(_) => "p2c",
            Self::PeakEwma(_) => "peak_ewma",
            Self::Hash(hash) => hash.table.name(),
        }
    }

    /// The policy itself, for one pool.
    ///
    /// Of a compatible mode it is one that knows no server, and so is compatible with nothing: keys
    /// go by rendezvous. [`policy_for`](Self::policy_for) has the servers.
    pub fn policy(&self) -> BoxPolicy {
        match *self {
            Self::RoundRobin => BoxPolicy::new(RoundRobin),
            Self::Random => BoxPolicy::new(Random),
            Self::LeastConn => BoxPolicy::new(LeastConn::new()),
            Self::P2c(p2c) => BoxPolicy::new(p2c),
            Self::PeakEwma(peak_ewma) => BoxPolicy::new(peak_ewma),
            Self::Hash(hash) => hash.policy(),
        }
    }

    /// The policy for one pool of these servers. Only a compatible mode looks at them: for any other
    /// policy this is [`policy`](Self::policy).
    ///
    /// `servers` are all that the pool may ever have, as the other proxy knows them; keys of backends
    /// that are not among them go there only when no other can have them. `nodes` are those that it
    /// has now: if the other proxy could not have these weights, it is better to be told than to
    /// place keys elsewhere.
    ///
    /// # Errors
    /// What the table's constructor refuses: a weight that HAProxy does not know (over 256), weights
    /// that add up to too much for a ring or an anchor's capacity, a node that is not among the servers. Settings that were
    /// read from a configuration are no reason.
    ///
    /// ```
    /// use equipoise_algorithms::PolicyConfig;
    /// use equipoise_hash::compat::{Servers, nginx};
    /// use equipoise_pool::{BackendId, Pool, Request, Spec};
    ///
    /// let config: PolicyConfig = "nginx_consistent".parse()?;
    /// // As nginx.conf has them, and in its order.
    /// let names = ["10.0.0.1:8080", "10.0.0.2:8080", "10.0.0.3:8080"];
    /// let servers = Servers::named(names)?;
    /// let policy = config.policy_for(&servers, &servers.nodes([]))?;
    ///
    /// let pool = Pool::new(policy, 42);
    /// pool.update(names.map(|name| Spec::new(BackendId::named(name), name)))?;
    /// let key = nginx::Consistent::key(b"/index.html").unwrap();
    /// assert_eq!(*pool.pick(&Request::new().with_key(key))?, "10.0.0.1:8080");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn policy_for(&self, servers: &Servers, nodes: &[Node]) -> Result<BoxPolicy, BuildError> {
        match self {
            Self::Hash(hash) => hash.policy_for(servers, nodes),
            _ => Ok(self.policy()),
        }
    }

    /// How keys must be hashed, if the policy is a compatible mode. Others take any hash; make it
    /// under a secret, as [`KeyHasher`](equipoise_hash::key::KeyHasher) does.
    pub const fn key_rule(&self) -> Option<KeyRule> {
        match self {
            Self::Hash(HashConfig { table: TableConfig::Compat(compat), .. }) => {
                Some(compat.key_rule())
            }
            _ => None,
        }
    }

    /// The settings that it has.
    const fn settings(&self) -> &'static [&'static str] {
        match self {
            Self::P2c(_) => &["choices"],
            Self::PeakEwma(_) => &["decay_ms", "penalty_ms"],
            Self::Hash(hash) => hash.table.settings(),
            _ => &[],
        }
    }

    /// From what is written.
    fn read(written: &Written) -> Result<Self, ConfigError> {
        let config = match written.name.as_str() {
            "round_robin" | "weighted_round_robin" => Self::RoundRobin,
            "random" => Self::Random,
            "least_conn" => Self::LeastConn,
            "p2c" => Self::P2c(p2c(written)?),
            "peak_ewma" => Self::PeakEwma(peak_ewma(written)?),
            "" => return Err(ConfigError::NoName),
            name => match HashConfig::read(written) {
                Some(hash) => Self::Hash(hash?),
                None => return Err(ConfigError::UnknownName { given: name.to_string() }),
            },
        };
        written.refuse_foreign(config.settings())?;
        Ok(config)
    }

    /// As it is written, with all settings.
    #[cfg_attr(not(feature = "serde"), expect(dead_code, reason = "serde writes it"))]
    fn written(&self) -> Written {
        let mut written = Written::named(self.name());
        match self {
            Self::P2c(p2c) => written.set("choices", p2c.choices()),
            Self::PeakEwma(ewma) => {
                written.set("decay_ms", ewma.decay().as_millis() as u64);
                written.set("penalty_ms", ewma.penalty().as_millis() as u64);
            }
            Self::Hash(hash) => hash.write(&mut written),
            _ => {}
        }
        written
    }
}

fn p2c(written: &Written) -> Result<P2c, ConfigError> {
    let choices = written.number("choices", (2, P2c::MAX_CHOICES.into()))?;
    Ok(choices.and_then(|choices| P2c::new(choices as u8)).unwrap_or_default())
}

fn peak_ewma(written: &Written) -> Result<PeakEwma, ConfigError> {
    let (min, max) = (PeakEwma::RANGE.start(), PeakEwma::RANGE.end());
    let range = (min.as_millis() as u64, max.as_millis() as u64);
    let time =
        |field, default| Ok(written.number(field, range)?.map_or(default, Duration::from_millis));
    Ok(PeakEwma::default()
        .with_decay(time("decay_ms", PeakEwma::DEFAULT_DECAY)?)
        .with_penalty(time("penalty_ms", PeakEwma::DEFAULT_PENALTY)?))
}

impl Default for PolicyConfig {
    /// Round robin: what a newcomer expects to see.
    fn default() -> Self {
        Self::RoundRobin
    }
}

impl FromStr for PolicyConfig {
    type Err = ConfigError;

    /// A name, with the default settings.
    fn from_str(name: &str) -> Result<Self, ConfigError> {
        Self::read(&Written::named(name))
    }
}

impl fmt::Display for PolicyConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
