//! Whether the store has lost something, so that its not knowing a session means nothing.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use equipoise_core::Instant;
use parking_lot::Mutex;

/// What is known of the store's memory. A session that the store doesn't know has ended elsewhere, and
/// ends here too; unless the store may never have heard of it, or has forgotten it: then it is put
/// back. That holds for one idle time after a loss, since a session that has not asked by then has
/// ended, and for sessions that the store has not confirmed since.
pub(super) struct Generation {
    idle: Duration,
    /// The store's number, and the one before it: an answer from before the loss may come late.
    numbers: Mutex<(Option<u64>, Option<u64>)>,
    /// When the last loss was found, in nanoseconds since the epoch; 0 is never.
    lost: AtomicU64,
    /// The last connection.
    connection: AtomicU64,
}

impl Generation {
    pub(super) fn new(idle: Duration) -> Self {
        Self {
            idle,
            numbers: Mutex::new((None, None)),
            lost: AtomicU64::new(0),
            connection: AtomicU64::new(0),
        }
    }

    /// An answer had this number and came over this connection. Whether that tells of a loss.
    pub(super) fn hear(&self, number: Option<u64>, connection: u64, now: Instant) -> bool {
        // Behind another connection there may be a server that was started with older data, or
        // another one that has not got the last writes.
        if self.connection.fetch_max(connection, Ordering::Relaxed) < connection {
            self.lose(now);
        }
        if number.is_none() {
            return false;
        }
        let mut numbers = self.numbers.lock();
        let (current, previous) = *numbers;
        if number == current || number == previous {
            return false;
        }
        *numbers = (number, current);
        if current.is_some() {
            self.lose(now);
        }
        current.is_some()
    }

    /// The store may have lost something by now, or not have heard of it.
    pub(super) fn lose(&self, now: Instant) {
        self.lost.fetch_max(now.as_nanos(), Ordering::Relaxed);
    }

    /// When it did so last, if that is less than an idle time ago.
    pub(super) fn lost(&self, now: Instant) -> Option<Instant> {
        let lost = Instant::from_nanos(self.lost.load(Ordering::Relaxed));
        (lost != Instant::ZERO && now < lost + self.idle).then_some(lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_number_is_a_loss_and_a_late_answer_is_none() {
        let idle = Duration::from_secs(10);
        let (generation, now) = (Generation::new(idle), Instant::from_nanos(1));
        assert!(!generation.hear(Some(1), 0, now), "the first one says nothing");
        assert!(!generation.hear(Some(1), 0, now) && !generation.hear(None, 0, now));
        assert_eq!(generation.lost(now), None);
        assert!(generation.hear(Some(2), 0, now));
        assert!(!generation.hear(Some(1), 0, now), "from before the loss");
        assert!(!generation.hear(Some(2), 0, now));
        assert_eq!((generation.lost(now), generation.lost(now + idle)), (Some(now), None));
        assert!(generation.hear(Some(3), 0, now + idle));
        assert_eq!(generation.lost(now + idle), Some(now + idle));
    }

    #[test]
    fn what_was_answered_over_another_connection_may_be_lost() {
        let generation = Generation::new(Duration::from_secs(10));
        let [first, then, later] = [1, 2, 3].map(Instant::from_nanos);
        assert!(!generation.hear(Some(1), 1, first));
        assert!(!generation.hear(Some(1), 1, then));
        assert_eq!(generation.lost(then), Some(first));
        assert!(!generation.hear(Some(1), 2, later));
        assert!(!generation.hear(Some(1), 1, later), "a late answer");
        assert_eq!(generation.lost(later), Some(later));
    }
}
