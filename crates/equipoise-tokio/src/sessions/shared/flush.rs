//! The task: it writes what is queued, and tries a store that is down.

use std::sync::atomic::Ordering;
use std::time::Duration;

use equipoise_core::BackendId;
use equipoise_sticky::SessionKey;
use tokio::time::{sleep, timeout};

use super::inner::no_reply;
use super::local::follow;
use super::{Inner, SharedSessions};
use crate::sessions::counters::StoreNotice;
use crate::sessions::link::{Change, Ticket};
use crate::sessions::store::{SessionStore, StoreError, StoreReply, StoreRequest, Verb};

/// The most writes in one round trip.
const BATCH: usize = 256;

/// How long the task waits after a write that the store did not take, at first and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// What came of some writes.
#[derive(Clone, Copy, Default)]
struct Written {
    done: usize,
    followed: usize,
    /// The store answered, and did not write.
    refused: usize,
}

impl<S: SessionStore> SharedSessions<S> {
    /// The task: it writes what is queued, and tries a store that is down. It never ends; spawn it
    /// once. It may be dropped at any time; what is queued stays queued.
    pub async fn run(&self) {
        let inner = &*self.inner;
        let mut pause = RETRY.0;
        loop {
            if !inner.link.is_up() {
                let now = inner.clock.now();
                match inner.link.try_again(now) {
                    Err(until) => sleep(until.since(now).max(Duration::from_millis(1))).await,
                    Ok(ticket) => {
                        if !inner.come_back(ticket).await {
                            sleep(RETRY.0).await;
                        }
                    }
                }
            } else if inner.queue.lock().len() == 0 {
                inner.wake.notified().await;
                sleep(inner.settings().gather).await;
            } else if inner.flush().await {
                pause = RETRY.0;
            } else {
                sleep(pause).await;
                pause = pause.saturating_mul(2).min(RETRY.1);
            }
        }
    }

    /// Connects to the store, within `batch_limit`, and says whether it answers. [`run`](Self::run) does so
    /// too; who waits for this at the start of a process, before that is spawned, spares the first requests
    /// to go by what this balancer knows, which is nothing.
    pub async fn reach(&self) -> bool {
        let inner = &*self.inner;
        match inner.link.try_again(inner.clock.now()) {
            Ok(ticket) => inner.come_back(ticket).await,
            Err(_) => inner.link.is_up(),
        }
    }

    /// Writes what is queued now, as long as the store takes it: at the end of a process, say. How
    /// many writes are queued still.
    pub async fn flush(&self) -> usize {
        let mut left = self.inner.queue.lock().len();
        while left > 0 && self.inner.flush().await {
            left = left.saturating_sub(BATCH);
        }
        self.inner.queue.lock().len()
    }
}

impl<S: SessionStore> Inner<S> {
    /// The trial of a store that is down: one question, and then what is queued. Whether it is up.
    async fn come_back(&self, ticket: Ticket<'_>) -> bool {
        let mut total = Written::default();
        let result = self.try_store(&mut total).await;
        if let Err(error) = &result {
            self.count_error(error);
            self.store.reset();
            self.end(ticket, &result);
            return false;
        }
        let now = self.clock.now();
        // The store did not hear what this balancer's sessions did meanwhile.
        self.generation.lose(now);
        if let Some(Change::Up(after)) = ticket.end(now, true) {
            let Written { done: replayed, followed, .. } = total;
            self.tell(&StoreNotice::Up { after, replayed, followed });
        }
        self.link.is_up()
    }

    async fn try_store(&self, total: &mut Written) -> Result<(), StoreError> {
        let limit = self.settings().batch_limit;
        // A read, of a session that nobody has: a store that is full is up all the same.
        let nobody = StoreRequest { key: SessionKey::from_bytes([0; 8]), verb: Verb::Get };
        let replies = timeout(limit, self.store.exchange(self.times, &[nobody])).await;
        let replies = replies.unwrap_or(Err(StoreError::Timeout { limit }))?;
        self.note(&replies.into_iter().next().unwrap_or(Err(no_reply()))?);
        // What comes meanwhile is written later: the trial has an end.
        let queued = self.queue.lock().len();
        while total.done < queued {
            let Written { done, followed, refused } = self.write_batch().await?;
            total.done = total.done.saturating_add(done);
            total.followed = total.followed.saturating_add(followed);
            if refused > 0 || done == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Writes one batch of what is queued. Whether there was one, and the store did all of it.
    async fn flush(&self) -> bool {
        let Ok(ticket) = self.link.enter(self.clock.now()) else { return false };
        let result = self.write_batch().await;
        if let Err(error) = &result {
            self.count_error(error);
        }
        self.end(ticket, &result);
        result.is_ok_and(|written| written.done > 0 && written.refused == 0)
    }

    async fn write_batch(&self) -> Result<Written, StoreError> {
        let _alone = self.flushing.lock().await;
        let most = if self.refuses_writes.load(Ordering::Relaxed) { 1 } else { BATCH };
        let requests = self.queue.lock().take(most, self.clock.now());
        let batch = Batch { inner: self, requests: &requests };
        if requests.is_empty() {
            return Ok(Written::default());
        }
        let limit = self.settings().batch_limit;
        let replies = timeout(limit, self.store.exchange(self.times, &requests)).await;
        let replies = replies.unwrap_or(Err(StoreError::Timeout { limit }))?;
        let mut written = Written::default();
        for (request, reply) in requests.iter().zip(replies) {
            match reply {
                Ok(reply) => {
                    written.done += 1;
                    written.followed += usize::from(self.settle(request, &reply));
                }
                Err(error) => {
                    written.refused += 1;
                    self.count_error(&error);
                    self.refuses_writes(&error);
                }
            }
        }
        drop(batch);
        // One that is refused for its own sake holds up no other.
        self.queue.lock().last(written.refused);
        if written.refused == 0 && self.refuses_writes.swap(false, Ordering::Relaxed) {
            self.tell(&StoreNotice::WritesAccepted);
        }
        Ok(written)
    }

    /// The store has done a write: the local table follows it. Whether that is another backend than
    /// the wanted one.
    fn settle(&self, request: &StoreRequest, reply: &StoreReply) -> bool {
        self.tallies.writes.count();
        self.note(reply);
        let mut queue = self.queue.lock();
        let is_last = queue.done(&request.key);
        let (Some(wanted), true) = (wanted(request.verb), is_last) else { return false };
        let now = self.clock.now();
        let Some(held) = reply.held else {
            // It is older than sessions may get.
            self.forget(&request.key, now);
            return false;
        };
        follow(&self.local, &request.key, held, now);
        self.fresh.mark(&request.key, now);
        if held.backend != wanted {
            self.tallies.conflicts_followed.count();
        }
        held.backend != wanted
    }
}

const fn wanted(verb: Verb) -> Option<BackendId> {
    match verb {
        Verb::Bind { backend, .. } => Some(backend),
        Verb::Move { to, .. } => Some(to),
        Verb::Get | Verb::Drop => None,
    }
}

/// Writes that are on their way. When it is dropped, those that the store has not done are put back.
struct Batch<'a, S> {
    inner: &'a Inner<S>,
    requests: &'a [StoreRequest],
}

impl<S> Drop for Batch<'_, S> {
    fn drop(&mut self) {
        let mut queue = self.inner.queue.lock();
        // The last one first, so that they stand in front in their order.
        for request in self.requests.iter().rev() {
            queue.put_back(request.key);
        }
    }
}
