//! nginx: `hash ... consistent`, `hash ...` and `ip_hash`.
//!
//! As nginx 1.22.1 and 1.31.3 do it (`ngx_http_upstream_hash_module`,
//! `ngx_http_upstream_ip_hash_module`; the `stream` modules of the same names are the same
//! functions, but not tested here).
//!
//! # When servers are down
//! nginx does not make a new table, and neither does this: leave the server in, and use
//! [`lookup_where`](ConsistentHash::lookup_where). After 21 points or places in vain nginx takes
//! turns, whatever the key, and nobody can follow it there. [`Consistent`] then goes on along the
//! ring; [`PlainHash`] and [`IpHash`] draw among those that are left, by weight.
//!
//! How often that is: with d of n equal servers down, `hash ... consistent` takes turns for about
//! (d/n)²¹ of the keys. The places of `hash ...` are less random, for a CRC is linear: none of the
//! golden keys with one of four servers down, 1 % with two, 6 % with three. And for one address in
//! some thousand, all places of `ip_hash` are the same.
//!
//! # What is left out
//! * An empty key: nginx takes turns. [`Consistent::key`] and [`PlainHash::key`] give `None`.
//! * Two servers with a point in common, in [`Consistent`]: nginx keeps one of them, which one
//!   depends on the sort of its C library. With glibc it is the first in the configuration, as
//!   here. With musl (Alpine, and the PyPI package) it may be the other. A pool of 50 servers of
//!   weight 1 has such a pair with a probability of 1 %; it is about one key in ten thousand.
//! * A name that stands for several addresses: nginx gives them one place in [`Consistent`], and
//!   takes turns among them. Name each address.
//! * `backup` servers, and `max_conns`: they are the pool's business. `backup` servers have no
//!   place in nginx's hash either; leave them out of the nodes.

use alloc::boxed::Box;
use core::net::IpAddr;

use crc32fast::Hasher;
use equipoise_core::HashKey;

use super::chance::Spans;
use super::servers::Servers;
use super::walk;
use crate::points::Points;
use crate::{BuildError, ConsistentHash, Node};

/// Points for each unit of weight.
const POINTS: u64 = 160;

/// `hash ... consistent`: a ring of 160 points a unit of weight (ketama, as in
/// Cache::Memcached::Fast).
///
/// # Complexity
/// A lookup: O(1) expected, O(log points) at worst. [`lookup_where`](ConsistentHash::lookup_where):
/// O(points) at worst, when few are allowed. Building: O(points log points). Memory: 10 to 12 bytes a
/// point.
#[derive(Clone, Debug)]
pub struct Consistent {
    servers: Servers,
    nodes: Box<[Node]>,
    points: Points<u32>,
}

impl Consistent {
    /// The table over those servers that are `nodes`.
    ///
    /// # Errors
    /// A node that is not among the servers, two with the same id, or weights whose sum is over
    /// 419,430.
    pub fn new(servers: &Servers, nodes: &[Node]) -> Result<Self, BuildError> {
        let placed = servers.place(nodes)?;
        let sum = placed.iter().map(|server| u64::from(server.weight)).sum();
        let mut points = walk::room(sum, POINTS)?;
        for server in &placed {
            let name = hasher_of(servers.name(server));
            let mut previous = 0_u32;
            for _ in 0..u64::from(server.weight) * POINTS {
                let mut hasher = name.clone();
                hasher.update(&previous.to_le_bytes());
                previous = hasher.finalize();
                points.push((previous, server.index));
            }
        }
        // Of points in the same place, nginx keeps one: the first, if its sort is stable.
        points.sort_by_key(|&(position, _)| position);
        points.dedup_by_key(|&mut (position, _)| position);
        let points = Points::sorted(points);
        Ok(Self { servers: servers.clone(), nodes: nodes.into(), points })
    }

    /// The key for the value of the variables after `hash`; `None` if it is empty.
    pub fn key(value: &[u8]) -> Option<HashKey> {
        (!value.is_empty()).then(|| HashKey::new(u64::from(crc32fast::hash(value))))
    }
}

/// The state that each of a server's points begins with: its address, a zero byte, and its port.
fn hasher_of(name: &str) -> Hasher {
    let name = name.as_bytes();
    let unix = name.get(..5).is_some_and(|start| start.eq_ignore_ascii_case(b"unix:"));
    let digits = name.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let colon = name.len().checked_sub(digits + 1).filter(|&at| name[at] == b':');
    let (host, port) = match colon {
        _ if unix => (&name[5..], &[][..]),
        Some(colon) => (&name[..colon], &name[colon + 1..]),
        None => (name, &[][..]),
    };
    let mut hasher = Hasher::new();
    hasher.update(host);
    hasher.update(&[0]);
    hasher.update(port);
    hasher
}

impl ConsistentHash for Consistent {
    fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    #[inline]
    fn lookup(&self, key: HashKey) -> Option<usize> {
        self.points.clockwise(key.get() as u32)
    }

    fn lookup_where(&self, key: HashKey, allowed: impl Fn(usize) -> bool) -> Option<usize> {
        walk::clockwise(&self.points, &self.nodes, key.get() as u32, allowed)
    }

    fn update(&self, nodes: &[Node]) -> Result<Self, BuildError> {
        Self::new(&self.servers, nodes)
    }
}

