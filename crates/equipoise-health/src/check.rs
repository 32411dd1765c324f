//! The active check of one backend: does its application answer as it should?

mod config;
mod error;
mod report;

use core::time::Duration;

use equipoise_core::{Health, Instant, Rng};

use self::config::nanos;
pub use self::config::{CheckConfig, CheckConfigBuilder, InitialHealth};
pub use self::error::CheckConfigError;
pub use self::report::{Late, Poll, Progress, Standing, Token, Transition, Verdict};

/// The first check of a pending backend comes within this time: nothing goes there before, so it
/// should be soon, but a start with 10,000 backends should not begin with 10,000 connections.
const FIRST: Duration = Duration::from_millis(200);

/// The check of one backend: when to probe it, and what its answers make of it.
///
/// It sends nothing and has no clock. A driver calls [`poll`](Self::poll) at the
/// [`deadline`](Self::deadline), sends the probe that this may ask for, and reports its verdict by
/// [`on_result`](Self::on_result). Calls that are not needed do nothing, and an answer that comes too
/// late is refused: so a driver may be as simple as it likes.
///
/// ```text
///             first pass    ┌──────────┐ ── fail ───► ┌─────────┐ ─┐ fail, fewer than
///         ┌───────────────► │    up    │              │ falling │  │ `fall` in a row
///         │                 └──────────┘ ◄─── pass ── └─────────┘ ◄┘
///    ┌─────────┐                 ▲                         │
///    │ pending │       `rise`    │                         │ `fall` failures
///    └─────────┘ passes in a row │                         ▼ in a row
///         │                 ┌──────────┐ ── fail ───► ┌─────────┐
///         │              ┌─ │  rising  │              │  down   │
///         │         pass └► └──────────┘ ◄─── pass ── └─────────┘
///         │                                                ▲
///         └────────────────────────────────────────────────┘
///                all of the first checks failed
/// ```
///
/// [docs/health-states.md] has the whole table of states and inputs; a test holds this code to it. A
/// `rise` or `fall` of 1 skips the state between. Both count answers in a row, as HAProxy's do: one
/// answer of the other kind starts the count anew.
///
/// While a backend is up and not in use, [`no_traffic`](CheckConfigBuilder::no_traffic) may be its
/// interval. Unlike Envoy's setting of that name this goes by backend and not by cluster, and ends
/// with the first request rather than with the next check (envoy#16724).
///
/// A verdict of [`Drain`](Verdict::Drain) is HAProxy's `disable-on-404`, with one difference: there a
/// server that is down stays down as long as it drains; here it comes up, for its established
/// sessions.
///
/// # Complexity
/// Every call: O(1). Memory: 32 bytes a backend.
///
/// ```
/// use equipoise_core::{Health, Instant, Rng};
/// use equipoise_health::{Check, CheckConfig, Poll, Verdict};
///
/// let config = CheckConfig::default();
/// let mut rng = Rng::seeded(1);
/// let mut check = Check::new(&config, Instant::ZERO, &mut rng);
/// assert_eq!(check.health(), Health::Pending);
///
/// let now = check.deadline();
/// let Poll::Probe { token, timeout } = check.poll(&config, now, false, &mut rng) else { panic!() };
/// assert_eq!(timeout, config.timeout());
/// // ... ask the backend, and then:
/// let change = check.on_result(&config, token, Verdict::Pass, &mut rng)?;
/// assert_eq!(change.unwrap().to.health, Health::Up);
/// // A second answer to the same question is refused.
/// assert!(check.on_result(&config, token, Verdict::Fail, &mut rng).is_err());
/// # Ok::<(), equipoise_health::Late>(())
/// ```
///
/// [docs/health-states.md]: https://github.com/equipoise-rs/equipoise/blob/main/docs/health-states.md
#[derive(Clone, Debug)]
pub struct Check {
    /// When the last probe started; before the first one, when the check was made.
    began: Instant,
    /// When the next probe starts, or the one in flight times out.
    due: Instant,
    /// Counts probes. It wraps around, and no probe is 4 billion probes late.
    generation: u32,
    /// Answers in a row that speak for a change: failures unless the backend is down, then passes.
    run: u16,
    health: Health,
    drain: bool,
    probing: bool,
    /// The next probe does not wait for traffic.
    asked: bool,
}

