//! How many connections there may be at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use tokio::sync::Notify;

use crate::log;

/// Lets in so many connections at a time, over all listeners. The others stay with the system, which
/// accepts them on its own until its backlog is full.
#[derive(Debug)]
pub struct Gate {
    inside: AtomicUsize,
    most: AtomicUsize,
    free: Notify,
    is_told: AtomicBool,
}

/// A connection's place, which is free when this is dropped.
#[derive(Debug)]
pub struct Entered(Arc<Gate>);

impl Gate {
    /// `None`: as many as the system has file descriptors for.
    pub fn new(most: Option<usize>) -> Arc<Self> {
        let (inside, most) = (AtomicUsize::new(0), AtomicUsize::new(most.unwrap_or(usize::MAX)));
        Arc::new(Self { inside, most, free: Notify::new(), is_told: AtomicBool::new(false) })
    }

    /// From now on it is so many. Those beyond that are not put out.
    pub fn set(&self, most: Option<usize>) {
        self.most.store(most.unwrap_or(usize::MAX), SeqCst);
        self.free.notify_waiters();
    }

    /// How many are inside.
    pub fn inside(&self) -> usize {
        self.inside.load(SeqCst)
    }

    /// Waits until there is room, and takes none of it: whoever waits for a client needs no place yet. The log
    /// hears of it when the first one waits after a time in which half of the places were free.
    pub async fn opens(&self) {
        self.until(|| (self.inside() < self.most.load(SeqCst)).then_some(())).await;
    }

    /// Takes a place, if there is one.
    pub fn try_enter(self: &Arc<Self>) -> Option<Entered> {
        let most = self.most.load(SeqCst);
        let enter = |inside| (inside < most).then_some(inside + 1);
        let entered = self.inside.fetch_update(SeqCst, SeqCst, enter).is_ok();
        entered.then(|| Entered(Arc::clone(self)))
    }

    /// Waits for a place; the log hears of it as of [`opens`](Self::opens).
    pub async fn enter(self: &Arc<Self>) -> Entered {
        self.until(|| self.try_enter()).await
    }

    async fn until<T>(&self, mut condition: impl FnMut() -> Option<T>) -> T {
        if let Some(value) = condition() {
            return value;
        }
        loop {
            // Before looking: a place that comes free meanwhile is not missed.
            let mut free = std::pin::pin!(self.free.notified());
            free.as_mut().enable();
            if let Some(value) = condition() {
                return value;
            }
            if !self.is_told.swap(true, SeqCst) {
                let most = self.most.load(SeqCst);
                log::warn(format_args!(
                    "accept: {most} connections, limits.max_connections; clients wait"
                ));
            }
            free.await;
        }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let inside = self.0.inside.fetch_sub(1, SeqCst) - 1;
        if inside < self.0.most.load(SeqCst).div_ceil(2) {
            self.0.is_told.store(false, SeqCst);
        }
        // All: one that finds room need not have a client to take it.
        self.0.free.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    async fn enters(gate: &Arc<Gate>) -> Option<Entered> {
        timeout(Duration::from_millis(20), gate.enter()).await.ok()
    }

    #[tokio::test(start_paused = true)]
    async fn it_lets_in_as_many_as_it_may() {
        let gate = Gate::new(Some(2));
        let (first, second) = (enters(&gate).await.unwrap(), enters(&gate).await.unwrap());
        assert!(enters(&gate).await.is_none());
        drop(first);
        let third = enters(&gate).await.unwrap();
        gate.set(Some(1));
        drop(third);
        assert!(enters(&gate).await.is_none(), "there is one inside");
        let waiting = tokio::spawn({
            let gate = Arc::clone(&gate);
            async move { gate.enter().await }
        });
        tokio::task::yield_now().await;
        drop(second);
        let last = waiting.await.unwrap();
        assert_eq!(gate.inside(), 1);
        gate.set(None);
        assert!(enters(&gate).await.is_some());
        drop(last);
        assert_eq!(gate.inside(), 0);
    }
}
