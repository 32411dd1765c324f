//! What keys are spread over.

use std::net::{Ipv4Addr, SocketAddr};

use crate::ours::Weights;

/// A server: its number says its address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Server {
    /// From 0.
    pub number: u32,
    /// Its share of the keys, relative to the others'.
    pub weight: u16,
}

impl Server {
    /// The server of this number.
    pub const fn new(number: u32, weights: Weights) -> Self {
        Self { number, weight: weights.of(number) }
    }

    /// 10.x.y.z:8080.
    pub fn address(self) -> SocketAddr {
        (Ipv4Addr::from(0x0a00_0000 | self.number), 8080).into()
    }
}

/// The number of the server that has this address.
#[inline(always)]
pub fn number(address: &SocketAddr) -> u32 {
    match address {
        SocketAddr::V4(address) => u32::from(*address.ip()) & 0x00ff_ffff,
        SocketAddr::V6(_) => u32::MAX,
    }
}

/// The first `count` servers.
pub fn servers(count: usize, weights: Weights) -> Vec<Server> {
    (0..count as u32).map(|number| Server::new(number, weights)).collect()
}

/// Their addresses.
pub fn addresses(servers: &[Server]) -> Vec<SocketAddr> {
    servers.iter().map(|server| server.address()).collect()
}
