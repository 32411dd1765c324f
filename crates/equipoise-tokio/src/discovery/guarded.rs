//! A source behind a guard.

use std::future;

use equipoise_core::Instant;
use tokio::time::{self, sleep_until};

use super::{Discover, DiscoveryError, Guard, NextSet, Verdict};

/// A source whose updates pass a [`Guard`]. A refusal comes as
/// [`DiscoveryError::Refused`], so whoever logs errors logs it.
#[derive(Debug)]
pub struct Guarded<D> {
    source: D,
    guard: Guard,
    /// The guard's epoch.
    start: time::Instant,
}

impl<D: Discover> Guarded<D> {
    /// Puts a guard behind the source.
    pub fn new(source: D, guard: Guard) -> Self {
        Self { source, guard, start: time::Instant::now() }
    }

    fn now(&self) -> Instant {
        Instant::ZERO + self.start.elapsed()
    }
}

impl<D: Discover> Discover for Guarded<D> {
    fn next(&mut self) -> NextSet<'_> {
        Box::pin(async move {
            loop {
                let wake = self.guard.deadline().map(|deadline| deadline.since(Instant::ZERO));
                // A deadline past the end of the clock never comes.
                let wake = wake.and_then(|after| self.start.checked_add(after));
                let in_time = async {
                    match wake {
                        Some(wake) => sleep_until(wake).await,
                        None => future::pending().await,
                    }
                };
                tokio::select! {
                    // The guard first: a source that is never silent does not hold it up.
                    biased;
                    () = in_time => {
                        let now = self.now();
                        if let Some(set) = self.guard.poll(now) {
                            return Ok(set);
                        }
                    }
                    next = self.source.next() => {
                        let now = self.now();
                        return match self.guard.offer(now, next?) {
                            Verdict::Accepted(set) => Ok(set),
                            Verdict::Refused(refusal) => Err(DiscoveryError::Refused(refusal)),
                        };
                    }
                }
            }
        })
    }
}
