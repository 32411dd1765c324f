//! HAProxy: `hash-type consistent`, with every hash function and modifier of 2.6.
//!
//! As HAProxy 2.6.12 does it (`lb_chash.c`, `hash.c`, `backend.c`), for `balance hdr`, `uri`,
//! `url_param`, `hash` and `source`. A server is placed by its number, its `id`, not by its address:
//! see [`Server::number`](super::Server::number), and `show servers state` for the numbers that a
//! running HAProxy has.
//!
//! # When servers are down
//! HAProxy takes the points of a server that is down off its ring. So does
//! [`lookup_where`](ConsistentHash::lookup_where), in effect: it gives the same answer as a table
//! without those that are not allowed.
//!
//! # What is left out
//! * A redispatch after a failed connection (`option redispatch`): HAProxy then takes the next
//!   other server clockwise of the point that it had chosen, which may be another one than it takes
//!   when that server is known to be down.
//! * `hash-balance-factor`: it depends on the connections that each HAProxy has, and so no two
//!   of them agree with each other either.
//! * What came after 2.6: the hash function `none`, and the server option `hash-key`. Debian 12's
//!   HAProxy has neither, so nothing could be compared.
//! * `hash-type map-based`: it depends on the order in which servers came up.
//! * A header that is missing or empty: HAProxy takes turns. Give such a request no key.
//! * A pool in which one server alone has a weight is not hashed by HAProxy; the answer is the same.
//! * `slowstart`, and weights set at run time: give the weight that is in effect, if it is whole.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::net::IpAddr;

use equipoise_core::HashKey;

use super::servers::{Placed, Servers};
use super::walk;
use crate::points::Points;
use crate::{BuildError, ConsistentHash, Node};

/// Points for each unit of weight.
const POINTS: u64 = 16;
/// The largest weight that HAProxy knows.
const HEAVIEST: u16 = 256;
/// From one server's first point to the next number's: as many as the largest weight has.
const STRIDE: u32 = HEAVIEST as u32 * POINTS as u32;

/// `hash-type consistent`: a ring of 16 points a unit of weight. The point nearest to the key has
/// it, in either direction; of two as near as each other, the lower.
///
/// ```
/// use equipoise_hash::compat::haproxy::{Consistent, Function, Hashing};
/// use equipoise_hash::compat::{Server, Servers};
/// use equipoise_hash::ConsistentHash;
///
/// // balance hdr(X-Key)
/// // hash-type consistent djb2 avalanche
/// // server a 10.0.0.1:80
/// // server b 10.0.0.2:80 id 20
/// // server c 10.0.0.3:80
/// let servers = [Server::new("a"), Server::new("b").number(20), Server::new("c")];
/// let servers = Servers::new(servers)?;
/// let table = Consistent::new(&servers, &servers.nodes([]))?;
/// let hashing = Hashing { function: Function::Djb2, avalanche: true };
/// assert_eq!(table.lookup(hashing.key(b"some value")), Some(2));
/// # Ok::<(), equipoise_hash::BuildError>(())
/// ```
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
    /// A node that is not among the servers, two with the same id, a weight over 256, or weights
    /// whose sum is over 4,194,304.
    pub fn new(servers: &Servers, nodes: &[Node]) -> Result<Self, BuildError> {
        let placed = servers.place(nodes)?;
        if let Some(server) = placed.iter().find(|server| server.weight > HEAVIEST) {
            return Err(BuildError::OutOfRange {
                setting: "weight",
                given: u64::from(server.weight),
                min: 0,
                max: u64::from(HEAVIEST),
            });
        }
        let sum = placed.iter().map(|server| u64::from(server.weight)).sum();
        let mut points = walk::room(sum, POINTS)?;
        let numbers = numbers(servers);
        for &Placed { index, position, weight } in &placed {
            let first = numbers[position as usize].wrapping_mul(STRIDE);
            let own = (0..u32::from(weight) * POINTS as u32).map(|i| first.wrapping_add(i));
            points.extend(own.map(|point| (avalanche(point).wrapping_mul(0xc000_0001), index)));
        }
        Ok(Self { servers: servers.clone(), nodes: nodes.into(), points: Points::new(points) })
    }
}

/// The servers' numbers: their own, and for the others the lowest that is free, from their position
/// on.
fn numbers(servers: &Servers) -> Vec<u32> {
    let own = servers.all().iter().map(|server| server.number);
    let mut taken: BTreeSet<u32> = own.clone().filter(|&number| number > 0).collect();
    let mut next = 1;
    let number = |own| {
        let mut number = own;
        if number == 0 {
            while !taken.insert(next) {
                next += 1;
            }
            number = next;
        }
        next += 1;
        number
    };
    own.map(number).collect()
}

impl ConsistentHash for Consistent {
    fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    #[inline]
    fn lookup(&self, key: HashKey) -> Option<usize> {
        self.lookup_where(key, |_| true)
    }

