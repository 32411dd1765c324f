//! Maps and caches of others. The maps have what one would write by hand: a time beside each session,
//! and a sweep by `retain`. What has a `BuildHasher` comes with the standard library's hash function
//! and with foldhash.
#![allow(missing_debug_implementations, reason = "nobody prints a million sessions")]

use std::hash::BuildHasher;
use std::time::Duration;

use super::subject::{SessionTable, seconds};
use crate::hash::keys::{Fold, Key, Std};

/// A backend, and the second in which it expires.
type Entry = (u32, u32);

fn live(entry: &Entry) -> Option<u32> {
    (entry.1 > seconds()).then_some(entry.0)
}

fn until(ttl: u32) -> u32 {
    seconds() + ttl
}

/// Names a table with both hash functions.
macro_rules! table {
    ($type:ident, $capped:expr, $real:expr, $expires:expr, $std:expr, $fold:expr) => {
        impl SessionTable for $type<Std> {
            const NAME: &'static str = $std;
            const CAPPED: bool = $capped;
            const REAL_CLOCK: bool = $real;
            const EXPIRES: bool = $expires;
            table!(@verbs);
        }

        impl SessionTable for $type<Fold> {
            const NAME: &'static str = $fold;
            const CAPPED: bool = $capped;
            const REAL_CLOCK: bool = $real;
            const EXPIRES: bool = $expires;
            table!(@verbs);
        }
    };
    (@verbs) => {
        fn new(cap: usize, ttl: Duration) -> Self {
            Self::with(cap, ttl)
        }

        #[inline(always)]
        fn put(&self, key: &Key, backend: u32) {
            self.insert(*key, backend);
        }

        #[inline(always)]
        fn get(&self, key: &Key) -> Option<u32> {
            self.find(key)
        }

        fn sweep(&self) {
            self.clean();
        }

        fn count(&self) -> usize {
            self.held()
        }
    };
}

/// A hash function.
pub trait Hash: BuildHasher + Default + Clone + Send + Sync + 'static {}
impl<S: BuildHasher + Default + Clone + Send + Sync + 'static> Hash for S {}

/// moka with a time to live after the last write.
pub struct Moka<S>(moka::sync::Cache<Key, u32, S>);

impl<S: Hash> Moka<S> {
    fn with(cap: usize, ttl: Duration) -> Self {
        let cache = moka::sync::Cache::builder().max_capacity(cap as u64).time_to_live(ttl);
        Self(cache.build_with_hasher(S::default()))
    }

    fn insert(&self, key: Key, backend: u32) {
        self.0.insert(key, backend);
    }

    fn find(&self, key: &Key) -> Option<u32> {
        self.0.get(key)
    }

    fn clean(&self) {
        self.0.run_pending_tasks();
    }

    fn held(&self) -> usize {
        self.0.entry_count() as usize
    }
}

table!(Moka, true, true, true, "moka 0.12, live", "moka 0.12, live, foldhash");

/// moka with a time to live after the last use: what stickiness needs.
pub struct MokaIdle<S>(moka::sync::Cache<Key, u32, S>);

impl<S: Hash> MokaIdle<S> {
    fn with(cap: usize, ttl: Duration) -> Self {
        let cache = moka::sync::Cache::builder().max_capacity(cap as u64).time_to_idle(ttl);
        Self(cache.build_with_hasher(S::default()))
    }

    fn insert(&self, key: Key, backend: u32) {
        self.0.insert(key, backend);
    }

    fn find(&self, key: &Key) -> Option<u32> {
        self.0.get(key)
    }

    fn clean(&self) {
        self.0.run_pending_tasks();
    }

    fn held(&self) -> usize {
        self.0.entry_count() as usize
    }
}

table!(MokaIdle, true, true, true, "moka 0.12, idle", "moka 0.12, idle, foldhash");

/// mini-moka with a time to live after the last write.
pub struct MiniMoka<S>(mini_moka::sync::Cache<Key, u32, S>);

impl<S: Hash> MiniMoka<S> {
    fn with(cap: usize, ttl: Duration) -> Self {
        let cache = mini_moka::sync::Cache::builder().max_capacity(cap as u64).time_to_live(ttl);
        Self(cache.build_with_hasher(S::default()))
    }

    fn insert(&self, key: Key, backend: u32) {
        self.0.insert(key, backend);
    }

    fn find(&self, key: &Key) -> Option<u32> {
        self.0.get(key)
    }

    fn clean(&self) {
        mini_moka::sync::ConcurrentCacheExt::sync(&self.0);
    }

    fn held(&self) -> usize {
        self.0.entry_count() as usize
    }
}

