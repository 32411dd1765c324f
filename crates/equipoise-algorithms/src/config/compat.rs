//! Other proxies' hashing by name.

use alloc::string::String;

use equipoise_core::BoxPolicy;
use equipoise_hash::compat::envoy::{self, RingFunction, RingSettings};
use equipoise_hash::compat::haproxy::{self, Function, Hashing};
use equipoise_hash::compat::{KeyRule, Servers, nginx};
use equipoise_hash::{BuildError, Node};

use super::ConfigError;
use super::hash::HashConfig;
use super::settings::Written;
use crate::WithoutKey;

/// Another proxy's way of hashing, and its settings there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum CompatConfig {
    /// [`nginx::Consistent`]
    NginxConsistent,
    /// [`nginx::PlainHash`]
    NginxHash,
    /// [`nginx::IpHash`]
    NginxIpHash,
    /// [`envoy::RingHash`]
    EnvoyRingHash(RingSettings),
    /// [`envoy::Maglev`]
    EnvoyMaglev {
        /// Slots of the table: a prime number.
        slots: u32,
    },
    /// [`haproxy::Consistent`]
    HaproxyConsistent(Hashing),
}

const RING_FUNCTIONS: [(&str, RingFunction); 2] =
    [("xx_hash", RingFunction::XxHash), ("murmur_hash_2", RingFunction::MurmurHash2)];
const FUNCTIONS: [(&str, Function); 4] = [
    ("sdbm", Function::Sdbm),
    ("djb2", Function::Djb2),
    ("wt6", Function::Wt6),
    ("crc32", Function::Crc32),
];

impl CompatConfig {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::NginxConsistent => "nginx_consistent",
            Self::NginxHash => "nginx_hash",
            Self::NginxIpHash => "nginx_ip_hash",
            Self::EnvoyRingHash(_) => "envoy_ring_hash",
            Self::EnvoyMaglev { .. } => "envoy_maglev",
            Self::HaproxyConsistent(_) => "haproxy_consistent",
        }
    }

    pub(super) const fn settings(&self) -> &'static [&'static str] {
        match self {
            Self::EnvoyRingHash(_) => &[
                "minimum_ring_size",
                "maximum_ring_size",
                "function",
                "balance_factor",
                "without_key",
            ],
            Self::EnvoyMaglev { .. } => &["slots", "balance_factor", "without_key"],
            Self::HaproxyConsistent(_) => {
                &["function", "avalanche", "balance_factor", "without_key"]
            }
            _ => &["balance_factor", "without_key"],
        }
    }

    /// How its keys are made of a request.
    pub const fn key_rule(&self) -> KeyRule {
        match self {
            Self::NginxConsistent => KeyRule::NginxConsistent,
            Self::NginxHash => KeyRule::NginxHash,
            Self::NginxIpHash => KeyRule::NginxIpHash,
            Self::EnvoyRingHash(_) | Self::EnvoyMaglev { .. } => KeyRule::Envoy,
            Self::HaproxyConsistent(hashing) => KeyRule::Haproxy(*hashing),
        }
    }

    /// What becomes of requests without a key, if nothing is said: what the other proxy does.
    pub(super) const fn without_key(&self) -> WithoutKey {
        match self {
            Self::EnvoyRingHash(_) | Self::EnvoyMaglev { .. } => WithoutKey::Random,
            _ => WithoutKey::RoundRobin,
        }
    }

    /// From what is written; `None` if the name is none of these.
    pub(super) fn read(written: &Written) -> Result<Option<Self>, ConfigError> {
        Ok(Some(match written.name.as_str() {
            "nginx_consistent" => Self::NginxConsistent,
            "nginx_hash" => Self::NginxHash,
            "nginx_ip_hash" => Self::NginxIpHash,
            "envoy_ring_hash" => Self::EnvoyRingHash(ring(written)?),
            "envoy_maglev" => Self::EnvoyMaglev { slots: slots(written)? },
            "haproxy_consistent" => Self::HaproxyConsistent(hashing(written)?),
            _ => return Ok(None),
        }))
    }

    pub(super) fn write(&self, written: &mut Written) {
        match *self {
            Self::EnvoyRingHash(RingSettings { function, minimum, maximum }) => {
                written.set("minimum_ring_size", minimum);
                written.set("maximum_ring_size", maximum);
                written.function = name_of(function, &RING_FUNCTIONS);
            }
            Self::EnvoyMaglev { slots } => written.set("slots", slots),
            Self::HaproxyConsistent(Hashing { function, avalanche }) => {
                written.function = name_of(function, &FUNCTIONS);
                written.avalanche = Some(avalanche);
            }
            Self::NginxConsistent | Self::NginxHash | Self::NginxIpHash => {}
        }
    }

    /// The policy over tables of these servers, which must have room for `nodes`.
    pub(super) fn policy(
        &self,
        config: &HashConfig,
        servers: &Servers,
        nodes: &[Node],
    ) -> Result<BoxPolicy, BuildError> {
        use nginx::{Consistent, IpHash, PlainHash};
        match *self {
            Self::NginxConsistent => config.over_checked(Consistent::new(servers, &[])?, nodes),
            Self::NginxHash => config.over_checked(PlainHash::new(servers, &[])?, nodes),
            Self::NginxIpHash => config.over_checked(IpHash::new(servers, &[])?, nodes),
            Self::EnvoyRingHash(settings) => {
                config.over_checked(envoy::RingHash::new(servers, &[], settings)?, nodes)
            }
            Self::EnvoyMaglev { slots } => {
                config.over_checked(envoy::Maglev::new(servers, &[], slots as usize)?, nodes)
            }
            Self::HaproxyConsistent(_) => {
                config.over_checked(haproxy::Consistent::new(servers, &[])?, nodes)
            }
        }
    }
}

