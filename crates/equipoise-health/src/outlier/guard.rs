//! Whether failing is general: then nobody is an outlier.

use core::time::Duration;

use equipoise_core::{Instant, Rng};

use super::OutlierConfig;
use crate::backoff::Backoff;
use crate::rolling::Rolling;

/// How far back the guard looks.
const WINDOW: Duration = Duration::from_secs(1);
/// How many requests of that time it wants to have seen.
const MIN_VOLUME: u64 = 20;

/// Watches those backends that are left, and lets go of ejection where it does more harm than good.
///
/// Ejection moves load to others. If they can't carry it, they fail too, and are ejected in their
/// turn; those that come back well are overrun, and so it stays when the cause is long gone. The
/// same happens where all are overloaded from the start and the first to time out is called an
/// outlier. A limit alone does not prevent it: half of the backends have to carry the load of all.
/// (Bronson et al., "Metastable Failures in Distributed Systems", HotOS 2021.)
///
/// So: while most requests of the backends that are *not* out fail, nobody is ejected, and all that
/// were are let in at once, for a time. The pool is then what it would be without outlier detection;
/// what is lost is what it took to see that. Nothing should be tried again in that time either: a
/// fifth more requests is enough to keep a pool down that has a tenth to spare. The time is
/// [`max_ejection_time`](super::OutlierBuilder::max_ejection_time), and once again as long each time
/// that it happens before a whole such time went well.
///
/// One for a pool. O(1), no allocation, about 150 bytes.
///
/// ```
/// use core::time::Duration;
/// use equipoise_core::{Instant, Rng};
/// use equipoise_health::outlier::{Guard, OutlierConfig};
///
/// let config = OutlierConfig::default();
/// let (mut guard, mut rng) = (Guard::new(), Rng::seeded(1));
/// guard.on_outcomes(Instant::ZERO, 100, 20);
/// assert!(!guard.poll(&config, Instant::ZERO, &mut rng), "a fifth: maybe of one backend");
/// guard.on_outcomes(Instant::ZERO, 1_000, 990);
/// assert!(guard.poll(&config, Instant::ZERO, &mut rng), "let all in");
/// assert!(guard.is_general());
/// ```
#[derive(Clone, Debug)]
pub struct Guard {
    /// Requests, and those of them that failed.
    recent: Rolling,
    until: Option<Instant>,
    /// When it ended last.
    ended: Instant,
    multiplier: u32,
}

impl Guard {
    /// Of a pool that has seen no request.
    pub const fn new() -> Self {
        Self { recent: Rolling::new(), until: None, ended: Instant::ZERO, multiplier: 0 }
    }

    /// So many requests ended, of backends that are neither ejected nor on trial, and so many of
    /// them with a failure.
    pub fn on_outcomes(&mut self, now: Instant, requests: u32, failures: u32) {
        self.recent.roll(now, WINDOW);
        self.recent.add([requests, failures]);
    }

    /// Decides. True if failing has just become general: whoever is out is to be let in, by
    /// [`Ejection::clear`](super::Ejection::clear). To be asked at least ten times a second, and
    /// before each ejection.
    pub fn poll(&mut self, config: &OutlierConfig, now: Instant, rng: &mut Rng) -> bool {
        match self.until {
            Some(until) if now < until => return false,
            Some(until) => {
                self.until = None;
                self.ended = until;
            }
            None => {}
        }
        let percent = config.settings().general_failure_percentage;
        self.recent.roll(now, WINDOW);
        let [requests, failures] = self.recent.sums();
        let is_general = percent > 0
            && requests >= MIN_VOLUME
            && failures.saturating_mul(100) >= requests.saturating_mul(percent.into());
        if !is_general {
            return false;
        }
        let hold = config.backoff().max;
        let backoff = Backoff { base: hold, max: hold.saturating_mul(10), jitter: 0.0 };
        let was_well = now.since(self.ended) >= hold;
        self.multiplier = backoff.next(if was_well { 0 } else { self.multiplier });
        self.until = Some(now + backoff.time(self.multiplier, rng));
        true
    }

    /// Whether failing is general: nobody is to be ejected.
    pub const fn is_general(&self) -> bool {
        self.until.is_some()
    }

    /// When to [`poll`](Self::poll) at the latest; `None` if only outcomes can change anything.
    pub const fn deadline(&self) -> Option<Instant> {
        self.until
    }
}

impl Default for Guard {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * 1_000_000_000)
    }

    /// At these times all of 100 requests fail: until when does it hold each time?
    fn holds(config: &OutlierConfig, times: &[u64]) -> alloc::vec::Vec<Option<u64>> {
        let (mut guard, mut rng) = (Guard::new(), Rng::seeded(1));
        let ends = times.iter().map(|&time| {
            guard.on_outcomes(at(time), 100, 100);
            let began = guard.poll(config, at(time), &mut rng);
            began.then(|| guard.deadline().map_or(0, |until| until.as_nanos() / 1_000_000_000))
        });
        ends.collect()
    }

    #[test]
    fn it_holds_longer_each_time_until_a_whole_time_went_well() {
        let config = OutlierConfig::default();
        // 30 s, 60 s, 90 s and so on, as long as it begins anew soon after it ended.
        let ends = holds(&config, &[100, 129, 130, 189, 191, 281, 400, 402]);
        let want = [Some(130), None, Some(190), None, Some(281), Some(401), None, Some(552)];
        assert_eq!(ends, want);
        // After 30 s that went well, 30 s again.
        assert_eq!(holds(&config, &[100, 160, 200]), [Some(130), Some(190), Some(260)]);
    }

    #[test]
    fn it_wants_enough_requests_of_the_last_second_and_enough_failures() {
        let config = OutlierConfig::default();
        for (requests, failures, want) in [(19, 19, false), (20, 14, true), (20, 13, false)] {
            let (mut guard, mut rng) = (Guard::new(), Rng::seeded(1));
            guard.on_outcomes(at(5), requests, failures);
            assert!(!guard.poll(&config, at(7), &mut rng), "too long ago");
            guard.on_outcomes(at(8), requests, failures);
            assert_eq!(guard.poll(&config, at(8), &mut rng), want, "{failures} of {requests}");
            assert_eq!(guard.is_general(), want);
        }
    }

    #[test]
    fn a_percentage_of_0_is_off() {
        let config = OutlierConfig::builder().general_failure_percentage(0).build().unwrap();
        assert_eq!(holds(&config, &[1, 2, 3]), [None, None, None]);
    }
}