    fn lookup_where(&self, key: HashKey, allowed: impl Fn(usize) -> bool) -> Option<usize> {
        let (hash, points) = (key.get() as u32, self.points.as_slice());
        let last = points.len().checked_sub(1)?;
        let back = |at: usize| at.checked_sub(1).unwrap_or(last);
        let mut higher = self.points.at_or_after(hash).unwrap_or(0);
        let mut lower = back(higher);
        // Outwards in both directions, the nearer point first, until all have been looked at.
        for _ in 0..=last {
            let ((below, left), (above, right)) = (points[lower], points[higher]);
            let nearer = if hash.wrapping_sub(below) <= above.wrapping_sub(hash) {
                lower = back(lower);
                left
            } else {
                higher = if higher == last { 0 } else { higher + 1 };
                right
            };
            if allowed(nearer as usize) {
                return Some(nearer as usize);
            }
        }
        None
    }

    fn update(&self, nodes: &[Node]) -> Result<Self, BuildError> {
        Self::new(&self.servers, nodes)
    }
}

/// How HAProxy makes a number of a key: the words after `hash-type consistent`. The default is what
/// it does when none follow: sdbm with avalanche.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hashing {
    /// The function.
    pub function: Function,
    /// Whether `avalanche` follows it.
    pub avalanche: bool,
}

impl Default for Hashing {
    fn default() -> Self {
        Self { function: Function::Sdbm, avalanche: true }
    }
}

/// A hash function of HAProxy's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Function {
    /// `sdbm`.
    #[default]
    Sdbm,
    /// `djb2`, by Daniel J. Bernstein.
    Djb2,
    /// `wt6`, by Willy Tarreau.
    Wt6,
    /// `crc32`, as in Ethernet and zip.
    Crc32,
}

impl Hashing {
    /// The key for a value: of `balance hdr(..)` the header's up to its first comma, without blanks
    /// around it; of `uri` the path, as it came; of `url_param` what stands between `=` and `&`, as
    /// it came; of `hash` the expression's. O(length).
    pub fn key(self, value: &[u8]) -> HashKey {
        self.finish(match self.function {
            Function::Sdbm => sdbm(value),
            Function::Djb2 => djb2(value),
            Function::Wt6 => wt6(value),
            Function::Crc32 => crc32fast::hash(value),
        })
    }

    /// The key for a client's address, as `balance source` has it: an IPv6 address
    /// (`::ffff:192.0.2.1`) for an IPv4 client where HAProxy listens on an IPv6 socket for both. The
    /// function doesn't matter.
    pub fn source(self, client: IpAddr) -> HashKey {
        self.finish(match client {
            IpAddr::V4(address) => address.to_bits(),
            IpAddr::V6(address) => {
                let bits = address.to_bits();
                (0..4).fold(0, |hash, word| hash ^ (bits >> (word * 32)) as u32)
            }
        })
    }

    fn finish(self, hash: u32) -> HashKey {
        let hash = if self.avalanche { avalanche(hash).wrapping_mul(0xc000_0001) } else { hash };
        HashKey::new(u64::from(hash))
    }
}

fn sdbm(value: &[u8]) -> u32 {
    value.iter().fold(0, |hash: u32, &byte| hash.wrapping_mul(65_599).wrapping_add(byte.into()))
}

fn djb2(value: &[u8]) -> u32 {
    value.iter().fold(5381, |hash: u32, &byte| hash.wrapping_mul(33).wrapping_add(byte.into()))
}

fn wt6(value: &[u8]) -> u32 {
    let (mut a, mut b) = (0xa53c_965a_u32, 0x5ca6_953a_u32);
    let (mut left, mut other) = (6, 18);
    for &byte in value {
        a = !(a ^ u32::from(byte));
        b = !b.wrapping_add(byte.into());
        (a, b) = (b.rotate_left(left), a.rotate_left(other));
        let steps = ((a >> 16) ^ b) & 0xffff;
        (left, other) = (steps & 31, steps >> 11);
    }
    a ^ b
}

/// A full avalanche in six shifts, by Bob Jenkins.
const fn avalanche(x: u32) -> u32 {
    let x = x.wrapping_add(0x7ed5_5d16).wrapping_add(x << 12);
    let x = x ^ 0xc761_c23c ^ (x >> 19);
    let x = x.wrapping_add(0x1656_67b1).wrapping_add(x << 5);
    let x = x.wrapping_add(0xd3a2_646c) ^ (x << 9);
    let x = x.wrapping_add(0xfd70_46c5).wrapping_add(x << 3);
    x ^ 0xb55a_4f09 ^ (x >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `balance source` without avalanche hashes an address to itself, so the real server could be
    /// asked for exactly these keys; it gave exactly these answers (2.6.12, ten servers).
    #[test]
    fn halfway_the_lower_point_has_the_key() {
        let servers = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
        let servers = Servers::named(servers).unwrap();
        let table = Consistent::new(&servers, &servers.nodes([])).unwrap();
        let pairs = table.points.as_slice().windows(2);
        let halves =
            pairs.filter(|pair| pair[0].1 != pair[1].1 && (pair[1].0 - pair[0].0) % 2 == 0);
        let mut asked = 0;
        for pair in halves {
            let ((below, left), (above, right)) = (pair[0], pair[1]);
            let half = below + (above - below) / 2;
            for (hash, owner) in [(below, left), (half, left), (half + 1, right), (above, right)] {
                asked += 1;
                let key = HashKey::new(hash.into());
                assert_eq!(table.lookup(key), Some(owner as usize), "{hash}");
            }
        }
        assert_eq!(asked, 256);
    }
}
