//! What a request does: it asks the store, if it may, and changes the local table.

use std::sync::atomic::Ordering;

use equipoise_core::{BackendId, Instant};
use equipoise_sticky::SessionKey;
use tokio::time::timeout;

use super::Inner;
use super::local::follow;
use crate::sessions::config::{SharedBuilder, WriteMode};
use crate::sessions::counters::StoreNotice;
use crate::sessions::link::{Change, NoPlace, Ticket};
use crate::sessions::queue::{Pending, Pushed};
use crate::sessions::store::{SessionStore, StoreError, StoreReply, StoreRequest, Verb};

impl<S: SessionStore> Inner<S> {
    pub(super) fn settings(&self) -> &SharedBuilder {
        self.config.settings()
    }

    pub(super) fn counted(&self, local: Option<BackendId>) -> Option<BackendId> {
        let tally = if local.is_some() { &self.tallies.hits_local } else { &self.tallies.misses };
        tally.count();
        local
    }

    /// Asks the store within the time limit. If there is no answer, that was counted.
    pub(super) async fn ask(
        &self,
        request: StoreRequest,
        now: Instant,
    ) -> Result<StoreReply, Unanswered> {
        let ticket = self.link.enter(now).map_err(|reason| {
            if reason == NoPlace::Full {
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
    pub(super) async fn ask_to_write(
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
    pub(super) fn may_write_through(&self, key: &SessionKey) -> bool {
        self.settings().mode == WriteMode::Through && !self.queue.lock().holds(key)
    }

    /// Writes through, if that is the mode and the store answers. Who has the session now.
    pub(super) async fn write_through(
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
        let queue = self.queue.lock();
        let now = self.clock.now();
        if queue.holds(key) {
            // It was moved here while the store answered, and that is on its way.
            return self.local.lookup(key, now);
        }
        follow(&self.local, key, held, now);
        self.fresh.mark(key, now);
        Some(held.backend)
    }

    pub(super) fn bind_locally(
        &self,
        key: &SessionKey,
        backend: BackendId,
        now: Instant,
    ) -> BackendId {
        let mut queue = self.queue.lock();
        let winner = self.local.bind(key, backend, now);
        let pushed = queue.push(*key, Pending::Bind { backend: winner, since: now });
        drop(queue);
        self.queued(pushed, now);
        winner
    }

    pub(super) fn rebind_locally(
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

    pub(super) fn forget(&self, key: &SessionKey, now: Instant) {
        let _ = self.local.unbind_session(key, now);
        self.fresh.clear(key);
    }

    /// What the store said of a session that was looked up.
    pub(super) fn hear(&self, key: &SessionKey, reply: &StoreReply) -> Option<BackendId> {
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
    pub(super) fn queued(&self, pushed: Pushed, now: Instant) {
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
    pub(super) fn note(&self, reply: &StoreReply) {
        if reply.was_malformed {
            self.tallies.malformed.count();
        }
        if self.generation.hear(reply.generation, reply.connection, self.clock.now()) {
            self.tell(&StoreNotice::DataLost);
        }
    }

    pub(super) fn count_error(&self, error: &StoreError) {
        match error {
            StoreError::Timeout { .. } => self.tallies.timeouts.count(),
            StoreError::Refused { .. } => self.tallies.refused.count(),
            StoreError::Connection { .. } | StoreError::Malformed { .. } => {
                self.tallies.failures.count();
            }
        }
    }

    pub(super) fn refuses_writes(&self, error: &StoreError) {
        if !self.refuses_writes.swap(true, Ordering::Relaxed) {
            self.tell(&StoreNotice::WritesRefused { because: error.clone() });
        }
    }

    /// Gives a place back, and tells if the store is down now.
    pub(super) fn end<T>(&self, ticket: Ticket<'_>, result: &Result<T, StoreError>) {
        let change = ticket.end(self.clock.now(), result.is_ok());
        if let (Some(Change::Down), Err(error)) = (change, result) {
            self.store.reset();
            self.tell(&StoreNotice::Down { because: error.clone() });
            self.wake.notify_one();
        }
    }

    pub(super) fn tell(&self, notice: &StoreNotice) {
        (self.observer)(notice);
    }
}

/// The store did not answer; that was counted.
pub(super) struct Unanswered;

pub(super) fn no_reply() -> StoreError {
    StoreError::Malformed { reason: "no answer to a question".to_owned() }
}
