//! Our table, with the hash that makes a key of a session's id.

use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use equipoise_core::{BackendId, Instant};
use equipoise_sticky::{SessionHasher, SessionKey, ShardedTable, TableConfig};
use foldhash::fast::FixedState;

use super::subject::{NOW, SessionTable};
use crate::hash::keys::Key;

/// As one would have it in a proxy.
#[derive(Debug)]
pub struct Ours {
    hasher: SessionHasher,
    table: ShardedTable,
}

fn now() -> Instant {
    Instant::from_nanos(NOW.load(Relaxed))
}

impl SessionTable for Ours {
    const NAME: &'static str = "equipoise-sticky, SipHash";
    const CAPPED: bool = true;

    fn new(cap: usize, ttl: Duration) -> Self {
        let config = TableConfig::builder().idle(ttl).max_sessions(cap).build();
        Self {
            hasher: SessionHasher::new(*b"a shared secret!"),
            table: ShardedTable::new(&config.expect("the settings are in range")),
        }
    }

    fn put(&self, key: &Key, backend: u32) {
        if let Some(key) = self.hasher.key(key) {
            self.table.bind(&key, BackendId::new(backend.into()), now());
        }
    }

    #[inline(always)]
    fn get(&self, key: &Key) -> Option<u32> {
        let key = self.hasher.key(key)?;
        self.table.lookup(&key, now()).map(|backend| backend.get() as u32)
    }

    fn sweep(&self) {
        self.table.sweep(now(), usize::MAX);
    }

    fn count(&self) -> usize {
        self.table.len()
    }
}

/// The same table with foldhash before it, to compare tables and not hash functions. Whoever knows its
/// seeds can choose ids that meet.
#[derive(Debug)]
pub struct OursFold {
    hash: FixedState,
    table: ShardedTable,
}

impl OursFold {
    #[inline(always)]
    fn key(&self, key: &Key) -> SessionKey {
        let mut hasher = self.hash.build_hasher();
        hasher.write(key);
        SessionKey::from_bytes(hasher.finish().to_le_bytes())
    }
}

impl SessionTable for OursFold {
    const NAME: &'static str = "equipoise-sticky, foldhash";
    const CAPPED: bool = true;

    fn new(cap: usize, ttl: Duration) -> Self {
        let config = TableConfig::builder().idle(ttl).max_sessions(cap).build();
        Self {
            hash: FixedState::with_seed(0x0e90_15e0),
            table: ShardedTable::new(&config.expect("the settings are in range")),
        }
    }

    fn put(&self, key: &Key, backend: u32) {
        self.table.bind(&self.key(key), BackendId::new(backend.into()), now());
    }

    #[inline(always)]
    fn get(&self, key: &Key) -> Option<u32> {
        self.table.lookup(&self.key(key), now()).map(|backend| backend.get() as u32)
    }

    fn sweep(&self) {
        self.table.sweep(now(), usize::MAX);
    }

    fn count(&self) -> usize {
        self.table.len()
    }
}
