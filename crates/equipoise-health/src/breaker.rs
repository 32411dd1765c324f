//! A circuit breaker: stops asking what keeps failing, and tries again with one request at a time.

mod config;

use core::fmt;

use equipoise_core::{Instant, Outcome, Rng};

use crate::rolling::Rolling;

pub use config::{BreakerBuilder, BreakerConfig};

/// What a circuit breaker does with requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BreakerState {
    /// Admits them, up to the cap.
    Closed,
    /// Refuses them.
    Open {
        /// Until when, at least: the first that asks later is a trial.
        until: Instant,
    },
    /// Admits one at a time, until enough of them went well.
    HalfOpen,
}

/// Why a request was not admitted. Nothing changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Refused {
    /// As many as are allowed are in flight.
    Full,
    /// The circuit is open.
    Open {
        /// Until when.
        until: Instant,
    },
    /// The circuit is half-open, and its one trial is in flight.
    Trial,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "too many requests in flight",
            Self::Open { .. } => "the circuit is open",
            Self::Trial => "the circuit is half-open, and its trial is in flight",
        })
    }
}

impl core::error::Error for Refused {}

/// A place of one request. It has to be given back by [`CircuitBreaker::release`], to the breaker
/// that gave it, however the request ends; a place that is not given back stays taken.
#[derive(PartialEq, Eq, Debug)]
#[must_use = "a place that is not given back stays taken"]
pub struct Permit {
    /// In which period of the breaker it was given.
    period: u64,
    is_trial: bool,
    /// Whether it is known how the request went.
    has_said: bool,
}

impl Permit {
    /// Whether the request is the one trial of a half-open circuit.
    pub const fn is_trial(&self) -> bool {
        self.is_trial
    }
}

/// A circuit breaker for one backend or for a whole pool (Nygard, "Release It!", 2007), with a cap
/// on requests in flight (Envoy's `max_requests`, but exact: Envoy #2927).
///
/// ```text
///          enough failures            time is up, a request asks
///  Closed ────────────────► Open ──────────────────────────────► HalfOpen
///    ▲                        ▲                                   │    │
///    │                        └───────────── it fails ────────────┘    │
///    └─────────────────────────────────────────────────────────────────┘
///                                              enough successes, one by one
/// ```
///
/// The whole table is in `docs/ejection-states.md`. Each change of state begins a new period. The
/// outcome of a request from an earlier period is no sample of this one; its place is given back
/// all the same. A request that is given up is no sample either, and if it was the trial, the next
/// request is one.
///
/// Every verb is O(1) and allocates nothing. About 150 bytes.
///
/// ```
/// use equipoise_core::{Failure, Instant, Outcome, Rng};
/// use equipoise_health::{BreakerConfig, CircuitBreaker};
/// use equipoise_health::breaker::{BreakerState, Refused};
///
/// let config = BreakerConfig::builder().consecutive(1).build()?;
/// let (mut rng, mut breaker) = (Rng::seeded(1), CircuitBreaker::new());
///
/// let permit = breaker.try_acquire(&config, Instant::ZERO)?;
/// let failed = Outcome::Failure(Failure::Connect);
/// breaker.release(&config, Instant::ZERO, permit, Some(failed), &mut rng);
/// assert!(matches!(breaker.try_acquire(&config, Instant::ZERO), Err(Refused::Open { .. })));
///
/// let later = breaker.deadline().ok_or("an open circuit has a deadline")?;
/// let trial = breaker.try_acquire(&config, later)?;
/// assert_eq!(breaker.try_acquire(&config, later), Err(Refused::Trial));
/// breaker.release(&config, later, trial, Some(Outcome::Success), &mut rng);
/// assert_eq!(breaker.state(), BreakerState::Closed);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct CircuitBreaker {
    state: BreakerState,
    period: u64,
    in_flight: u32,
    /// Whether the trial of this period is in flight.
    is_trying: bool,
    /// Failures in a row while closed, successes in a row while half-open.
    run: u32,
    multiplier: u32,
    /// When it closed last.
    closed: Instant,
    /// All requests and those that failed, while closed.
    recent: Rolling,
}

impl CircuitBreaker {
    /// A closed one.
    pub const fn new() -> Self {
        Self {
            state: BreakerState::Closed,
            period: 0,
            in_flight: 0,
            is_trying: false,
            run: 0,
            multiplier: 0,
            closed: Instant::ZERO,
            recent: Rolling::new(),
        }
    }