impl Check {
    /// The check of a backend that has never been checked.
    pub fn new(config: &CheckConfig, now: Instant, rng: &mut Rng) -> Self {
        let (health, first) = match config.initial() {
            InitialHealth::Up => (Health::Up, config.up()),
            InitialHealth::Down => (Health::Down, config.down()),
            InitialHealth::FirstCheck | InitialHealth::FirstN(_) => {
                (Health::Pending, config.going_down().min(FIRST))
            }
        };
        let wait = if config.spread() { up_to(first, rng) } else { Duration::ZERO };
        Self {
            began: now,
            due: now + wait,
            // Another one each time: a backend that left and came back is not answered for by a probe
            // from before.
            generation: rng.next_u64() as u32,
            run: 0,
            health,
            drain: false,
            probing: false,
            // The first check is for all, in use or not.
            asked: true,
        }
    }

    /// Does what is due: starts a probe, or ends one that took too long. Before the deadline, nothing.
    ///
    /// `had_traffic` says whether a request went to the backend since the last call, or since its last
    /// probe started. It counts only with a [`no_traffic`](CheckConfig::no_traffic) interval.
    ///
    /// Call it until it returns [`Poll::Idle`].
    pub fn poll(
        &mut self,
        config: &CheckConfig,
        now: Instant,
        had_traffic: bool,
        rng: &mut Rng,
    ) -> Poll {
        if now < self.due {
            return Poll::Idle;
        }
        if self.probing {
            let token = Token(self.generation);
            return Poll::TimedOut { token, transition: self.end(config, Verdict::Fail, rng) };
        }
        if !had_traffic && self.may_wait(config, now, rng) {
            return Poll::Idle;
        }
        self.generation = self.generation.wrapping_add(1);
        self.probing = true;
        self.asked = false;
        self.began = now;
        self.due = now + config.timeout();
        Poll::Probe { token: Token(self.generation), timeout: config.timeout() }
    }

    /// Puts off a probe that is due but that nobody needs: the backend is not in use. It looks again
    /// after each interval of `up`, so that traffic ends the wait.
    fn may_wait(&mut self, config: &CheckConfig, now: Instant, rng: &mut Rng) -> bool {
        let Some(longest) = config.no_traffic() else { return false };
        if self.asked || self.health != Health::Up || self.run > 0 {
            return false;
        }
        if now >= self.began + longest.saturating_sub(config.deviation(longest)) {
            return false;
        }
        let last = self.began + jittered(config, longest, rng);
        self.due = last.min(now + jittered(config, config.up(), rng));
        true
    }

    /// A probe has a verdict. Says what changed; nothing, mostly.
    ///
    /// # Errors
    /// The probe had ended before, by its time-out or by another verdict. Nothing changed.
    pub fn on_result(
        &mut self,
        config: &CheckConfig,
        token: Token,
        verdict: Verdict,
        rng: &mut Rng,
    ) -> Result<Option<Transition>, Late> {
        if !self.probing || token.0 != self.generation {
            return Err(Late);
        }
        Ok(self.end(config, verdict, rng))
    }

    /// The probe could not be sent, for a reason that is not the backend's: the prober has no file
    /// descriptor left, say. It ends without a verdict, and the next one comes as if it had had one.
    ///
    /// # Errors
    /// As for [`on_result`](Self::on_result).
    pub fn abandon(
        &mut self,
        config: &CheckConfig,
        token: Token,
        rng: &mut Rng,
    ) -> Result<(), Late> {
        if !self.probing || token.0 != self.generation {
            return Err(Late);
        }
        self.probing = false;
        self.due = self.began + jittered(config, self.interval(config), rng);
        Ok(())
    }

    fn end(&mut self, config: &CheckConfig, verdict: Verdict, rng: &mut Rng) -> Option<Transition> {
        let from = self.standing();
        self.probing = false;
        match verdict {
            Verdict::Pass => self.drain = false,
            Verdict::Drain => self.drain = true,
            Verdict::Fail => {}
        }
        self.count(config, verdict != Verdict::Fail);
        // From start to start, so that slow answers don't make checks rarer. It may be past already.
        self.due = self.began + jittered(config, self.interval(config), rng);
        let to = self.standing();
        (from != to).then_some(Transition { from, to })
    }

