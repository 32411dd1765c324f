//! Two counters over the recent past.

use core::time::Duration;

use equipoise_core::Instant;

/// Into how many parts the time is cut: the counters forget a tenth of it at once.
pub(crate) const BUCKETS: usize = 10;

/// Two counters over a rolling window: between nine and ten tenths of its length, in a ring of
/// buckets. Every verb is O(1): at most ten buckets are emptied.
#[derive(Clone, Debug)]
pub(crate) struct Rolling {
    buckets: [[u32; 2]; BUCKETS],
    /// What all buckets add up to.
    sums: [u64; 2],
    current: usize,
    /// When the current bucket began.
    began: Instant,
}

impl Rolling {
    pub(crate) const fn new() -> Self {
        Self { buckets: [[0; 2]; BUCKETS], sums: [0; 2], current: 0, began: Instant::ZERO }
    }

    /// Forgets what is older than `window`. A clock that runs backwards forgets nothing.
    pub(crate) fn roll(&mut self, now: Instant, window: Duration) {
        let width = u64::try_from(window.as_nanos()).unwrap_or(u64::MAX) / BUCKETS as u64;
        let width = width.max(1);
        let passed = now.as_nanos().saturating_sub(self.began.as_nanos()) / width;
        if passed == 0 {
            return;
        }
        // Measured from the last beginning, not from the epoch: so the width may change.
        let began = self.began.as_nanos().saturating_add(passed.saturating_mul(width));
        self.began = Instant::from_nanos(began);
        for _ in 0..passed.min(BUCKETS as u64) {
            self.current = (self.current + 1) % BUCKETS;
            let bucket = core::mem::take(&mut self.buckets[self.current]);
            for (sum, count) in self.sums.iter_mut().zip(bucket) {
                *sum = sum.saturating_sub(u64::from(count));
            }
        }
    }

    /// Adds to both counters. A full bucket stays full.
    pub(crate) fn add(&mut self, counts: [u32; 2]) {
        let bucket = &mut self.buckets[self.current];
        for ((sum, bucket), count) in self.sums.iter_mut().zip(bucket).zip(counts) {
            let more = count.min(u32::MAX - *bucket);
            *bucket += more;
            *sum = sum.saturating_add(more.into());
        }
    }

    /// Both counters.
    pub(crate) const fn sums(&self) -> [u64; 2] {
        self.sums
    }

    /// Forgets everything.
    pub(crate) const fn clear(&mut self) {
        self.buckets = [[0; 2]; BUCKETS];
        self.sums = [0; 2];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(10);

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn what_is_older_than_the_window_is_forgotten_bucket_by_bucket() {
        let mut rolling = Rolling::new();
        for second in 0..10 {
            rolling.roll(at(second), WINDOW);
            rolling.add([1, 0]);
        }
        assert_eq!(rolling.sums(), [10, 0]);
        rolling.roll(at(10), WINDOW);
        assert_eq!(rolling.sums(), [9, 0]);
        rolling.roll(at(18), WINDOW);
        assert_eq!(rolling.sums(), [1, 0]);
        rolling.roll(at(1_000_000), WINDOW);
        assert_eq!(rolling.sums(), [0, 0]);
    }

    #[test]
    fn another_width_forgets_too() {
        let mut rolling = Rolling::new();
        rolling.roll(at(100), Duration::from_secs(1));
        rolling.add([0, 1]);
        rolling.roll(at(104), WINDOW);
        assert_eq!(rolling.sums(), [0, 1]);
        rolling.roll(at(111), WINDOW);
        assert_eq!(rolling.sums(), [0, 0]);
    }

    #[test]
    fn a_clock_that_runs_backwards_forgets_nothing() {
        let mut rolling = Rolling::new();
        rolling.roll(at(50), WINDOW);
        rolling.add([1, 0]);
        rolling.roll(at(10), WINDOW);
        assert_eq!(rolling.sums(), [1, 0]);
        rolling.roll(Instant::from_nanos(u64::MAX), WINDOW);
        assert_eq!(rolling.sums(), [0, 0]);
    }
}