    /// Takes a place for a request. The first one after an open circuit's time is its trial.
    ///
    /// # Errors
    /// Why there is none.
    pub fn try_acquire(&mut self, config: &BreakerConfig, now: Instant) -> Result<Permit, Refused> {
        if self.in_flight >= config.settings().max_in_flight {
            return Err(Refused::Full);
        }
        let is_trial = match self.state {
            BreakerState::Closed => false,
            BreakerState::Open { until } if now < until => return Err(Refused::Open { until }),
            BreakerState::HalfOpen if self.is_trying => return Err(Refused::Trial),
            BreakerState::HalfOpen => true,
            BreakerState::Open { .. } => {
                self.enter(BreakerState::HalfOpen);
                true
            }
        };
        self.is_trying |= is_trial;
        self.in_flight = self.in_flight.saturating_add(1);
        Ok(Permit { period: self.period, is_trial, has_said: false })
    }

    /// Gives a place back and hears how the request ended; `None` if it was given up. Returns the
    /// new state, if this changed it. `rng` is for the jitter of the open time.
    #[allow(clippy::needless_pass_by_value, reason = "a place is given back once")]
    pub fn release(
        &mut self,
        config: &BreakerConfig,
        now: Instant,
        permit: Permit,
        outcome: Option<Outcome>,
        rng: &mut Rng,
    ) -> Option<BreakerState> {
        self.in_flight = self.in_flight.saturating_sub(1);
        if permit.has_said {
            return None;
        }
        self.hear(config, now, &permit, outcome, rng)
    }

    /// Hears how a request goes that keeps its place: a connection that has been made may last for days,
    /// and a trial should not. What is said of it later, or again, does not count.
    pub fn sample(
        &mut self,
        config: &BreakerConfig,
        now: Instant,
        permit: &mut Permit,
        outcome: Outcome,
        rng: &mut Rng,
    ) -> Option<BreakerState> {
        if core::mem::replace(&mut permit.has_said, true) {
            return None;
        }
        self.hear(config, now, permit, Some(outcome), rng)
    }

    fn hear(
        &mut self,
        config: &BreakerConfig,
        now: Instant,
        permit: &Permit,
        outcome: Option<Outcome>,
        rng: &mut Rng,
    ) -> Option<BreakerState> {
        if permit.period != self.period {
            return None;
        }
        if permit.is_trial {
            self.is_trying = false;
        }
        let failed = outcome? != Outcome::Success;
        match self.state {
            BreakerState::Closed => {
                self.run = if failed { self.run.saturating_add(1) } else { 0 };
                self.recent.roll(now, config.settings().window);
                self.recent.add([1, failed.into()]);
                if failed && self.has_had_enough(config) {
                    return Some(self.open(config, now, rng));
                }
            }
            BreakerState::HalfOpen if failed => return Some(self.open(config, now, rng)),
            BreakerState::HalfOpen => {
                self.run = self.run.saturating_add(1);
                if self.run >= config.settings().successes_to_close {
                    self.closed = now;
                    return Some(self.enter(BreakerState::Closed));
                }
            }
            // Nothing of this period is in flight.
            BreakerState::Open { .. } => {}
        }
        None
    }

    /// What it does with requests. An open circuit stays open until a request asks after its time.
    pub const fn state(&self) -> BreakerState {
        self.state
    }

    /// From when on an open circuit admits a trial; `None` if it is not open.
    pub const fn deadline(&self) -> Option<Instant> {
        match self.state {
            BreakerState::Open { until } => Some(until),
            BreakerState::Closed | BreakerState::HalfOpen => None,
        }
    }

    /// How many places are taken, in whatever period.
    pub const fn in_flight(&self) -> u32 {
        self.in_flight
    }

    fn has_had_enough(&self, config: &BreakerConfig) -> bool {
        let settings = config.settings();
        let [requests, failures] = self.recent.sums();
        let is_failing = settings.failure_percentage > 0
            && requests >= u64::from(settings.min_volume)
            && failures.saturating_mul(100)
                >= requests.saturating_mul(settings.failure_percentage.into());
        is_failing || (settings.consecutive > 0 && self.run >= settings.consecutive)
    }

    fn open(&mut self, config: &BreakerConfig, now: Instant, rng: &mut Rng) -> BreakerState {
        let backoff = config.backoff();
        // One that flaps, closing and opening again, waits longer each time.
        let was_well = self.state == BreakerState::Closed
            && now.since(self.closed) >= config.settings().window;
        self.multiplier = backoff.next(if was_well { 0 } else { self.multiplier });
        let until = now + backoff.time(self.multiplier, rng);
        self.enter(BreakerState::Open { until })
    }

    fn enter(&mut self, state: BreakerState) -> BreakerState {
        self.state = state;
        self.period = self.period.wrapping_add(1);
        self.is_trying = false;
        self.run = 0;
        self.recent.clear();
        state
    }
}

impl Default for CircuitBreaker {
    fn default() -> Self {
        Self::new()
    }
}
