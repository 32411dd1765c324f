//! Envoy: `RING_HASH` and `MAGLEV`.
//!
//! As Envoy 1.40.0 for x86-64 does it (`ring_hash_lb.cc`, `maglev_lb.cc`,
//! `thread_aware_lb_impl.cc`). A host is placed by its address and port, or its host name where
//! `use_hostname_for_hashing` is set; an IPv6 address has brackets, as `[::1]:80`.
//!
//! # When hosts are down
//! Envoy makes a new table of the healthy ones. To have the same,
//! [`update`](ConsistentHash::update) with those alone, or give the others the weight 0.
//! [`lookup_where`](ConsistentHash::lookup_where) is for retries: it goes on as Envoy does with the
//! retry predicate `previous_hosts`, which is not the same.
//!
//! # What is left out
//! * Less than half of the hosts healthy: Envoy then panics, and takes all of them. That is
//!   `healthy_panic_threshold`, a matter for the pool.
//! * Several hash policies or header values at once, and locality weights: not compared.
//! * `hash_balance_factor`: it depends on the requests that each Envoy has.
//! * [`RingHash`] where the ring does not divide by the weights gives one point more to some hosts
//!   than to others, by their order in the cluster. With discovery (EDS, DNS) that order may depend
//!   on who came and went. Two Envoys may disagree, and nobody can agree with both.
//! * [`RingHash`] with weights on a platform where the compiler fuses multiplication and addition
//!   (arm64): a host may have one point more or less there.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt::Write;

use equipoise_core::HashKey;
use twox_hash::XxHash64;

use super::servers::{Placed, Servers};
use super::walk;
use crate::owners::{Owners, TableSize};
use crate::points::Points;
use crate::{BuildError, ConsistentHash, Node};

/// The key for the value of a header, a cookie or a query parameter, or for the text of the client's
/// address without its port: its xxHash64 with the seed 0.
///
/// The address as Envoy writes it: IPv6 shortened as in RFC 5952 and without brackets.
pub fn key(value: &[u8]) -> HashKey {
    HashKey::new(XxHash64::oneshot(0, value))
}

/// How Envoy makes a ring: `ring_hash_lb_config`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RingSettings {
    /// `hash_function`.
    pub function: RingFunction,
    /// `minimum_ring_size`: the fewest points; 1,024 unless set.
    pub minimum: u64,
    /// `maximum_ring_size`: the most points, if weights ask for more; 8,388,608 unless set.
    pub maximum: u64,
}

/// A hash function for the points of a ring. Keys are always hashed by xxHash64.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum RingFunction {
    /// `XX_HASH`, the default.
    #[default]
    XxHash,
    /// `MURMUR_HASH_2`: what `std::hash<string>` is in the GNU C++ library.
    MurmurHash2,
}

impl RingSettings {
    /// The most points that Envoy puts on a ring.
    pub const LARGEST: u64 = 8 << 20;
}

impl Default for RingSettings {
    fn default() -> Self {
        Self { function: RingFunction::default(), minimum: 1024, maximum: Self::LARGEST }
    }
}

/// `RING_HASH`: a ring with points in proportion to the weights, at least 1,024 in all unless set
/// otherwise.
///
/// ```
/// use equipoise_hash::compat::{Servers, envoy};
/// use equipoise_hash::{ConsistentHash, Weight};
///
/// let servers = Servers::named(["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"])?;
/// let nodes = servers.nodes([1, 2, 1].map(Weight::new));
/// let table = envoy::RingHash::new(&servers, &nodes, envoy::RingSettings::default())?;
/// assert_eq!(table.lookup(envoy::key(b"session-17")), Some(0));
/// # Ok::<(), equipoise_hash::BuildError>(())
/// ```
///
/// # Complexity
/// A lookup: O(1) expected, O(log points) at worst. [`lookup_where`](ConsistentHash::lookup_where):
/// O(points) at worst, when few are allowed. Building: O(points log points). Memory: 18 to 20 bytes a
/// point.
#[derive(Clone, Debug)]
pub struct RingHash {
    servers: Servers,
    nodes: Box<[Node]>,
    settings: RingSettings,
    points: Points<u64>,
}

