//! maglev, maglev-hash and anchorhash.

use std::fmt;
use std::hash::BuildHasher;
use std::net::SocketAddr;

use anchorhash::AnchorHash;
use maglev::ConsistentHasher as _;
use maglev_hash::MaglevTable;

use crate::hash::candidate::{Candidate, Change};
use crate::hash::keys::Key;
use crate::hash::servers::{Server, addresses, number};

/// The table size of the paper's small tables, and of Envoy's: prime, as both crates want it.
pub const SLOTS: usize = 65_537;

/// The crate `maglev`. While it builds, it needs eight bytes for each slot and server.
pub struct Maglev<S>(maglev::Maglev<SocketAddr, S>);

impl<S: BuildHasher> Maglev<S> {
    /// A table of these servers.
    pub fn build(servers: &[Server], hash: S) -> Self {
        Self(maglev::Maglev::with_capacity_and_hasher(addresses(servers), SLOTS, hash))
    }
}

impl<S> fmt::Debug for Maglev<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Maglev").finish_non_exhaustive()
    }
}

impl<S: BuildHasher + Send + Sync + 'static> Candidate for Maglev<S> {
    fn owner(&self, key: &Key) -> u32 {
        self.0.get(key).map_or(u32::MAX, number)
    }
}

/// The crate `maglev-hash`, whose hash function can't be chosen.
pub struct MaglevHash(MaglevTable<SocketAddr>);

impl MaglevHash {
    /// A table of these servers.
    pub fn build(servers: &[Server]) -> Self {
        Self(MaglevTable::with_capacity(addresses(servers), SLOTS))
    }
}

impl fmt::Debug for MaglevHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MaglevHash").finish_non_exhaustive()
    }
}

impl Candidate for MaglevHash {
    fn owner(&self, key: &Key) -> u32 {
        self.0.get(key).map_or(u32::MAX, number)
    }
}

/// anchorhash, with room for so many tenths of the servers.
pub struct Anchor<S: BuildHasher>(AnchorHash<Key, SocketAddr, S>);

impl<S: BuildHasher> Anchor<S> {
    /// These servers, and free buckets.
    pub fn build(servers: &[Server], tenths: usize, hash: S) -> Self {
        let capacity = (servers.len() * tenths).div_ceil(10).min(u16::MAX.into()) as u16;
        let builder = anchorhash::Builder::with_hasher(hash);
        Self(builder.with_resources(addresses(servers)).build(capacity))
    }
}

impl<S: BuildHasher> fmt::Debug for Anchor<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Anchor").finish_non_exhaustive()
    }
}

impl<S: BuildHasher + Send + Sync + 'static> Candidate for Anchor<S> {
    fn owner(&self, key: &Key) -> u32 {
        self.0.get_resource(*key).map_or(u32::MAX, number)
    }

    fn change(&mut self, change: Change, _: &[Server]) -> bool {
        match change {
            Change::Leave(server) => self.0.remove_resource(&server.address()).is_ok(),
            Change::Join(server) => self.0.add_resource(server.address()).is_ok(),
        }
    }
}
