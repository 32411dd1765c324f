//! Our structures, and what the machine allows.

use std::net::SocketAddr;

use equipoise_hash::compat::nginx::Consistent;
use equipoise_hash::compat::{self, Servers};
use equipoise_hash::{BackendId, BuildError, ConsistentHash, Memento, Node, Weight};

use super::candidate::{Candidate, Change};
use super::keys::{Key, KeyHash};
use super::servers::{Server, addresses, number};

/// A table of ours, the hash function before it, and the list that its answers index.
#[derive(Debug)]
pub struct Ours<T, H> {
    table: T,
    addresses: Vec<SocketAddr>,
    hash: H,
}

impl<T, H: Default> Ours<T, H> {
    /// Builds a table.
    pub fn build<E>(servers: &[Server], table: impl FnOnce(&[Node]) -> Result<T, E>) -> Self
    where
        E: std::fmt::Debug,
    {
        let table = table(&nodes(servers)).expect("the settings are in range");
        Self { table, addresses: addresses(servers), hash: H::default() }
    }
}

fn nodes(servers: &[Server]) -> Vec<Node> {
    let node = |server: &Server| {
        Node::new(BackendId::new(server.number.into())).weight(Weight::new(server.weight))
    };
    servers.iter().map(node).collect()
}

impl<T, H> Candidate for Ours<T, H>
where
    T: ConsistentHash + Send + Sync + 'static,
    H: KeyHash,
{
    #[inline(always)]
    fn owner(&self, key: &Key) -> u32 {
        let index = self.table.lookup(self.hash.hash(key));
        index.map_or(u32::MAX, |index| number(&self.addresses[index]))
    }

    fn change(&mut self, _: Change, servers: &[Server]) -> bool {
        self.table = self.table.update(&nodes(servers)).expect("there is room for them");
        self.addresses = addresses(servers);
        true
    }
}

/// A row from whose midst one in eleven has left, so that a tenth as many are missing as are there.
pub fn memento_with_gaps(nodes: &[Node]) -> Result<Memento, BuildError> {
    let ghost = |i: usize| Node::new(BackendId::new(u64::MAX - i as u64));
    let mut row = Vec::new();
    for (i, ten) in nodes.chunks(10).enumerate() {
        row.push(ghost(i));
        row.extend(ten);
    }
    Memento::new(&row)?.update(nodes)
}

/// The ring that nginx has, of these servers and one more that may join.
pub fn nginx_ring(nodes: &[Node]) -> Result<Consistent, BuildError> {
    let numbers = nodes.iter().map(|node| node.id.get() as u32);
    let more = numbers.clone().max().map_or(0, |last| last + 1);
    let server = |number: u32| {
        let name = Server { number, weight: 1 }.address().to_string();
        compat::Server::new(&name).id(BackendId::new(number.into()))
    };
    Consistent::new(&Servers::new(numbers.chain([more]).map(server))?, nodes)
}

/// What a perfect hash function and nothing else does. It is not consistent.
#[derive(Debug)]
pub struct Split<H> {
    addresses: Vec<SocketAddr>,
    hash: H,
}

impl<H: Default> Split<H> {
    /// A list of servers.
    pub fn build(servers: &[Server]) -> Self {
        Self { addresses: addresses(servers), hash: H::default() }
    }
}

impl<H: KeyHash> Candidate for Split<H> {
    #[inline(always)]
    fn owner(&self, key: &Key) -> u32 {
        let hash = u128::from(self.hash.hash(key).get());
        number(&self.addresses[((hash * self.addresses.len() as u128) >> 64) as usize])
    }
}
