//! How long to keep away from a backend that has failed before.

use core::time::Duration;

use equipoise_core::Rng;

/// The times of a back-off: `base` the first time, twice `base` the second, up to `max`, and each
/// longer by up to `jitter` of itself, so that what was taken out together comes back one by one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    pub(crate) base: Duration,
    pub(crate) max: Duration,
    pub(crate) jitter: f64,
}

impl Backoff {
    /// The multiplier after `multiplier`. It stops where the time reaches its maximum: what grew
    /// on would only have to fall again (Envoy #37602).
    pub(crate) fn next(&self, multiplier: u32) -> u32 {
        let most = self.max.as_nanos().div_ceil(self.base.as_nanos().max(1));
        let most = u32::try_from(most).unwrap_or(u32::MAX).max(1);
        multiplier.saturating_add(1).min(most)
    }

    /// The time at `multiplier`, jitter included.
    pub(crate) fn time(&self, multiplier: u32, rng: &mut Rng) -> Duration {
        let time = self.base.saturating_mul(multiplier).min(self.max);
        // 53 bits: all that a double holds.
        let part = (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        let extra = time.as_nanos() as f64 * self.jitter * part;
        // The cast saturates.
        time.saturating_add(Duration::from_nanos(extra as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff =
        Backoff { base: Duration::from_secs(2), max: Duration::from_secs(7), jitter: 0.0 };

    #[test]
    fn the_time_grows_by_its_base_up_to_its_maximum() {
        let mut rng = Rng::seeded(1);
        let mut multiplier = 0;
        let times = [2, 4, 6, 7, 7].map(Duration::from_secs);
        for time in times {
            multiplier = BACKOFF.next(multiplier);
            assert_eq!(BACKOFF.time(multiplier, &mut rng), time);
        }
        assert_eq!(multiplier, 4, "the first multiplier at which the maximum is reached");
    }

    #[test]
    fn jitter_lengthens_within_its_part_and_spreads() {
        let backoff = Backoff { jitter: 0.5, ..BACKOFF };
        let mut rng = Rng::seeded(1);
        let times: alloc::vec::Vec<_> = (0..1_000).map(|_| backoff.time(1, &mut rng)).collect();
        assert!(times.iter().all(|t| (2_000..=3_000).contains(&t.as_millis())));
        assert!(times.iter().any(|t| t.as_millis() < 2_050));
        assert!(times.iter().any(|t| t.as_millis() > 2_950));
    }
}