    fn count(&mut self, config: &CheckConfig, pass: bool) {
        let (change, needed) = match (self.health, pass) {
            // They say what is known.
            (Health::Up, true) | (Health::Down, false) => {
                self.run = 0;
                return;
            }
            (Health::Up, false) => (Health::Down, config.fall()),
            (Health::Down, true) => (Health::Up, config.rise()),
            (Health::Pending, true) => (Health::Up, 1),
            (Health::Pending, false) => (Health::Down, config.initial().tries()),
        };
        self.run = self.run.saturating_add(1);
        if self.run >= needed {
            self.health = change;
            self.run = 0;
        }
    }

    const fn interval(&self, config: &CheckConfig) -> Duration {
        match self.health {
            Health::Up if self.run == 0 => config.up(),
            Health::Down if self.run == 0 => config.down(),
            Health::Up | Health::Down | Health::Pending => config.going_down(),
        }
    }

    /// Brings the next probe forward to `now`: its requests fail, it was announced anew, an operator
    /// asks. Does nothing while a probe is in flight, or if the next one is due sooner; and it comes no
    /// sooner after the last one than checks do that are fast, however often it is called.
    pub fn check_now(&mut self, config: &CheckConfig, now: Instant) {
        if !self.probing {
            self.asked = true;
            self.due = self.due.min((self.began + config.going_down()).max(now));
        }
    }

    /// The settings changed. What is known of the backend stays; its next probe comes within the
    /// interval that applies now, at a random time, or the probe in flight ends by the new time-out.
    ///
    /// Without this call the settings hold from the next verdict on.
    pub fn on_config(&mut self, config: &CheckConfig, now: Instant, rng: &mut Rng) {
        let latest = if self.probing {
            (self.began + config.timeout()).max(now)
        } else {
            now + up_to(self.interval(config), rng)
        };
        self.due = self.due.min(latest);
    }

    /// When there is something to do for [`poll`](Self::poll). It may be past.
    pub const fn deadline(&self) -> Instant {
        self.due
    }

    /// Whether the backend's application answers.
    pub const fn health(&self) -> Health {
        self.health
    }

    /// Whether the backend asks for no new sessions. A pass that does not say so ends it; a failure
    /// leaves it as it is.
    pub const fn drain(&self) -> bool {
        self.drain
    }

    /// Both of these.
    pub const fn standing(&self) -> Standing {
        Standing { health: self.health, drain: self.drain }
    }

    /// Whether it is up, and its last probe passed.
    pub(crate) const fn is_steady_up(&self) -> bool {
        matches!(self.health, Health::Up) && self.run == 0
    }

    /// Whether a probe is in flight.
    pub const fn is_probing(&self) -> bool {
        self.probing
    }

    /// How far the backend is from its next change.
    pub fn progress(&self, config: &CheckConfig) -> Progress {
        let run = self.run;
        // Fewer may be needed than there were, if the settings changed.
        let needed = |of: u16| of.saturating_sub(run).max(1);
        match self.health {
            Health::Up => Progress::Up { failures: run, needed: needed(config.fall()) },
            Health::Down => Progress::Down { passes: run, needed: needed(config.rise()) },
            Health::Pending => {
                Progress::Pending { failures: run, needed: needed(config.initial().tries()) }
            }
        }
    }
}

/// A random time from nothing to `longest`.
fn up_to(longest: Duration, rng: &mut Rng) -> Duration {
    let choices = u128::from(nanos(longest)) + 1;
    Duration::from_nanos(((u128::from(rng.next_u64()) * choices) >> 64) as u64)
}

/// The interval, by up to the configured fraction longer or shorter.
fn jittered(config: &CheckConfig, interval: Duration, rng: &mut Rng) -> Duration {
    let deviation = config.deviation(interval);
    interval.saturating_sub(deviation).saturating_add(up_to(deviation.saturating_mul(2), rng))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_is_small() {
        assert!(size_of::<Check>() <= 32, "{}", size_of::<Check>());
    }
}
