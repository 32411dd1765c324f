//! Whether the store has lost something, so that its not knowing a session means nothing.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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
    refuses_writes: AtomicBool,
}

impl Generation {
    pub(super) fn new(idle: Duration) -> Self {
        Self {
            idle,
            numbers: Mutex::new((None, None)),
            lost: AtomicU64::new(0),
            refuses_writes: AtomicBool::new(false),
        }
    }

    /// An answer had this number. Whether that tells of a loss.
    pub(super) fn hear(&self, number: Option<u64>, now: Instant) -> bool {
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

    /// Whether the store answers, but refused the last write.
    pub(super) fn refuses_writes(&self) -> bool {
        self.refuses_writes.load(Ordering::Relaxed)
    }

    /// Whether that changes anything.
    pub(super) fn set_refuses_writes(&self, refuses: bool) -> bool {
        self.refuses_writes.swap(refuses, Ordering::Relaxed) != refuses
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_number_is_a_loss_and_a_late_answer_is_none() {
        let idle = Duration::from_secs(10);
        let (generation, now) = (Generation::new(idle), Instant::from_nanos(1));
        assert!(!generation.hear(Some(1), now), "the first one says nothing");
        assert!(!generation.hear(Some(1), now) && !generation.hear(None, now));
        assert_eq!(generation.lost(now), None);
        assert!(generation.hear(Some(2), now));
        assert!(!generation.hear(Some(1), now), "from before the loss");
        assert!(!generation.hear(Some(2), now));
        assert_eq!((generation.lost(now), generation.lost(now + idle)), (Some(now), None));
        assert!(generation.hear(Some(3), now + idle));
        assert_eq!(generation.lost(now + idle), Some(now + idle));
    }
}
