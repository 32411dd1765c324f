//! Sessions in a local table, which several balancers share through a store.

mod flush;
mod local;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use equipoise_core::{BackendId, Clock, Instant, Sessions};
use equipoise_sticky::{SessionKey, ShardedTable, TableConfig};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::timeout;

use self::local::follow;
use super::config::{SharedBuilder, SharedConfig, WriteMode};
use super::counters::{SharedCounters, StoreNotice, Tallies};
use super::fresh::Fresh;
use super::generation::Generation;
use super::link::{Change, IsDown, Link, Ticket};
use super::queue::{Pending, Pushed, Queue};
use super::store::{KeepTimes, SessionStore, StoreError, StoreReply, StoreRequest, Verb};

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

impl<S: SessionStore> Inner<S> {
    fn settings(&self) -> &SharedBuilder {
        self.config.settings()
    }

    fn counted(&self, local: Option<BackendId>) -> Option<BackendId> {
        let tally = if local.is_some() { &self.tallies.hits_local } else { &self.tallies.misses };
        tally.count();
        local
    }

    /// Asks the store within the time limit. If there is no answer, that was counted.
    async fn ask(&self, request: StoreRequest, now: Instant) -> Result<StoreReply, Unanswered> {
        let ticket = self.link.enter(now).map_err(|IsDown(is_down)| {
            if !is_down {
                self.tallies.shed.count();
            }
            Unanswered
        })?;
        let limit = self.settings().time_limit;
        let replies = timeout(limit, self.store.exchange(self.times, &[request])).await;
        let result = replies
            .unwrap_or(Err(StoreError::Timeout { limit }))
            .and_then(|replies| replies.into_iter().next().unwrap_or(Err(no_reply())));
        let refused = match &result {
            Err(error @ StoreError::Refused { .. }) if request.verb != Verb::Get => {
                self.refuses_writes(error);
                true
            }
            _ => false,
        };
        // A store that can't write may still be read: that is no reason to stop asking it.
        if !refused {
            self.end(ticket, &result);
        }
        let reply = result.map_err(|error| {
            self.count_error(&error);
            Unanswered
        })?;
        self.note(&reply);
        Ok(reply)
    }

    /// Like [`ask`](Self::ask), unless the store refuses writes: then the task finds out when it
    /// takes them again.
    async fn ask_to_write(
        &self,
        request: StoreRequest,
        now: Instant,
    ) -> Result<StoreReply, Unanswered> {
        if self.refuses_writes.load(Ordering::Relaxed) {
            return Err(Unanswered);
        }
        let reply = self.ask(request, now).await?;
        self.tallies.writes.count();
        Ok(reply)
    }

    /// Whether a write goes to the store at once. Not if one of the same session is queued: they have
    /// an order.
    fn may_write_through(&self, key: &SessionKey) -> bool {
        self.settings().mode == WriteMode::Through && !self.queue.lock().holds(key)
    }

    /// Writes through, if that is the mode and the store answers. Who has the session now.
    async fn write_through(
        &self,
        key: &SessionKey,
        verb: Verb,
        wanted: BackendId,
        now: Instant,
    ) -> Option<BackendId> {
        if !self.may_write_through(key) {
            return None;
        }
        let reply = self.ask_to_write(StoreRequest { key: *key, verb }, now).await.ok()?;
        let held = reply.held?;
        if held.backend != wanted {
            self.tallies.conflicts_followed.count();
        }
        let _order = self.queue.lock();
        let now = self.clock.now();
        follow(&self.local, key, held, now);
        self.fresh.mark(key, now);
        Some(held.backend)
    }

    fn bind_locally(&self, key: &SessionKey, backend: BackendId, now: Instant) -> BackendId {
        let mut queue = self.queue.lock();
        let winner = self.local.bind(key, backend, now);
        let pushed = queue.push(*key, Pending::Bind { backend: winner, since: now });
        drop(queue);
        self.queued(pushed, now);
        winner
    }

    fn rebind_locally(
        &self,
        key: &SessionKey,
        from: BackendId,
        to: BackendId,
        now: Instant,
    ) -> BackendId {
        let mut queue = self.queue.lock();
        let winner = self.local.rebind(key, from, to, now);
        if winner == to {
            let pushed = queue.push(*key, Pending::Move { from, to, since: now });
            drop(queue);
            self.queued(pushed, now);
        }
        winner
    }

    fn forget(&self, key: &SessionKey, now: Instant) {
        let _ = self.local.unbind_session(key, now);
        self.fresh.clear(key);
    }

    /// What the store said of a session that was looked up.
    fn hear(&self, key: &SessionKey, reply: &StoreReply) -> Option<BackendId> {
        let mut queue = self.queue.lock();
        let now = self.clock.now();
        if let Some(held) = reply.held.filter(|_| !queue.holds(key)) {
            follow(&self.local, key, held, now);
            self.fresh.mark(key, now);
            self.tallies.hits_remote.count();
            return Some(held.backend);
        }
        let local = self.local.lookup(key, now);
        let Some(backend) = local.filter(|_| !queue.holds(key)) else {
            // Nobody knows it, or it was changed here while the store answered.
            return self.counted(local);
        };
        let lost = self.generation.lost(now);
        if lost.is_none_or(|lost| self.fresh.is_marked_since(key, lost)) {
            // It has ended elsewhere.
            self.forget(key, now);
            return self.counted(None);
        }
        let pushed = queue.push(*key, Pending::Bind { backend, since: now });
        drop(queue);
        self.tallies.reseeded.count();
        self.queued(pushed, now);
        self.counted(local)
    }

    /// A write was queued. Called without a lock: the observer may ask back.
    fn queued(&self, pushed: Pushed, now: Instant) {
        if pushed.dropped {
            self.tallies.dropped.count();
            // The store never hears of it, and its not knowing it says nothing.
            self.generation.lose(now);
        }
        if pushed.is_first {
            self.tell(&StoreNotice::Overflow { capacity: self.settings().queue });
        }
        self.wake.notify_one();
    }

    /// What any answer tells, whatever the question.
    fn note(&self, reply: &StoreReply) {
        if reply.was_malformed {
            self.tallies.malformed.count();
        }
        if self.generation.hear(reply.generation, reply.connection, self.clock.now()) {
            self.tell(&StoreNotice::DataLost);
        }
    }

    fn count_error(&self, error: &StoreError) {
        match error {
            StoreError::Timeout { .. } => self.tallies.timeouts.count(),
            StoreError::Refused { .. } => self.tallies.refused.count(),
            StoreError::Connection { .. } | StoreError::Malformed { .. } => {
                self.tallies.failures.count();
            }
        }
    }

    fn refuses_writes(&self, error: &StoreError) {
        if !self.refuses_writes.swap(true, Ordering::Relaxed) {
            self.tell(&StoreNotice::WritesRefused { because: error.clone() });
        }
    }

    /// Gives a place back, and tells if the store is down now.
    fn end<T>(&self, ticket: Ticket<'_>, result: &Result<T, StoreError>) {
        let change = ticket.end(self.clock.now(), result.is_ok());
        if let (Some(Change::Down), Err(error)) = (change, result) {
            self.store.reset();
            self.tell(&StoreNotice::Down { because: error.clone() });
            self.wake.notify_one();
        }
    }

    fn tell(&self, notice: &StoreNotice) {
        (self.observer)(notice);
    }
}

/// The store did not answer; that was counted.
struct Unanswered;

fn no_reply() -> StoreError {
    StoreError::Malformed { reason: "no answer to a question".to_owned() }
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
