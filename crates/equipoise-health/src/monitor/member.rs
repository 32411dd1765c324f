//! What a monitor keeps of one backend.

use alloc::sync::Arc;
use core::time::Duration;

use equipoise_core::{
    Admin, Admission, Condition, Drain, Finding, Health, Instant, Passive, Rng, Share, Tally,
    Weight,
};

use super::MonitorConfig;
use crate::{Census, Check, Ejection};

/// What those in charge want of a backend, whatever its health.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Operator {
    /// What the operator wants.
    pub admin: Admin,
    /// Whether whoever announced it wants it drained.
    pub drain: bool,
    /// Its configured weight.
    pub weight: Weight,
}

#[derive(Debug)]
pub(super) struct Member {
    pub(super) operator: Operator,
    pub(super) check: Option<Check>,
    pub(super) ejection: Ejection,
    pub(super) ejected_at: Instant,
    /// Of the present interval.
    pub(super) tally: Tally,
    /// Since when it drains, for whatever reason.
    pub(super) draining: Option<Instant>,
    /// Its time for that is over.
    pub(super) drained: bool,
    /// Since when it starts slowly.
    pub(super) ramp: Option<Instant>,
    /// It was healthy when the pool last did not panic.
    pub(super) last_good: bool,
    /// As what it counts.
    pub(super) counts: Count,
    /// What was made known of it.
    pub(super) published: Finding,
    /// When it is to be looked at for anything but its next probe.
    pub(super) scheduled: Option<Instant>,
    /// When its next probe is due.
    pub(super) probe_due: Option<Instant>,
    /// What its last failed check said, and how often in a row; `None`: no answer in time.
    pub(super) failure: Option<Arc<str>>,
    pub(super) failures: u32,
    /// It has passed since.
    pub(super) passed: bool,
    /// Failing requests have called for its next check.
    pub(super) called: bool,
}

impl Member {
    pub(super) fn new(
        config: &MonitorConfig,
        now: Instant,
        operator: Operator,
        rng: &mut Rng,
    ) -> Self {
        let check = config.check.as_ref().map(|config| Check::new(config, now, rng));
        Self {
            operator,
            check,
            ejection: Ejection::new(),
            ejected_at: Instant::ZERO,
            tally: Tally::default(),
            draining: None,
            drained: false,
            ramp: None,
            last_good: false,
            counts: Count::default(),
            published: Finding::UNKNOWN,
            scheduled: None,
            probe_due: None,
            failure: None,
            failures: 0,
            passed: false,
            called: false,
        }
    }

    pub(super) fn condition(&self) -> Condition {
        let Operator { admin, drain, weight } = self.operator;
        let checked = self.check.as_ref().map(super::super::check::Check::standing);
        Condition {
            admin,
            health: checked.map_or(Health::Up, |checked| checked.health),
            passive: self.ejection.passive(),
            drain: match drain || checked.is_some_and(|checked| checked.drain) {
                _ if self.drained => Drain::Over,
                true => Drain::Wanted,
                false => Drain::No,
            },
            weight,
        }
    }

    /// Looks at whether it drains, and for how long it has. Says whether its time for that is over now.
    pub(super) fn keep_draining(&mut self, now: Instant, limit: Option<Duration>) -> bool {
        let before = core::mem::take(&mut self.drained);
        let condition = self.condition();
        if condition.admin != Admin::Draining && condition.drain == Drain::No {
            self.draining = None;
            return false;
        }
        let since = *self.draining.get_or_insert(now);
        self.drained = limit.is_some_and(|limit| now.since(since) >= limit);
        self.drained && !before
    }

    /// What is in effect. One that was never checked is not let in by any panic.
    pub(super) fn finding(&self, look_away: bool, share: Share) -> Finding {
        let Condition { health, passive, drain, .. } = self.condition();
        if look_away && health != Health::Pending {
            Finding { health: Health::Up, passive: Passive::Clear, drain, share }
        } else {
            Finding { health, passive, drain, share }
        }
    }

    /// Its check failed once more, in the same way or in another.
    pub(super) fn failed(&mut self, failure: Option<Arc<str>>) {
        let same = !self.passed && self.failure == failure;
        self.failures = if same { self.failures.saturating_add(1) } else { 1 };
        self.failure = failure;
        self.passed = false;
    }

    pub(super) fn add(&mut self, tally: &Tally) {
        let own = &mut self.tally;
        own.successes = own.successes.saturating_add(tally.successes);
        own.upstream_failures = own.upstream_failures.saturating_add(tally.upstream_failures);
        own.local_failures = own.local_failures.saturating_add(tally.local_failures);
        own.latency = own.latency.saturating_add(tally.latency);
    }
}

/// As what a backend counts.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Count {
    /// For panic.
    pub(super) countable: bool,
    pub(super) healthy: bool,
    /// For the limit on ejections: it would serve if it were not ejected.
    pub(super) eligible: bool,
    /// It is eligible, and ejected or on trial.
    pub(super) out: bool,
    /// Its first checks have not decided.
    pub(super) pending: bool,
}

/// How many count as what.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Counts {
    pub(super) countable: u32,
    pub(super) healthy: u32,
    pub(super) eligible: u32,
    pub(super) out: u32,
    pub(super) pending: u32,
}

impl Counts {
    pub(super) fn of(condition: &Condition) -> Count {
        let clear = Condition { passive: Passive::Clear, ..*condition };
        let eligible = Admission::of(&clear) == Admission::New;
        Count {
            countable: Census::counts(condition),
            healthy: Admission::of(condition) == Admission::New,
            eligible,
            out: eligible && condition.passive != Passive::Clear,
            // Whom somebody took out is waited for by nobody.
            pending: condition.health == Health::Pending
                && Census::counts(&Condition { health: Health::Up, ..*condition }),
        }
    }

    pub(super) fn add(&mut self, count: &Count) {
        self.countable += u32::from(count.countable);
        self.healthy += u32::from(count.healthy);
        self.eligible += u32::from(count.eligible);
        self.out += u32::from(count.out);
        self.pending += u32::from(count.pending);
    }

    pub(super) fn subtract(&mut self, count: &Count) {
        self.countable -= u32::from(count.countable);
        self.healthy -= u32::from(count.healthy);
        self.eligible -= u32::from(count.eligible);
        self.out -= u32::from(count.out);
        self.pending -= u32::from(count.pending);
    }
}