impl RingHash {
    /// The table over those servers that are `nodes`.
    ///
    /// # Errors
    /// A node that is not among the servers, two with the same id, or a size that is not from 1 to
    /// 8,388,608, or a minimum over the maximum.
    pub fn new(
        servers: &Servers,
        nodes: &[Node],
        settings: RingSettings,
    ) -> Result<Self, BuildError> {
        let range = |setting, given, min, max| {
            let error = BuildError::OutOfRange { setting, given, min, max };
            if (min..=max).contains(&given) { Ok(()) } else { Err(error) }
        };
        range("maximum ring size", settings.maximum, 1, RingSettings::LARGEST)?;
        range("minimum ring size", settings.minimum, 1, settings.maximum)?;
        let points = Points::new(settings.points(servers, &servers.place(nodes)?));
        Ok(Self { servers: servers.clone(), nodes: nodes.into(), settings, points })
    }
}

impl RingSettings {
    /// Every host's points. The arithmetic is Envoy's, operation for operation: where a host's share
    /// is no whole number, the rounding decides who has one point more.
    fn points(&self, servers: &Servers, placed: &[Placed]) -> Vec<(u64, u32)> {
        let shares = shares(placed);
        let least = shares.iter().copied().fold(1.0, f64::min);
        let scale = (ceil(least * self.minimum as f64) / least).min(self.maximum as f64);
        let mut points = Vec::with_capacity(ceil(scale) as usize);
        let (mut points_due, mut name) = (0.0, String::new());
        for (server, share) in placed.iter().zip(shares) {
            points_due += scale * share;
            name.clear();
            name.push_str(servers.name(server));
            name.push('_');
            let length = name.len();
            for number in 0_u64.. {
                if points.len() as f64 >= points_due {
                    break;
                }
                // Writing to a string can't fail.
                let _ = write!(name, "{number}");
                points.push((self.function.hash(name.as_bytes()), server.index));
                name.truncate(length);
            }
        }
        points
    }
}

/// Every host's part of the whole weight.
fn shares(placed: &[Placed]) -> Vec<f64> {
    let sum: u64 = placed.iter().map(|server| u64::from(server.weight)).sum();
    placed.iter().map(|server| f64::from(server.weight) / sum as f64).collect()
}

/// The least whole number not below `x`, which is positive and less than 2⁵³.
fn ceil(x: f64) -> f64 {
    let down = x as u64 as f64;
    if down < x { down + 1.0 } else { down }
}

impl RingFunction {
    fn hash(self, bytes: &[u8]) -> u64 {
        match self {
            Self::XxHash => XxHash64::oneshot(0, bytes),
            Self::MurmurHash2 => murmur2(bytes, 0xc70f_6907),
        }
    }
}

/// MurmurHash2 for 64 bits, by Austin Appleby, as in the GNU C++ library.
fn murmur2(bytes: &[u8], seed: u64) -> u64 {
    const FACTOR: u64 = 0xc6a4_a793_5bd1_e995;
    let mix = |x: u64| x ^ (x >> 47);
    let mut hash = seed ^ (bytes.len() as u64).wrapping_mul(FACTOR);
    let (words, rest) = bytes.as_chunks::<8>();
    for &word in words {
        let word = u64::from_le_bytes(word).wrapping_mul(FACTOR);
        hash = (hash ^ mix(word).wrapping_mul(FACTOR)).wrapping_mul(FACTOR);
    }
    if !rest.is_empty() {
        let last = rest.iter().rev().fold(0, |last, &byte| last << 8 | u64::from(byte));
        hash = (hash ^ last).wrapping_mul(FACTOR);
    }
    mix(mix(hash).wrapping_mul(FACTOR))
}

impl ConsistentHash for RingHash {
    fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    #[inline]
    fn lookup(&self, key: HashKey) -> Option<usize> {
        self.points.clockwise(key.get())
    }

    fn lookup_where(&self, key: HashKey, allowed: impl Fn(usize) -> bool) -> Option<usize> {
        walk::clockwise(&self.points, &self.nodes, key.get(), allowed)
    }

    fn update(&self, nodes: &[Node]) -> Result<Self, BuildError> {
        Self::new(&self.servers, nodes, self.settings)
    }
}

/// `MAGLEV`: Google's Maglev with Envoy's weights.
///
/// The order of the hosts does not matter.
///
/// # Complexity
/// A lookup: O(1), one load. [`lookup_where`](ConsistentHash::lookup_where): O(slots) at worst, when
/// few are allowed. Building: O(slots log slots) expected with equal weights; O(slots · n) at worst, when
/// one weight is most of the sum, since Envoy's rounds go over all hosts. Memory: 2 bytes a slot (4 with more than
/// 65,536 nodes).
#[derive(Clone, Debug)]
pub struct Maglev {
    servers: Servers,
    nodes: Box<[Node]>,
    size: TableSize,
    /// Empty if there are no hosts.
    owners: Owners,
}

