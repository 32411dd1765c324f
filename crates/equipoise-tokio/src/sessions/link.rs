//! Whether the store is asked.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use equipoise_core::{Failure, Instant, Outcome, Rng};
use equipoise_health::breaker::{BreakerState, Permit, Refused};
use equipoise_health::{BreakerConfig, CircuitBreaker};
use parking_lot::Mutex;

/// The way to a store: up, or down since some time. Requests go only while it is up, and the trials
/// of a store that is down are left to the task, so that no request pays for them.
pub(super) struct Link {
    config: BreakerConfig,
    is_up: AtomicBool,
    state: Mutex<State>,
}

struct State {
    breaker: CircuitBreaker,
    rng: Rng,
    /// Since when it is down.
    since: Instant,
    /// Whether this spell was told of.
    is_told: bool,
}

/// What an ended request changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Change {
    Down,
    /// It is up again, after so long.
    Up(Duration),
}

impl Link {
    /// One that nobody has tried yet: it is down, and may be tried at once.
    pub(super) fn new(config: BreakerConfig, seed: u64, now: Instant) -> Self {
        let breaker = CircuitBreaker::new();
        let state = State { breaker, rng: Rng::seeded(seed), since: now, is_told: false };
        Self { config, is_up: AtomicBool::new(false), state: Mutex::new(state) }
    }

    pub(super) fn is_up(&self) -> bool {
        self.is_up.load(Ordering::Acquire)
    }

    /// Since when it is down, if it is.
    pub(super) fn down_since(&self) -> Option<Instant> {
        let state = self.state.lock();
        (!self.is_up()).then_some(state.since)
    }

    /// A place for a request; `Err` while it is down, or if too many wait already.
    pub(super) fn enter(&self, now: Instant) -> Result<Ticket<'_>, NoPlace> {
        if !self.is_up() {
            return Err(NoPlace::Down);
        }
        let mut state = self.state.lock();
        // It may have gone down meanwhile, and then this would be its trial.
        if state.breaker.state() != BreakerState::Closed {
            return Err(NoPlace::Down);
        }
        let permit = state.breaker.try_acquire(&self.config, now).map_err(|_| NoPlace::Full)?;
        Ok(Ticket { link: self, permit: Some(permit) })
    }

    /// A place for the trial of a store that is down, or when to ask for one again.
    pub(super) fn try_again(&self, now: Instant) -> Result<Ticket<'_>, Instant> {
        let permit = self.state.lock().breaker.try_acquire(&self.config, now);
        match permit {
            Ok(permit) => Ok(Ticket { link: self, permit: Some(permit) }),
            Err(Refused::Open { until }) => Err(until),
            // Requests from before it went down are still on their way.
            Err(_) => Err(now + Duration::from_millis(10)),
        }
    }
}

/// Why there is no place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum NoPlace {
    /// The store is down.
    Down,
    /// Too many wait for it.
    Full,
}

/// A place at the store, given back when it is dropped.
pub(super) struct Ticket<'a> {
    link: &'a Link,
    permit: Option<Permit>,
}

impl Ticket<'_> {
    /// The store did as it was asked, or it failed. What that changes.
    pub(super) fn end(mut self, now: Instant, has_answered: bool) -> Option<Change> {
        let outcome =
            if has_answered { Outcome::Success } else { Outcome::Failure(Failure::Timeout) };
        let permit = self.permit.take()?;
        let Link { config, is_up, state } = self.link;
        let mut state = state.lock();
        let State { breaker, rng, .. } = &mut *state;
        let _ = breaker.release(config, now, permit, Some(outcome), rng);
        let should_be_up = match breaker.state() {
            // One that was never up is up when it has answered.
            BreakerState::Closed => has_answered || self.link.is_up(),
            BreakerState::Open { .. } | BreakerState::HalfOpen => false,
        };
        let was_up = is_up.swap(should_be_up, Ordering::AcqRel);
        if was_up && !should_be_up {
            state.since = now;
            state.is_told = true;
            return Some(Change::Down);
        }
        if should_be_up && !was_up {
            state.is_told = false;
            return Some(Change::Up(now.since(state.since)));
        }
        let is_news = !should_be_up && !std::mem::replace(&mut state.is_told, true);
        is_news.then_some(Change::Down)
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            let mut state = self.link.state.lock();
            let State { breaker, rng, .. } = &mut *state;
            let _ = breaker.release(&self.link.config, Instant::ZERO, permit, None, rng);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn link() -> Link {
        let config = BreakerConfig::builder().consecutive(2).open_time(100 * MS).max_in_flight(2);
        Link::new(config.open_time_jitter(0.0).build().unwrap(), 1, Instant::ZERO)
    }

    fn at(ms: u32) -> Instant {
        Instant::ZERO + ms * MS
    }

    #[test]
    fn only_a_trial_brings_it_up_and_each_spell_is_told_once() {
        let link = link();
        assert_eq!(link.enter(at(0)).err(), Some(NoPlace::Down), "nobody has tried it");
        assert_eq!(link.try_again(at(1)).ok().unwrap().end(at(5), false), Some(Change::Down));
        assert_eq!(link.try_again(at(6)).ok().unwrap().end(at(7), false), None, "told already");
        assert_eq!(link.try_again(at(8)).err(), Some(at(107)));
        assert_eq!(link.down_since(), Some(at(0)));
        let up = link.try_again(at(107)).ok().unwrap().end(at(110), true);
        assert_eq!((up, link.down_since()), (Some(Change::Up(110 * MS)), None));

        assert_eq!(link.enter(at(120)).ok().unwrap().end(at(121), false), None);
        let late = link.enter(at(122)).ok().unwrap();
        assert_eq!(link.enter(at(122)).ok().unwrap().end(at(123), false), Some(Change::Down));
        assert_eq!(late.end(at(130), true), None, "it was sent before");
        assert!(!link.is_up() && link.down_since() == Some(at(123)));
        assert_eq!(link.enter(at(9_000)).err(), Some(NoPlace::Down), "requests are no trials");
        let up = link.try_again(at(9_000)).ok().unwrap().end(at(9_001), true);
        assert_eq!(up, Some(Change::Up(8_878 * MS)));
    }

    #[test]
    fn a_place_is_given_back_by_whoever_gives_up() {
        let link = link();
        assert!(link.try_again(at(0)).ok().unwrap().end(at(0), true).is_some());
        let places = [link.enter(at(1)), link.enter(at(1))];
        assert!(places.iter().all(Result::is_ok));
        assert_eq!(link.enter(at(1)).err(), Some(NoPlace::Full));
        drop(places);
        assert!(link.enter(at(1)).is_ok());
    }
}
