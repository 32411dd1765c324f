//! One request at a time, for a backend that has to show that it works again.

use crate::primitive::{AtomicU32, Ordering};

/// Lets one request through to a backend on trial, until one has come to an outcome.
///
/// It knows whether the request that it let through is still there. So one of an earlier trial that
/// has not ended is waited for: there is never a second one beside it, and its outcome is not taken
/// for that of the next.
#[derive(Debug)]
pub(crate) struct Gate(AtomicU32);

/// What the gate is for.
const PHASE: u32 = 0b111;
/// Everybody may pass: no trial.
const OPEN: u32 = 0;
/// One may pass.
const ARMED: u32 = 1;
/// One may pass when the one of an earlier trial has ended.
const WAITING: u32 = 2;
/// Nobody may pass: the trial is over, or there is none.
const FAILED: u32 = 3;
/// The same, and it went well.
const PASSED: u32 = 4;
/// Nobody may pass, and nobody has.
const SHUT: u32 = 5;
/// The request that was let through has not ended.
const TAKEN: u32 = 0b1000;

/// How a request passed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Pass {
    /// As all do.
    Free,
    /// It is the trial.
    Trial,
}

impl Gate {
    pub(crate) fn new() -> Self {
        Self(AtomicU32::new(OPEN))
    }

    /// Passes, if that is allowed.
    pub(crate) fn enter(&self) -> Option<Pass> {
        // Acquire and release in all of these: what the trial's request wrote before it ended is
        // seen by who learns of its end.
        let taken = self.change(|state| (state == ARMED).then_some(ARMED | TAKEN));
        match taken {
            Ok(_) => Some(Pass::Trial),
            Err(state) if state & PHASE == OPEN => Some(Pass::Free),
            Err(_) => None,
        }
    }

    /// The trial's request came to an outcome. Says whether that decides the trial.
    pub(crate) fn decide(&self, passed: bool) -> bool {
        let verdict = if passed { PASSED } else { FAILED };
        self.change(|state| (state == ARMED | TAKEN).then_some(verdict | TAKEN)).is_ok()
    }

    /// The trial's request has ended. Without an outcome, another may try.
    pub(crate) fn leave(&self) {
        let _ = self.change(|state| {
            let phase = state & PHASE;
            (state & TAKEN != 0).then_some(if phase == WAITING { ARMED } else { phase })
        });
    }

    /// How the trial went, if it is decided.
    pub(crate) fn verdict(&self) -> Option<bool> {
        match self.0.load(Ordering::Acquire) & PHASE {
            PASSED => Some(true),
            FAILED => Some(false),
            _ => None,
        }
    }

    /// Begins a trial.
    pub(crate) fn arm(&self) {
        let _ = self.change(|state| Some(if state & TAKEN == 0 { ARMED } else { WAITING | TAKEN }));
    }

    /// Lets everybody pass.
    pub(crate) fn open(&self) {
        let _ = self.change(|state| Some(OPEN | state & TAKEN));
    }

    /// Lets nobody pass.
    pub(crate) fn shut(&self) {
        let _ = self.change(|state| Some(SHUT | state & TAKEN));
    }

    fn change(&self, change: impl Fn(u32) -> Option<u32>) -> Result<u32, u32> {
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, change)
    }
}

#[cfg(all(test, not(equipoise_loom)))]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_until_one_has_an_outcome() {
        let gate = Gate::new();
        assert_eq!(gate.enter(), Some(Pass::Free));
        gate.arm();
        assert_eq!(gate.enter(), Some(Pass::Trial));
        assert_eq!(gate.enter(), None);
        // It was given up: the next one may try.
        gate.leave();
        assert_eq!(gate.enter(), Some(Pass::Trial));
        assert!(gate.decide(true));
        assert!(!gate.decide(false), "the first outcome counts");
        assert_eq!((gate.enter(), gate.verdict()), (None, Some(true)));
        gate.leave();
        assert_eq!((gate.enter(), gate.verdict()), (None, Some(true)));
        gate.open();
        assert_eq!((gate.enter(), gate.verdict()), (Some(Pass::Free), None));
    }

    #[test]
    fn one_of_an_earlier_trial_is_waited_for_and_decides_nothing() {
        let gate = Gate::new();
        gate.arm();
        assert_eq!(gate.enter(), Some(Pass::Trial));
        // An active check lets the backend in, it is ejected again, and the request is still there.
        gate.open();
        gate.shut();
        assert_eq!(gate.enter(), None);
        gate.arm();
        assert_eq!(gate.enter(), None);
        assert!(!gate.decide(true));
        assert_eq!(gate.verdict(), None);
        gate.leave();
        assert_eq!(gate.enter(), Some(Pass::Trial));
    }
}