/// A host while the table is filled.
struct Filler {
    owner: u32,
    share: f64,
    due: f64,
    at: usize,
    skip: usize,
}

impl Maglev {
    /// The `table_size` that Envoy takes unless told otherwise.
    pub const DEFAULT_SIZE: usize = 65_537;
    /// The largest `table_size` that Envoy takes.
    pub const LARGEST_SIZE: usize = 5_000_011;
    /// So many other slots are tried as Envoy tries them; then the rest in order.
    const ATTEMPTS: u64 = 64;

    /// The table over those servers that are `nodes`, with `size` slots (`table_size`).
    ///
    /// # Errors
    /// A node that is not among the servers, two with the same id, or a size that is not a prime
    /// number or over 5,000,011.
    pub fn new(servers: &Servers, nodes: &[Node], size: usize) -> Result<Self, BuildError> {
        if size > Self::LARGEST_SIZE {
            let (given, max) = (size as u64, Self::LARGEST_SIZE as u64);
            return Err(BuildError::OutOfRange { setting: "table size", given, min: 2, max });
        }
        if !is_prime(size) {
            return Err(BuildError::NotPrime { given: size });
        }
        let (slots, size) = (fill(servers, &servers.place(nodes)?, size), TableSize::new(size)?);
        let owners = if slots.is_empty() {
            Owners::none()
        } else {
            Owners::from_fn(size, nodes.len(), |slot| slots[slot])
        };
        Ok(Self { servers: servers.clone(), nodes: nodes.into(), size, owners })
    }
}

fn is_prime(number: usize) -> bool {
    number >= 2 && (2..).take_while(|d| d * d <= number).all(|d| !number.is_multiple_of(d))
}

/// Hosts in the order of their names take a slot in turn, as often as their weights say, each the
/// first free one of its own permutation. The arithmetic is Envoy's, operation for operation.
fn fill(servers: &Servers, placed: &[Placed], size: usize) -> Vec<u32> {
    const FREE: u32 = u32::MAX;
    if placed.is_empty() {
        return Vec::new();
    }
    let shares = shares(placed);
    let most = shares.iter().copied().fold(0.0, f64::max);
    let mut hosts: Vec<_> = placed.iter().zip(shares).collect();
    hosts.sort_by(|a, b| servers.name(a.0).cmp(servers.name(b.0)));
    let filler = |(server, share): (&Placed, f64)| {
        let hash = |seed| XxHash64::oneshot(seed, servers.name(server).as_bytes());
        let at = (hash(0) % size as u64) as usize;
        let skip = (hash(1) % (size as u64 - 1)) as usize + 1;
        Filler { owner: server.index, share, due: 0.0, at, skip }
    };
    let mut hosts: Vec<Filler> = hosts.into_iter().map(filler).collect();
    let (mut slots, mut free) = (vec![FREE; size], size);
    for round in 1_u32.. {
        for host in &mut hosts {
            if free == 0 {
                return slots;
            }
            if f64::from(round) * host.share < host.due {
                continue;
            }
            host.due += most;
            while slots[host.at] != FREE {
                host.at = (host.at + host.skip) % size;
            }
            slots[host.at] = host.owner;
            free -= 1;
        }
    }
    slots
}

impl ConsistentHash for Maglev {
    fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    #[inline]
    fn lookup(&self, key: HashKey) -> Option<usize> {
        self.owners.get((key.get() % self.size.get() as u64) as usize)
    }

    fn lookup_where(&self, key: HashKey, allowed: impl Fn(usize) -> bool) -> Option<usize> {
        let size = self.size.get();
        let slot = |hash: u64| (hash % size as u64) as usize;
        let attempts = (1..=Self::ATTEMPTS).map(|attempt| slot(key.get() ^ attempt.wrapping_neg()));
        let first = slot(key.get());
        let mut slots = core::iter::once(first).chain(attempts).chain(first..size).chain(0..first);
        let found = slots.find_map(|slot| self.owners.get(slot).filter(|&owner| allowed(owner)));
        found.or_else(|| walk::any(&self.nodes, allowed))
    }

    fn update(&self, nodes: &[Node]) -> Result<Self, BuildError> {
        Self::new(&self.servers, nodes, self.size.get())
    }
}
