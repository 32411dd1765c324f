//! A pool in a few lines: counts outcomes, asks the machines and does what they say, as a monitor
//! has to.
#![allow(dead_code, reason = "each test uses its part")]

use core::time::Duration;

use equipoise_core::{Instant, Passive, Rng, Runs, Tally};
use equipoise_health::outlier::{EjectionChange, Host, may_eject, on_runs};
use equipoise_health::{Ejection, EjectionCause, OutlierConfig, Sweeper};

/// How a request ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    Good { latency: Duration },
    Answered(u16),
    Local,
}

#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Backend {
    pub(crate) tally: Tally,
    pub(crate) runs: Runs,
    pub(crate) ejection: Ejection,
    pub(crate) changes: u32,
    pub(crate) trial_verdicts: u32,
}

#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) config: OutlierConfig,
    pub(crate) now: Instant,
    pub(crate) backends: Vec<Backend>,
    pub(crate) rng: Rng,
    /// Whether anybody may be ejected at all.
    pub(crate) may_eject: bool,
    sweeper: Sweeper,
    found: Vec<(usize, EjectionCause)>,
}

impl Pool {
    pub(crate) fn new(config: OutlierConfig, backends: usize) -> Self {
        Self {
            config,
            now: Instant::ZERO,
            backends: vec![Backend::default(); backends],
            rng: Rng::seeded(7),
            may_eject: true,
            sweeper: Sweeper::new(),
            found: Vec::new(),
        }
    }

    pub(crate) fn out(&self) -> usize {
        self.backends.iter().filter(|b| b.ejection.passive() != Passive::Clear).count()
    }

    /// Each backend's state: `-` clear, `E` ejected, `T` on trial.
    pub(crate) fn states(&self) -> String {
        let letter = |b: &Backend| match b.ejection.passive() {
            Passive::Clear => '-',
            Passive::Ejected => 'E',
            Passive::Trial => 'T',
        };
        self.backends.iter().map(letter).collect()
    }

    /// A request of a backend ends. On trial it is the trial.
    pub(crate) fn request(&mut self, index: usize, end: End) {
        let out = self.out();
        let countable = self.backends.len();
        let Some(backend) = self.backends.get_mut(index) else { return };
        count(&mut backend.tally, &mut backend.runs, end);
        let change = match backend.ejection.passive() {
            Passive::Trial => {
                backend.trial_verdicts += 1;
                let passed = matches!(end, End::Good { .. });
                backend.ejection.on_trial(&self.config, self.now, passed, &mut self.rng)
            }
            _ => match on_runs(&self.config, &backend.runs) {
                Some(cause) if self.may_eject && may_eject(&self.config, out, countable) => {
                    backend.ejection.eject(&self.config, self.now, cause, &mut self.rng)
                }
                _ => None,
            },
        };
        settle(backend, change);
    }

    pub(crate) fn advance_to(&mut self, now: Instant) {
        self.now = now;
        for backend in &mut self.backends {
            let change = backend.ejection.poll(&self.config, now);
            settle(backend, change);
        }
    }

    pub(crate) fn sweep(&mut self) {
        let hosts: Vec<Host> = self
            .backends
            .iter()
            .map(|b| Host {
                tally: b.tally,
                is_out: b.ejection.passive() != Passive::Clear,
                is_countable: true,
            })
            .collect();
        self.sweeper.sweep(&self.config, &hosts, &mut self.found);
        for (index, cause) in self.found.drain(..) {
            let backend = &mut self.backends[index];
            let change = backend.ejection.eject(&self.config, self.now, cause, &mut self.rng);
            assert!(change.is_some(), "a sweep finds only backends that are clear");
            settle(backend, change);
        }
        for backend in &mut self.backends {
            backend.ejection.on_sweep();
            backend.tally = Tally::default();
        }
    }

    pub(crate) fn active_pass(&mut self, index: usize) {
        let backend = &mut self.backends[index];
        let change = backend.ejection.on_active_pass(&self.config);
        settle(backend, change);
    }
}

/// One that is un-ejected starts anew.
fn settle(backend: &mut Backend, change: Option<EjectionChange>) {
    backend.changes += u32::from(change.is_some());
    if change == Some(EjectionChange::Cleared) {
        backend.runs = Runs::default();
        backend.tally = Tally::default();
    }
}

fn count(tally: &mut Tally, runs: &mut Runs, end: End) {
    match end {
        End::Good { latency } => {
            tally.successes = tally.successes.saturating_add(1);
            tally.latency = tally.latency.saturating_add(latency);
            *runs = Runs::default();
        }
        End::Answered(code) => {
            tally.upstream_failures = tally.upstream_failures.saturating_add(1);
            let gateway =
                if matches!(code, 502..=504) { runs.gateway.saturating_add(1) } else { 0 };
            let code = if runs.failures == 0 || runs.code == code { code } else { 0 };
            *runs = Runs { failures: runs.failures.saturating_add(1), gateway, local: 0, code };
        }
        End::Local => {
            tally.local_failures = tally.local_failures.saturating_add(1);
            let (failures, local) = (runs.failures.saturating_add(1), runs.local.saturating_add(1));
            *runs = Runs { failures, gateway: 0, local, code: 0 };
        }
    }
}
