//! One backend's way out and back.

use equipoise_core::{Instant, Passive, Rng};

use super::{EjectionCause, OutlierConfig, Recovery};

/// A change of an [`Ejection`]: what a host publishes and reports.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EjectionChange {
    /// It is out, from now on.
    Ejected {
        /// Until when.
        until: Instant,
    },
    /// It is on trial: it may have one request at a time.
    Trial,
    /// Nothing is held against it any more. Whoever counts its failures starts anew (Envoy #40697).
    Cleared,
}

/// Whether one backend is ejected, for how long, and how it comes back.
///
/// ```text
///          eject                 time is up, half-open
///  Clear ─────────► Ejected ───────────────────────────► Trial
///    ▲                 │ ▲                               │   │
///    │                 │ └───────── it fails ────────────┘   │
///    ├─────────────────┘  time is up, full                   │
///    └───────────────────────────────────────────────────────┘ it passes
///  and from everywhere: an active check passes, or `clear`
/// ```
///
/// The whole table is in `docs/ejection-states.md`. A verb that does not fit the state does nothing
/// and returns `None`. None looks at the limit: ask [`may_eject`](super::may_eject) before
/// [`eject`](Self::eject).
///
/// The n-th ejection lasts n times the base time, up to the maximum, plus jitter. Each sweep that
/// finds the backend clear takes one off n, but for the first after its return: it must have been
/// clear for a whole interval (A50 un-ejects in sweeps, so there it always has been; Envoy #21142,
/// #26758 show what happens otherwise).
///
/// Every verb is O(1) and allocates nothing. The settings come with each call, so that 10,000
/// backends share them.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub struct Ejection {
    /// When the ejection ends; without meaning in the other states.
    until: Instant,
    cause: Option<EjectionCause>,
    multiplier: u32,
    state: Passive,
    /// Whether no sweep has been since it was un-ejected.
    is_fresh: bool,
}

impl Ejection {
    /// Of a backend that was never ejected.
    pub const fn new() -> Self {
        Self {
            until: Instant::ZERO,
            cause: None,
            multiplier: 0,
            state: Passive::Clear,
            is_fresh: false,
        }
    }

    /// Ejects a backend that is clear. One that is ejected stays as it is; for one on trial,
    /// only the trial decides.
    pub fn eject(
        &mut self,
        config: &OutlierConfig,
        now: Instant,
        cause: EjectionCause,
        rng: &mut Rng,
    ) -> Option<EjectionChange> {
        if self.state != Passive::Clear {
            return None;
        }
        self.cause = Some(cause);
        Some(self.take_out(config, now, rng))
    }

    /// Ends an ejection whose time is up.
    pub fn poll(&mut self, config: &OutlierConfig, now: Instant) -> Option<EjectionChange> {
        if self.state != Passive::Ejected || now < self.until {
            return None;
        }
        Some(match config.recovery() {
            Recovery::Full => self.let_in(),
            Recovery::HalfOpen => {
                self.state = Passive::Trial;
                EjectionChange::Trial
            }
        })
    }

    /// A request of a backend on trial has its outcome. One that was given up has none: the next
    /// one decides. Only a request that began in the trial may speak; one from before that ends
    /// late says nothing of the backend as it is now.
    pub fn on_trial(
        &mut self,
        config: &OutlierConfig,
        now: Instant,
        passed: bool,
        rng: &mut Rng,
    ) -> Option<EjectionChange> {
        if self.state != Passive::Trial {
            return None;
        }
        Some(if passed { self.let_in() } else { self.take_out(config, now, rng) })
    }

    /// An active check passed: un-ejects, where the settings have it so (Envoy #24217). To be
    /// called for a check that passed, not for one that left the backend up (Envoy #32442).
    pub fn on_active_pass(&mut self, config: &OutlierConfig) -> Option<EjectionChange> {
        if config.settings().active_pass_unejects { self.clear() } else { None }
    }

    /// A sweep has been: to be called for every backend after the sweep's ejections. The next
    /// ejection is shorter, if the backend was clear since the sweep before.
    pub const fn on_sweep(&mut self) {
        if !matches!(self.state, Passive::Clear) {
            return;
        }
        if self.is_fresh {
            self.is_fresh = false;
        } else {
            self.multiplier = self.multiplier.saturating_sub(1);
        }
    }

    /// Un-ejects at once: an operator asks for it, or the pool has shrunk below its limit.
    pub fn clear(&mut self) -> Option<EjectionChange> {
        if self.state == Passive::Clear { None } else { Some(self.let_in()) }
    }

    /// When to [`poll`](Self::poll) next: the end of the ejection. `None` if only an outcome can
    /// change anything.
    pub const fn deadline(&self) -> Option<Instant> {
        match self.state {
            Passive::Ejected => Some(self.until),
            Passive::Clear | Passive::Trial => None,
        }
    }

    /// What it means for the backend's admission.
    pub const fn passive(&self) -> Passive {
        self.state
    }

    /// Why the backend is out or on trial. A trial that failed keeps the cause.
    pub const fn cause(&self) -> Option<EjectionCause> {
        self.cause
    }

    /// How many base times the last ejection lasts, without jitter and before the cap; it falls by
    /// one with each sweep that finds the backend clear.
    pub const fn multiplier(&self) -> u32 {
        self.multiplier
    }

    fn take_out(&mut self, config: &OutlierConfig, now: Instant, rng: &mut Rng) -> EjectionChange {
        let backoff = config.backoff();
        self.multiplier = backoff.next(self.multiplier);
        self.until = now + backoff.time(self.multiplier, rng);
        self.state = Passive::Ejected;
        EjectionChange::Ejected { until: self.until }
    }

    fn let_in(&mut self) -> EjectionChange {
        self.state = Passive::Clear;
        self.cause = None;
        self.is_fresh = true;
        EjectionChange::Cleared
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_thousand_fit_into_half_a_megabyte() {
        assert!(size_of::<Ejection>() <= 48, "{}", size_of::<Ejection>());
    }
}