/// `hash ...`, without `consistent`: the key modulo the sum of the weights (as in Cache::Memcached).
///
/// Not consistent: a change of the servers or weights moves almost every key. The names of the
/// servers don't matter, their order does. Of a key's CRC, nginx takes 15 bits: servers after the
/// first 32,768 units of weight get only what others can't take.
///
/// # Complexity
/// A lookup: O(log n). [`lookup_where`](ConsistentHash::lookup_where): O(n). Building: O(n log n).
/// Memory: 8 bytes a server.
#[derive(Clone, Debug)]
pub struct PlainHash {
    servers: Servers,
    nodes: Box<[Node]>,
    spans: Spans,
}

impl PlainHash {
    /// The table over those servers that are `nodes`.
    ///
    /// # Errors
    /// A node that is not among the servers, two with the same id, or weights whose sum is over
    /// 2³² - 1.
    pub fn new(servers: &Servers, nodes: &[Node]) -> Result<Self, BuildError> {
        let spans = Spans::new(&servers.place(nodes)?)?;
        Ok(Self { servers: servers.clone(), nodes: nodes.into(), spans })
    }

    /// The key for the value of the variables after `hash`; `None` if it is empty.
    ///
    /// It holds the CRC of the value, and its length: the next places of a key are CRCs of a number
    /// and the value, which follow from the two.
    pub fn key(value: &[u8]) -> Option<HashKey> {
        let length = (value.len() as u64) << 32;
        (length > 0).then(|| HashKey::new(length | u64::from(crc32fast::hash(value))))
    }
}

/// The places of a key: the first is that of the value, the k-th adds that of the decimal number k
/// followed by the value.
fn rehashes(key: u64) -> impl Iterator<Item = u32> {
    let (crc, length) = (key as u32, key >> 32);
    let value = Hasher::new_with_initial_len(crc, length);
    let numbered = (1_u8..).map(move |number| {
        let digits = [b'0' + number / 10, b'0' + number % 10];
        let mut hasher = Hasher::new();
        hasher.update(if number < 10 { &digits[1..] } else { &digits });
        hasher.combine(&value);
        hasher.finalize()
    });
    let crcs = core::iter::once(crc).chain(numbered);
    crcs.scan(0_u32, |sum, crc| {
        *sum = sum.wrapping_add((crc >> 16) & 0x7fff);
        Some(*sum)
    })
}

impl ConsistentHash for PlainHash {
    fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    #[inline]
    fn lookup(&self, key: HashKey) -> Option<usize> {
        self.spans.owner((key.get() as u32 >> 16) & 0x7fff)
    }

    fn lookup_where(&self, key: HashKey, allowed: impl Fn(usize) -> bool) -> Option<usize> {
        self.spans.owner_where(rehashes(key.get()), key.get(), allowed)
    }

    fn update(&self, nodes: &[Node]) -> Result<Self, BuildError> {
        Self::new(&self.servers, nodes)
    }
}

/// `ip_hash`: the client's network modulo the sum of the weights.
///
/// Not consistent, as [`PlainHash`]; and coarse: the first three bytes of an IPv4 address decide, and
/// there are 6,271 hashes in all; servers after so many units of weight get only what others can't
/// take.
///
/// # Complexity
/// As [`PlainHash`].
#[derive(Clone, Debug)]
pub struct IpHash {
    servers: Servers,
    nodes: Box<[Node]>,
    spans: Spans,
}

/// A number of 113ⁿ modulo 6,271 for each further byte: what nginx hashes addresses with.
const FACTOR: u32 = 113;
const MODULUS: u32 = 6271;
const START: u32 = 89;
/// Set in the key of an IPv6 address.
const SIXTEEN: u64 = 1 << 32;

impl IpHash {
    /// The table over those servers that are `nodes`.
    ///
    /// # Errors
    /// As [`PlainHash::new`].
    pub fn new(servers: &Servers, nodes: &[Node]) -> Result<Self, BuildError> {
        let spans = Spans::new(&servers.place(nodes)?)?;
        Ok(Self { servers: servers.clone(), nodes: nodes.into(), spans })
    }

    /// The key of a client's address: as nginx has it, which is an IPv6 address (`::ffff:192.0.2.1`)
    /// for an IPv4 client where nginx listens on an IPv6 socket for both.
    pub fn key(client: IpAddr) -> HashKey {
        let hash = |bytes: &[u8]| {
            let byte = |hash, &byte: &u8| (hash * FACTOR + u32::from(byte)) % MODULUS;
            u64::from(bytes.iter().fold(START, byte))
        };
        HashKey::new(match client {
            IpAddr::V4(address) => hash(&address.octets()[..3]),
            IpAddr::V6(address) => hash(&address.octets()) | SIXTEEN,
        })
    }
}

/// The places of a key: the address is hashed again and again, each time from where the last has
/// ended. A round is h → 113ⁿ · h + c, modulo 6,271; c follows from the first one.
fn rounds(key: u64) -> impl Iterator<Item = u32> {
    let first = key as u32 % MODULUS;
    let bytes = if key & SIXTEEN == 0 { 3 } else { 16 };
    let factor = (0..bytes).fold(1, |power, _| power * FACTOR % MODULUS);
    let constant = (first + MODULUS - START * factor % MODULUS) % MODULUS;
    core::iter::successors(Some(first), move |&hash| Some((factor * hash + constant) % MODULUS))
}

impl ConsistentHash for IpHash {
    fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    #[inline]
    fn lookup(&self, key: HashKey) -> Option<usize> {
        self.spans.owner(key.get() as u32 % MODULUS)
    }

    fn lookup_where(&self, key: HashKey, allowed: impl Fn(usize) -> bool) -> Option<usize> {
        self.spans.owner_where(rounds(key.get()), key.get(), allowed)
    }

    fn update(&self, nodes: &[Node]) -> Result<Self, BuildError> {
        Self::new(&self.servers, nodes)
    }
}
