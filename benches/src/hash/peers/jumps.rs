//! jumphash and power-consistent-hash: functions from a key to a number, of which only the last can
//! leave. The list of servers is their user's.

use std::fmt;
use std::net::SocketAddr;

use jumphash::JumpHasher;
use power_consistent_hash::PowerConsistentHasher;

use crate::hash::candidate::Candidate;
use crate::hash::keys::{Fold, Key, KeyHash as _};
use crate::hash::servers::{Server, addresses, number};

/// jumphash.
#[derive(Debug)]
pub struct Jump {
    hash: JumpHasher,
    addresses: Vec<SocketAddr>,
}

impl Jump {
    /// A list of servers.
    pub fn build(servers: &[Server]) -> Self {
        Self { hash: JumpHasher::new_with_keys(1, 2), addresses: addresses(servers) }
    }
}

impl Candidate for Jump {
    fn owner(&self, key: &Key) -> u32 {
        number(&self.addresses[self.hash.slot(key, self.addresses.len() as u32) as usize])
    }
}

/// power-consistent-hash, which takes a number.
pub struct Power {
    power: PowerConsistentHasher,
    hash: Fold,
    addresses: Vec<SocketAddr>,
}

impl Power {
    /// A list of servers.
    pub fn build(servers: &[Server]) -> Self {
        let power = PowerConsistentHasher::try_new(servers.len() as u32);
        let power = power.expect("there are servers");
        Self { power, hash: Fold::default(), addresses: addresses(servers) }
    }
}

impl fmt::Debug for Power {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Power").finish_non_exhaustive()
    }
}

impl Candidate for Power {
    fn owner(&self, key: &Key) -> u32 {
        number(&self.addresses[self.power.hash_u64(self.hash.hash(key).get()) as usize])
    }
}