fn ring(written: &Written) -> Result<RingSettings, ConfigError> {
    let default = RingSettings::default();
    let maximum = written.number("maximum_ring_size", (1, RingSettings::LARGEST))?;
    let maximum = maximum.unwrap_or(default.maximum);
    let minimum = written.number("minimum_ring_size", (1, maximum))?;
    // Envoy too refuses a maximum below the minimum that it has unless told otherwise.
    let (field, given) = ("minimum_ring_size", minimum.unwrap_or(default.minimum));
    if given > maximum {
        return Err(ConfigError::OutOfRange { field, given, min: 1, max: maximum });
    }
    let function = function(written, &RING_FUNCTIONS, &["xx_hash", "murmur_hash_2"])?;
    Ok(RingSettings { function: function.unwrap_or_default(), minimum: given, maximum })
}

fn slots(written: &Written) -> Result<u32, ConfigError> {
    let given = written.number("slots", (2, envoy::Maglev::LARGEST_SIZE as u64))?;
    let slots = given.map_or(envoy::Maglev::DEFAULT_SIZE, |slots| slots as usize);
    match Servers::new([]).and_then(|none| envoy::Maglev::new(&none, &[], slots)) {
        Err(BuildError::NotPrime { given }) => {
            Err(ConfigError::NotPrime { field: "slots", given: given as u64 })
        }
        _ => Ok(slots as u32),
    }
}

/// As HAProxy reads the words after `hash-type consistent`: a function that is named has no avalanche
/// unless that is named too.
fn hashing(written: &Written) -> Result<Hashing, ConfigError> {
    let function = function(written, &FUNCTIONS, &["sdbm", "djb2", "wt6", "crc32"])?;
    let bare = Hashing::default();
    let default = function.map_or(bare, |function| Hashing { function, avalanche: false });
    Ok(Hashing { avalanche: written.avalanche.unwrap_or(default.avalanche), ..default })
}

fn function<T: Copy>(
    written: &Written,
    functions: &[(&str, T)],
    allowed: &'static [&'static str],
) -> Result<Option<T>, ConfigError> {
    let Some(given) = &written.function else { return Ok(None) };
    match functions.iter().find(|(name, _)| name == given) {
        Some(&(_, function)) => Ok(Some(function)),
        None => Err(ConfigError::NotAllowed { field: "function", given: given.clone(), allowed }),
    }
}

fn name_of<T: PartialEq + Copy>(function: T, functions: &[(&str, T)]) -> Option<String> {
    let (name, _) = functions.iter().find(|(_, other)| *other == function)?;
    Some(String::from(*name))
}