table!(MiniMoka, true, true, true, "mini-moka 0.10, live", "mini-moka 0.10, live, foldhash");

/// dashmap and `retain`.
pub struct Dash<S>(dashmap::DashMap<Key, Entry, S>, u32);

impl<S: Hash> Dash<S> {
    fn with(_: usize, ttl: Duration) -> Self {
        Self(dashmap::DashMap::with_hasher(S::default()), ttl.as_secs() as u32)
    }

    fn insert(&self, key: Key, backend: u32) {
        self.0.insert(key, (backend, until(self.1)));
    }

    fn find(&self, key: &Key) -> Option<u32> {
        self.0.get(key).and_then(|entry| live(&entry))
    }

    fn clean(&self) {
        self.0.retain(|_, entry| live(entry).is_some());
    }

    fn held(&self) -> usize {
        self.0.len()
    }
}

table!(Dash, false, false, true, "dashmap 6 + retain", "dashmap 6 + retain, foldhash");

/// papaya and `retain`.
pub struct Papaya<S>(papaya::HashMap<Key, Entry, S>, u32);

impl<S: Hash> Papaya<S> {
    fn with(_: usize, ttl: Duration) -> Self {
        Self(papaya::HashMap::builder().hasher(S::default()).build(), ttl.as_secs() as u32)
    }

    fn insert(&self, key: Key, backend: u32) {
        self.0.pin().insert(key, (backend, until(self.1)));
    }

    fn find(&self, key: &Key) -> Option<u32> {
        self.0.pin().get(key).and_then(live)
    }

    fn clean(&self) {
        self.0.pin().retain(|_, entry| live(entry).is_some());
    }

    fn held(&self) -> usize {
        self.0.len()
    }
}

table!(Papaya, false, false, true, "papaya 0.2 + retain", "papaya 0.2 + retain, foldhash");

/// scc and `retain`.
pub struct Scc<S: BuildHasher>(scc::HashMap<Key, Entry, S>, u32);

impl<S: Hash> Scc<S> {
    fn with(_: usize, ttl: Duration) -> Self {
        Self(scc::HashMap::with_hasher(S::default()), ttl.as_secs() as u32)
    }

    fn insert(&self, key: Key, backend: u32) {
        self.0.upsert_sync(key, (backend, until(self.1)));
    }

    fn find(&self, key: &Key) -> Option<u32> {
        self.0.read_sync(key, |_, entry| live(entry)).flatten()
    }

    fn clean(&self) {
        self.0.retain_sync(|_, entry| live(entry).is_some());
    }

    fn held(&self) -> usize {
        self.0.len()
    }
}

table!(Scc, false, false, true, "scc 3 + retain", "scc 3 + retain, foldhash");

/// quick_cache: it has a cap, and does not remove what has expired.
pub struct Quick<S>(quick_cache::sync::Cache<Key, Entry, quick_cache::UnitWeighter, S>, u32);

impl<S: Hash> Quick<S> {
    fn with(cap: usize, ttl: Duration) -> Self {
        let cache = quick_cache::sync::Cache::with(
            cap,
            cap as u64,
            quick_cache::UnitWeighter,
            S::default(),
            quick_cache::sync::DefaultLifecycle::default(),
        );
        Self(cache, ttl.as_secs() as u32)
    }

    fn insert(&self, key: Key, backend: u32) {
        self.0.insert(key, (backend, until(self.1)));
    }

    fn find(&self, key: &Key) -> Option<u32> {
        self.0.get(key).and_then(|entry| live(&entry))
    }

    fn clean(&self) {}

    fn held(&self) -> usize {
        self.0.len()
    }
}

table!(Quick, true, false, false, "quick_cache 0.7", "quick_cache 0.7, foldhash");

/// hashbrown behind one lock, and `retain`.
pub struct OneLock<S>(parking_lot::RwLock<hashbrown::HashMap<Key, Entry, S>>, u32);

impl<S: Hash> OneLock<S> {
    fn with(_: usize, ttl: Duration) -> Self {
        let map = hashbrown::HashMap::with_hasher(S::default());
        Self(parking_lot::RwLock::new(map), ttl.as_secs() as u32)
    }

    fn insert(&self, key: Key, backend: u32) {
        self.0.write().insert(key, (backend, until(self.1)));
    }

    fn find(&self, key: &Key) -> Option<u32> {
        self.0.read().get(key).and_then(live)
    }

    fn clean(&self) {
        self.0.write().retain(|_, entry| live(entry).is_some());
    }

    fn held(&self) -> usize {
        self.0.read().len()
    }
}

table!(OneLock, false, false, true, "RwLock<hashbrown>", "RwLock<hashbrown>, foldhash");
