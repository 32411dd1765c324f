//! Sessions in a local table, which several balancers share through a store.

mod flush;
mod inner;
mod local;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use equipoise_core::{BackendId, Clock, Instant, Sessions};
use equipoise_sticky::{SessionKey, ShardedTable, TableConfig};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::config::SharedConfig;
use super::counters::{SharedCounters, StoreNotice, Tallies};
use super::fresh::Fresh;
use super::generation::Generation;
use super::link::Link;
use super::queue::{Pending, Queue};
use super::store::{KeepTimes, SessionStore, StoreRequest, Verb};

/// Sessions that several balancers share: the local table is the cache, the store is the truth.
///
/// It is a handle: clones are the same sessions. Nothing is written behind, and a store that went
/// down is not tried again, until somebody spawns [`run`](Self::run). What requests see when the
/// store is slow, down, or comes back is in [the module's table](super).
pub struct SharedSessions<S> {
    inner: Arc<Inner<S>>,
}

struct Inner<S> {
    local: ShardedTable,
    store: S,
    config: SharedConfig,
    times: KeepTimes,
    clock: Box<dyn Clock + Send + Sync>,
    observer: Box<dyn Fn(&StoreNotice) + Send + Sync>,
    link: Link,
    /// Held as well while the local table follows the store or is changed ahead of it, so that an
    /// answer of the store never undoes what is queued.
    queue: Mutex<Queue>,
    fresh: Fresh,
    generation: Generation,
    /// Whether the store answers, but refused the last write.
    refuses_writes: AtomicBool,
    tallies: Tallies,
    /// Wakes the task: something is queued, or the store went down.
    wake: Notify,
    /// Held by whoever writes what is queued: one at a time.
    flushing: tokio::sync::Mutex<()>,
}

impl<S: SessionStore> SharedSessions<S> {
    /// Sessions in a table of these settings, shared through `store`. They live in the store as
    /// long as in the table: its idle time and its lifetime hold for both.
    ///
    /// `clock` is the one whose readings the other methods get. `observer` is told what an operator
    /// may want to know; it is called from whichever thread found out and should not take long.
    /// `seed` spreads the trials of a store that is down: another one in each process.
    pub fn new(
        table: &TableConfig,
        store: S,
        config: SharedConfig,
        seed: u64,
        clock: impl Clock + Send + Sync + 'static,
        observer: impl Fn(&StoreNotice) + Send + Sync + 'static,
    ) -> Self {
        let settings = config.settings();
        let (idle, lifetime) = (table.idle(), table.lifetime());
        let slack = idle / 8;
        // A balancer that trusts what it heard doesn't tell the store of each request.
        let keep = idle.saturating_add(settings.trust).saturating_add(slack);
        let inner = Inner {
            link: Link::new(settings.breaker, seed, clock.now()),
            queue: Mutex::new(Queue::new(settings.queue)),
            fresh: Fresh::new(table.max_sessions(), settings.trust),
            generation: Generation::new(idle),
            refuses_writes: AtomicBool::new(false),
            times: KeepTimes { keep, slack, lifetime },
            local: ShardedTable::new(table),
            store,
            config,
            clock: Box::new(clock),
            observer: Box::new(observer),
            tallies: Tallies::default(),
            wake: Notify::new(),
            flushing: tokio::sync::Mutex::new(()),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The table, to sweep, count and export. What is changed there directly the store doesn't
    /// hear of.
    pub fn local(&self) -> &ShardedTable {
        &self.inner.local
    }

    /// What has been done, and how the store stands. O(1).
    pub fn counters(&self) -> SharedCounters {
        let queued = self.inner.queue.lock().len();
        self.inner.tallies.read(queued, self.inner.link.down_since())
    }

    /// The backend of a session that lives; its idle time starts anew. No I/O if this balancer has
    /// heard of it within the trusted time; otherwise it asks the store, and answers from the local
    /// table if the store doesn't, after the time limit at the latest.
    ///
    /// It may be dropped at any time.
    pub async fn lookup(&self, key: &SessionKey, now: Instant) -> Option<BackendId> {
        let inner = &*self.inner;
        let local = inner.local.lookup(key, now);
        let is_known = local.is_some() && inner.fresh.is_marked(key, now);
        if is_known || inner.queue.lock().holds(key) {
            return inner.counted(local);
        }
        match inner.ask(StoreRequest { key: *key, verb: Verb::Get }, now).await {
            Ok(reply) => inner.hear(key, &reply),
            Err(_) => inner.counted(local),
        }
    }

    /// Asks the store for a session, if it has to be asked, so that [`Sessions::lookup`], which
    /// never waits, finds it.
    pub async fn prefetch(&self, key: &SessionKey, now: Instant) {
        let _ = self.lookup(key, now).await;
    }

    /// Pins a session, unless it is pinned. Says to whom it is pinned now: of several balancers
    /// that bind at once one wins, and all hear of the same one, as long as they reach the store.
    ///
    /// If it is dropped before it is done, the store may have the pin all the same.
    pub async fn bind(&self, key: &SessionKey, backend: BackendId, now: Instant) -> BackendId {
        let verb = Verb::Bind { backend, age: Duration::ZERO };
        match self.inner.write_through(key, verb, backend, now).await {
            Some(winner) => winner,
            None => self.inner.bind_locally(key, backend, now),
        }
    }

    /// Moves a session from one backend to another, if it is still pinned to the first one or to
    /// nobody. Says to whom it is pinned now.
    ///
    /// If it is dropped before it is done, the store may have moved it all the same.
    pub async fn rebind(
        &self,
        key: &SessionKey,
        from: BackendId,
        to: BackendId,
        now: Instant,
    ) -> BackendId {
        let verb = Verb::Move { from, to, age: Duration::ZERO };
        match self.inner.write_through(key, verb, to, now).await {
            Some(winner) => winner,
            None => self.inner.rebind_locally(key, from, to, now),
        }
    }

    /// Forgets a session, whoever has it: its client has logged out. Other balancers may go by it
    /// for the trusted time.
    pub async fn unbind(&self, key: &SessionKey, now: Instant) {
        let inner = &*self.inner;
        inner.forget(key, now);
        let request = StoreRequest { key: *key, verb: Verb::Drop };
        if inner.may_write_through(key) && inner.ask_to_write(request, now).await.is_ok() {
            // It may have been looked up while the store forgot it.
            let _order = inner.queue.lock();
            inner.forget(key, inner.clock.now());
        } else {
            let pushed = inner.queue.lock().push(*key, Pending::Drop);
            inner.queued(pushed, now);
        }
    }
}

impl<S: SessionStore> Sessions for SharedSessions<S> {
    type Key = SessionKey;

    /// From the local table alone: [`prefetch`](SharedSessions::prefetch) first.
    fn lookup(&self, key: &SessionKey, now: Instant) -> Option<BackendId> {
        self.inner.local.lookup(key, now)
    }

    /// Behind, whatever the mode.
    fn bind(&self, key: &SessionKey, backend: BackendId, now: Instant) -> BackendId {
        self.inner.bind_locally(key, backend, now)
    }

    /// Behind, whatever the mode.
    fn rebind(&self, key: &SessionKey, from: BackendId, to: BackendId, now: Instant) -> BackendId {
        self.inner.rebind_locally(key, from, to, now)
    }
}

impl<S> Clone for SharedSessions<S> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<S: fmt::Debug> fmt::Debug for SharedSessions<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedSessions")
            .field("store", &self.inner.store)
            .field("config", &self.inner.config)
            .finish_non_exhaustive()
    }
}
