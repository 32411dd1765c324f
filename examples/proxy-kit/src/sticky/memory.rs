//! Where a pool's sessions are remembered: here, or in Redis for several balancers.

use equipoise_core::{BackendId, Instant, Sessions};
use equipoise_sticky::{Found, SessionKey, ShardedTable, Swept};
use equipoise_tokio::sessions::{RedisStore, SharedCounters, SharedSessions};

/// Where a pool's sessions are remembered.
#[derive(Debug)]
pub enum Memory {
    /// In this process.
    Local(Box<ShardedTable>),
    /// In Redis, with a table here as its cache.
    Shared(SharedSessions<RedisStore>),
}

impl Memory {
    /// The table in this process.
    pub fn table(&self) -> &ShardedTable {
        match self {
            Self::Local(table) => table,
            Self::Shared(shared) => shared.local(),
        }
    }

    /// What has been done with Redis, if there is one.
    pub fn shared(&self) -> Option<SharedCounters> {
        match self {
            Self::Local(_) => None,
            Self::Shared(shared) => Some(shared.counters()),
        }
    }

    pub(super) async fn lookup(&self, key: &SessionKey, now: Instant) -> Option<Found> {
        // Looking it up makes its idle time begin anew, so that is asked first.
        let found = self.table().lookup_idle(key, now);
        match self {
            Self::Local(_) => found,
            Self::Shared(shared) => {
                let backend = shared.lookup(key, now).await?;
                Some(Found { backend, idle: found.map_or_else(Default::default, |f| f.idle) })
            }
        }
    }

    pub(super) async fn bind(&self, key: &SessionKey, to: BackendId, now: Instant) -> BackendId {
        match self {
            Self::Local(table) => table.bind(key, to, now),
            Self::Shared(shared) => shared.bind(key, to, now).await,
        }
    }

    pub(super) async fn rebind(
        &self,
        key: &SessionKey,
        from: BackendId,
        to: BackendId,
        now: Instant,
    ) -> BackendId {
        match self {
            Self::Local(table) => Sessions::rebind(&**table, key, from, to, now),
            Self::Shared(shared) => shared.rebind(key, from, to, now).await,
        }
    }

    pub(super) async fn unbind(&self, key: &SessionKey, now: Instant) {
        match self {
            Self::Local(table) => _ = table.unbind_session(key, now),
            Self::Shared(shared) => shared.unbind(key, now).await,
        }
    }

    /// Forgets some of the sessions that are over.
    pub(super) fn sweep(&self, now: Instant, budget: usize) -> Swept {
        self.table().sweep(now, budget)
    }
}
