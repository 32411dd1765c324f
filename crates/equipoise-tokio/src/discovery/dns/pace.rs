//! When to ask again.

use std::time::Duration;

use equipoise_core::Rng;

/// When to ask again: after the TTL, or after a pause that grows with each failure.
#[derive(Debug)]
pub(super) struct Pace {
    min: Duration,
    max: Duration,
    /// Failures in a row.
    failures: u32,
    rng: Rng,
}

impl Pace {
    pub(super) const fn new(min: Duration, max: Duration, rng: Rng) -> Self {
        Self { min, max, failures: 0, rng }
    }

    /// How long to wait. `ttl` is the smallest of the answers that came, if any did.
    pub(super) fn next(&mut self, ttl: Option<Duration>, has_failed: bool) -> Duration {
        let ttl = ttl.map(|ttl| ttl.clamp(self.min, self.max));
        if !has_failed {
            self.failures = 0;
            return ttl.unwrap_or(self.min);
        }
        let longest = self.min.saturating_mul(1 << self.failures.min(30)).min(self.max);
        self.failures = self.failures.saturating_add(1);
        // Half of it at random, so that those who fail together do not ask together.
        let half = longest / 2;
        let pause = half + half.mul_f64(f64::from(self.rng.below(1 << 20)) / f64::from(1 << 20));
        // What did come may be due sooner.
        ttl.map_or(pause, |ttl| ttl.min(pause))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_ttl_is_clamped() {
        let mut pace = Pace::new(ms(1_000), ms(300_000), Rng::seeded(1));
        for (ttl, expected) in [(0, 1_000), (999, 1_000), (5_000, 5_000), (604_800_000, 300_000)] {
            assert_eq!(pace.next(Some(ms(ttl)), false), ms(expected));
        }
    }

    #[test]
    fn the_pause_after_failures_doubles_with_jitter_up_to_the_longest() {
        let (mut a, mut b) =
            [1, 2].map(|seed| Pace::new(ms(100), ms(5_000), Rng::seeded(seed))).into();
        let mut differ = 0;
        for failure in 0..100_u32 {
            let longest = ms(100).saturating_mul(1 << failure.min(20)).min(ms(5_000));
            let (first, second) = (a.next(None, true), b.next(None, true));
            for pause in [first, second] {
                assert!(pause >= longest / 2 && pause <= longest, "{failure}: {pause:?}");
            }
            differ += u32::from(first != second);
        }
        assert!(differ > 90);
        // Success forgets it all; a partial failure does not outlast the TTL of what came.
        assert_eq!(a.next(Some(ms(700)), false), ms(700));
        assert!(a.next(None, true) <= ms(100));
        assert_eq!(b.next(Some(ms(700)), true), ms(700));
    }
}
