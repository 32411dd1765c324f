//! hashring, mpchash and hrw.

use std::fmt;
use std::hash::BuildHasher;
use std::net::SocketAddr;

use hashring::HashRing;
use hrw::Rendezvous;

use crate::hash::candidate::{Candidate, Change};
use crate::hash::keys::Key;
use crate::hash::servers::{Server, addresses, number};

/// How many points a server has on a `HashRing`: the crate leaves them to its user.
const POINTS: u32 = 160;

/// hashring, with 160 points for each server.
pub struct Ring<S>(HashRing<(SocketAddr, u32), S>);

impl<S: BuildHasher> Ring<S> {
    /// A ring of these servers.
    pub fn build(servers: &[Server], hash: S) -> Self {
        let points = servers.iter().flat_map(|&server| points(server)).collect();
        let mut ring = HashRing::with_hasher(hash);
        ring.batch_add(points);
        Self(ring)
    }
}

fn points(server: Server) -> impl Iterator<Item = (SocketAddr, u32)> {
    (0..POINTS).map(move |i| (server.address(), i))
}

impl<S> fmt::Debug for Ring<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring").finish_non_exhaustive()
    }
}

impl<S: BuildHasher + Send + Sync + 'static> Candidate for Ring<S> {
    fn owner(&self, key: &Key) -> u32 {
        self.0.get(key).map_or(u32::MAX, |(address, _)| number(address))
    }

    // Taking out a point moves all that follow, and adding some sorts the ring: 160 removals are
    // no quicker than a new ring, so it is built anew.
}

/// mpchash, whose number of probes is fixed at 23.
pub struct MultiProbe(mpchash::HashRing<SocketAddr>);

impl MultiProbe {
    /// A ring of these servers.
    pub fn build(servers: &[Server]) -> Self {
        let ring = mpchash::HashRing::new();
        for server in servers {
            ring.add(server.address());
        }
        Self(ring)
    }
}

impl fmt::Debug for MultiProbe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MultiProbe").finish_non_exhaustive()
    }
}

impl Candidate for MultiProbe {
    fn owner(&self, key: &Key) -> u32 {
        self.0.node(key).map_or(u32::MAX, |token| number(token.node()))
    }

    fn change(&mut self, change: Change, _: &[Server]) -> bool {
        match change {
            Change::Leave(server) => self.0.remove(&server.address()),
            Change::Join(server) => self.0.add(server.address()),
        }
        true
    }
}

/// hrw: a hash of key and server for every server.
#[derive(Debug)]
pub struct Hrw<S>(Rendezvous<SocketAddr, S>);

impl<S: BuildHasher + Clone> Hrw<S> {
    /// These servers.
    pub fn build(servers: &[Server], hash: S) -> Self {
        Self(Rendezvous::from_nodes_and_hasher(addresses(servers), hash))
    }
}

impl<S: BuildHasher + Clone + Send + Sync + 'static> Candidate for Hrw<S> {
    fn owner(&self, key: &Key) -> u32 {
        self.0.pick_top(key).map_or(u32::MAX, number)
    }

    fn change(&mut self, change: Change, _: &[Server]) -> bool {
        match change {
            Change::Leave(server) => self.0.remove_node(&server.address()),
            Change::Join(server) => self.0.add_node(server.address()),
        }
    }
}
