//! All the machines of a pool, put together.

mod member;
mod notice;
mod queue;
mod report;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hash::BuildHasherDefault;
use core::time::Duration;

use equipoise_core::{
    BackendId, Finding, Health, IdHasher, Instant, Passive, Rng, Runs, Share, Tally,
};
use hashbrown::HashMap;

pub use self::member::Operator;
use self::member::{Counts, Member};
pub use self::notice::Notice;
use self::queue::Queue;
pub use self::report::{Report, State};
use crate::outlier::{self, EjectionChange, Guard, Host, OutlierConfig, Sweeper, may_eject};
use crate::{
    Census, CheckConfig, EjectionCause, Panic, PanicConfig, Poll, SlowStart, Token, Verdict,
};

/// What a [`Monitor`] does.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct MonitorConfig {
    /// The active check; without one, nothing is probed, and all are up.
    pub check: Option<CheckConfig>,
    /// Outlier detection; without it, nobody is ejected.
    pub outlier: Option<OutlierConfig>,
    /// Slow start; without it, whoever comes back has all of its share at once.
    pub slow_start: Option<SlowStart>,
    /// What happens when too few are left.
    pub panic: PanicConfig,
    /// How long a backend drains: then it is out for its sessions too, and they have to go elsewhere.
    /// Without it, it drains as long as that is wanted.
    pub drain_limit: Option<Duration>,
}

/// The health of all backends of a pool: their checks, ejections and slow starts, the limit on
/// ejections, and panic.
///
/// It has no clock, sends nothing and knows no pool. A driver
/// 1. tells it who is there ([`insert`](Self::insert), [`remove`](Self::remove)) and what operators
///    want ([`set_operator`](Self::set_operator));
/// 2. calls [`poll`](Self::poll) at the [`deadline`](Self::deadline), sends the probes that it asks
///    for, and reports them ([`on_probe`](Self::on_probe));
/// 3. passes on what requests came to: [`on_alarm`](Self::on_alarm) at once, and
///    [`on_tallies`](Self::on_tallies) every [`TALLY_INTERVAL`](Self::TALLY_INTERVAL);
/// 4. after each of these, publishes the [`take_changes`](Self::take_changes) and tells the
///    [`take_notices`](Self::take_notices).
///
/// What is known of a backend follows its id, over every change of the set.
///
/// # Complexity
/// `poll`: O(log n) for each backend that is due. `on_tallies`: O(tallies), and O(n) at the end of an
/// interval. All others: O(log n), but O(n) when a panic begins or ends, or the limit gives way.
/// Memory: about 250 bytes a backend.
///
/// ```
/// use equipoise_core::{BackendId, Instant, Passive, Runs};
/// use equipoise_health::monitor::{Monitor, MonitorConfig, Operator};
/// use equipoise_health::OutlierConfig;
///
/// let outlier = Some(OutlierConfig::default());
/// let mut monitor = Monitor::new(MonitorConfig { outlier, ..Default::default() }, 42);
/// let ids = [1, 2, 3].map(BackendId::new);
/// for id in ids {
///     monitor.insert(Instant::ZERO, id, Operator::default());
/// }
/// // Five times 502 in a row:
/// let now = Instant::from_nanos(1);
/// let runs = Runs { failures: 5, gateway: 5, local: 0, code: 502 };
/// monitor.on_alarm(now, ids[0], &runs, None);
/// let changes = monitor.take_changes();
/// assert_eq!((changes[0].0, changes[0].1.passive), (ids[0], Passive::Ejected));
/// let report = monitor.report(now, ids[0]).unwrap();
/// assert!(report.reason.starts_with("ejected for 1 s: 5 consecutive 502"), "{}", report.reason);
/// ```
#[derive(Debug)]
pub struct Monitor {
    config: MonitorConfig,
    rng: Rng,
    members: Members,
    /// Whose time-out, ejection or slow start to look at when.
    queue: Queue,
    /// Whose next probe is due when. Apart from the others, which need no room.
    probes: Queue,
    /// There was no room for a probe that was due: when to look again.
    look_again: Option<Instant>,
    counts: Counts,
    /// Since when one backend at least has been well.
    serves_since: Instant,
    panic: Panic,
    guard: Guard,
    sweeper: Sweeper,
    next_sweep: Instant,
    changes: Vec<(BackendId, Finding)>,
    notices: Vec<Notice>,
}

type Members = HashMap<BackendId, Member, BuildHasherDefault<IdHasher>>;

/// A probe that is to be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Order {
    /// To which backend.
    pub id: BackendId,
    /// What the answer has to show.
    pub token: Token,
    /// How long it may take.
    pub timeout: Duration,
}

impl Monitor {
    /// How often [`on_tallies`](Self::on_tallies) wants to be called, where there is outlier detection:
    /// often enough to see that failing has become general before much has come of it.
    pub const TALLY_INTERVAL: Duration = Duration::from_millis(100);

    /// How long a probe waits that is due when no more may be sent.
    const WAIT: Duration = Duration::from_millis(50);

    /// Of a pool without backends. Jitter follows from `seed`.
    pub fn new(config: MonitorConfig, seed: u64) -> Self {
        Self {
            config,
            rng: Rng::seeded(seed),
            members: HashMap::default(),
            queue: Queue::default(),
            probes: Queue::default(),
            look_again: None,
            counts: Counts::default(),
            serves_since: Instant::ZERO,
            panic: Panic::default(),
            guard: Guard::new(),
            sweeper: Sweeper::new(),
            next_sweep: Instant::ZERO,
            changes: Vec::new(),
            notices: Vec::new(),
        }
    }

    /// What it does.
    pub const fn config(&self) -> &MonitorConfig {
        &self.config
    }

    /// A backend joins. Returns what is known of it, for its first snapshot. One that is there
    /// already keeps all that is known of it.
    pub fn insert(&mut self, now: Instant, id: BackendId, operator: Operator) -> Finding {
        if self.members.is_empty() {
            self.next_sweep = now + self.sweep_interval();
        }
        if !self.members.contains_key(&id) {
            let member = Member::new(&self.config, now, operator, &mut self.rng);
            self.members.insert(id, member);
        }
        self.set_operator(now, id, operator);
        self.changes.retain(|(changed, _)| *changed != id);
        self.members.get(&id).map(|member| member.published).unwrap_or_default()
    }

    /// A backend leaves.
    pub fn remove(&mut self, now: Instant, id: BackendId) {
        if let Some(member) = self.members.remove(&id) {
            self.counts.subtract(&member.counts);
            self.changes.retain(|(changed, _)| *changed != id);
            self.after_counting(now);
        }
    }

    /// An operator, or whoever announces backends, wants something else of a backend.
    pub fn set_operator(&mut self, now: Instant, id: BackendId, operator: Operator) {
        if let Some(member) = self.members.get_mut(&id) {
            member.operator = operator;
            self.settle(now, id);
        }
    }

    /// What an operator wants of a backend.
    pub fn operator(&self, id: BackendId) -> Option<Operator> {
        self.members.get(&id).map(|member| member.operator)
    }

    /// Does what is due: starts probes, at most `room` of them, counts those that took too long, ends
    /// ejections, moves slow starts on. `visited` says whether a request has gone to a backend since it
    /// was last asked.
    ///
    /// A probe for which there is no room waits, and who has waited longest comes first. A driver that
    /// has room again need not wait for the deadline.
    pub fn poll(
        &mut self,
        now: Instant,
        room: usize,
        mut visited: impl FnMut(BackendId) -> bool,
        orders: &mut Vec<Order>,
    ) {
        while let Some((due, id)) = self.queue.pop(now) {
            let Some(member) = self.members.get_mut(&id).filter(|m| m.scheduled == Some(due))
            else {
                continue;
            };
            member.scheduled = None;
            self.poll_time_out(now, id);
            self.poll_ejection(now, id);
            self.settle(now, id);
        }
        let most = orders.len().saturating_add(room);
        while orders.len() < most
            && let Some((due, id)) = self.probes.pop(now)
        {
            let Some(member) = self.members.get_mut(&id).filter(|m| m.probe_due == Some(due))
            else {
                continue;
            };
            member.probe_due = None;
            orders.extend(self.start_probe(now, id, &mut visited));
            self.settle(now, id);
        }
        let waits = self.probes.first().is_some_and(|due| due <= now);
        self.look_again = waits.then(|| now + Self::WAIT);
        if let Some(config) = &self.config.outlier
            && self.guard.poll(config, now, &mut self.rng)
        {
            self.let_all_in(now);
        }
    }

    fn poll_time_out(&mut self, now: Instant, id: BackendId) {
        let (Some(config), Some(member)) = (&self.config.check, self.members.get_mut(&id)) else {
            return;
        };
        if let Some(check) = member.check.as_mut().filter(|check| check.is_probing())
            && let Poll::TimedOut { transition, .. } = check.poll(config, now, true, &mut self.rng)
        {
            member.failed(None);
            member.called = false;
            if let Some(transition) = transition {
                self.notices.push(Notice::Health { id, transition });
            }
        }
    }

    /// Nothing, if nobody needs the probe yet.
    fn start_probe(
        &mut self,
        now: Instant,
        id: BackendId,
        visited: &mut impl FnMut(BackendId) -> bool,
    ) -> Option<Order> {
        let config = self.config.check.as_ref()?;
        let check = self.members.get_mut(&id)?.check.as_mut().filter(|c| !c.is_probing())?;
        let had_traffic = config.no_traffic().is_none() || visited(id);
        match check.poll(config, now, had_traffic, &mut self.rng) {
            Poll::Probe { token, timeout } => Some(Order { id, token, timeout }),
            Poll::Idle | Poll::TimedOut { .. } => None,
        }
    }

    fn poll_ejection(&mut self, now: Instant, id: BackendId) {
        let (Some(config), Some(member)) = (&self.config.outlier, self.members.get_mut(&id)) else {
            return;
        };
        let change = member.ejection.poll(config, now);
        self.note(now, id, change);
    }

    /// A probe has come to something; `failure` says what, if it failed. `false`: its time was up, or
    /// the backend is gone, and nothing changed.
    pub fn on_probe(
        &mut self,
        now: Instant,
        id: BackendId,
        token: Token,
        verdict: Verdict,
        failure: Option<Arc<str>>,
    ) -> bool {
        let (Some(config), Some(member)) = (&self.config.check, self.members.get_mut(&id)) else {
            return false;
        };
        let Some(check) = &mut member.check else { return false };
        let Ok(transition) = check.on_result(config, token, verdict, &mut self.rng) else {
            return false;
        };
        let mut change = None;
        // What a check asks may be less than what clients do: the answer to "is it dead?" must not undo
        // what they have just found out. The next regular one may.
        let called = core::mem::take(&mut member.called);
        if verdict == Verdict::Fail {
            member.failed(failure);
        } else {
            member.passed = true;
            if let Some(config) = self.config.outlier.as_ref().filter(|_| !called) {
                // Where clients were answered with failures, a check that passes says less than they do:
                // it shortens the ejection to the base time, and no more. One that failed too and has
                // come back says as much.
                let is_local =
                    matches!(member.ejection.cause(), Some(EjectionCause::ConsecutiveLocal { .. }));
                let came_up = transition
                    .is_some_and(|t| t.from.health != Health::Up && t.to.health == Health::Up);
                if is_local
                    || came_up
                    || now.since(member.ejected_at) >= config.base_ejection_time()
                {
                    change = member.ejection.on_active_pass(config);
                }
            }
        }
        if let Some(transition) = transition {
            self.notices.push(Notice::Health { id, transition });
        }
        self.note(now, id, change);
        self.settle(now, id);
        true
    }

    /// A probe could not be sent, and it is not the backend's fault.
    pub fn on_probe_abandoned(&mut self, now: Instant, id: BackendId, token: Token) {
        if let (Some(config), Some(member)) = (&self.config.check, self.members.get_mut(&id))
            && let Some(check) = &mut member.check
            && check.abandon(config, token, &mut self.rng).is_ok()
        {
            self.settle(now, id);
        }
    }

    /// A run of a backend's failures has come to a threshold, or its trial is decided.
    pub fn on_alarm(&mut self, now: Instant, id: BackendId, runs: &Runs, trial: Option<bool>) {
        let Some(config) = &self.config.outlier else { return };
        let Some(member) = self.members.get_mut(&id) else { return };
        if let Some(passed) = trial {
            let change = member.ejection.on_trial(config, now, passed, &mut self.rng);
            self.note(now, id, change);
        } else if let Some(cause) = outlier::on_runs(config, runs) {
            // Whether it is dead, its check will know best. Once: alarms go on as long as requests fail, and
            // `fall` checks in a few milliseconds would make a short fault a long one.
            if let Some(check) = member.check.as_mut().filter(|check| check.is_steady_up()) {
                if let Some(config) = &self.config.check {
                    check.check_now(config, now);
                }
                member.called = true;
            }
            self.eject(now, id, cause);
        }
        self.settle(now, id);
    }

    /// What requests came to since the last call. Backends without any may be left out.
    pub fn on_tallies(&mut self, now: Instant, tallies: &[(BackendId, Tally)]) {
        let Some(config) = &self.config.outlier else { return };
        let (mut requests, mut failures) = (0_u32, 0_u32);
        for (id, tally) in tallies {
            let Some(member) = self.members.get_mut(id) else { continue };
            member.add(tally);
            if member.ejection.passive() == Passive::Clear {
                requests = requests.saturating_add(tally.total());
                failures = failures.saturating_add(tally.total().saturating_sub(tally.successes));
            }
        }
        self.guard.on_outcomes(now, requests, failures);
        if self.guard.poll(config, now, &mut self.rng) {
            self.let_all_in(now);
        }
        if now >= self.next_sweep {
            self.next_sweep = now + self.sweep_interval();
            self.sweep(now);
        }
    }

    /// The end of an interval.
    fn sweep(&mut self, now: Instant) {
        let Some(config) = &self.config.outlier else { return };
        // In the map's order, which follows from the ids and the order of joining: the same run ejects the
        // same one of two equal outliers.
        let mut ids: Vec<BackendId> = Vec::with_capacity(self.members.len());
        let mut hosts: Vec<Host> = Vec::with_capacity(self.members.len());
        for (&id, member) in &mut self.members {
            ids.push(id);
            hosts.push(Host {
                tally: core::mem::take(&mut member.tally),
                is_out: member.ejection.passive() != Passive::Clear,
                is_countable: member.counts.eligible,
            });
        }
        let mut found = Vec::new();
        self.sweeper.sweep(config, &hosts, &mut found);
        for (index, cause) in found {
            if let Some(&id) = ids.get(index) {
                self.eject(now, id, cause);
                self.settle(now, id);
            }
        }
        self.members.values_mut().for_each(|member| member.ejection.on_sweep());
    }

    /// Ejects a backend, if the limit allows it.
    fn eject(&mut self, now: Instant, id: BackendId, cause: EjectionCause) {
        let Some(config) = &self.config.outlier else { return };
        let Some(member) = self.members.get_mut(&id) else { return };
        let allowed = member.counts.eligible
            && !self.guard.is_general()
            && may_eject(config, self.counts.out as usize, self.counts.eligible as usize);
        if allowed {
            let change = member.ejection.eject(config, now, cause, &mut self.rng);
            self.note(now, id, change);
        }
    }

    /// Failing is general: nobody is an outlier.
    fn let_all_in(&mut self, now: Instant) {
        self.notices.push(Notice::GeneralFailure);
        let out = |(id, member): (&BackendId, &Member)| {
            (member.ejection.passive() != Passive::Clear).then_some(*id)
        };
        for id in self.members.iter().filter_map(out).collect::<Vec<_>>() {
            self.let_in(now, id);
        }
    }

    fn let_in(&mut self, now: Instant, id: BackendId) {
        if let Some(member) = self.members.get_mut(&id) {
            let change = member.ejection.clear();
            self.note(now, id, change);
            self.settle(now, id);
        }
    }

    fn note(&mut self, now: Instant, id: BackendId, change: Option<EjectionChange>) {
        let Some(member) = self.members.get_mut(&id) else { return };
        match change {
            Some(EjectionChange::Ejected { until }) => {
                member.ejected_at = now;
                if let Some(cause) = member.ejection.cause() {
                    self.notices.push(Notice::Ejected { id, cause, time: until.since(now) });
                }
            }
            Some(EjectionChange::Trial) => self.notices.push(Notice::Trial { id }),
            Some(EjectionChange::Cleared) => self.notices.push(Notice::Cleared { id }),
            None => {}
        }
    }

    /// After a change at one backend: counts it anew, publishes what is new, and plans the next look.
    fn settle(&mut self, now: Instant, id: BackendId) {
        let Some(member) = self.members.get_mut(&id) else { return };
        if member.keep_draining(now, self.config.drain_limit) {
            self.notices.push(Notice::Drained { id });
        }
        let counts = Counts::of(&member.condition());
        if counts != member.counts {
            let others = self.counts.healthy.saturating_sub(u32::from(member.counts.healthy));
            if counts.healthy && !member.counts.healthy {
                if others == 0 {
                    self.serves_since = now;
                }
                // Where nobody else serves, there is nobody to start slowly beside. Nor is there where all have
                // just begun: one that was found a moment before the others is not to carry them.
                let served = now.since(self.serves_since);
                let slow_start = self.config.slow_start.as_ref();
                let begins = slow_start.is_some_and(|slow| others > 0 && served >= slow.window());
                member.ramp = begins.then_some(now);
            }
            self.counts.subtract(&member.counts);
            self.counts.add(&counts);
            member.counts = counts;
        }
        // First the panic: one that falls now was good a moment ago.
        self.after_counting(now);
        self.publish(now, id);
        self.schedule(now, id);
    }

    /// What follows for all from a new count.
    fn after_counting(&mut self, now: Instant) {
        let census = self.census();
        // While first checks are out, those that have failed already are no reason to panic.
        if (self.counts.pending == 0 || self.panic.is_active())
            && let Some(event) = self.panic.update(&self.config.panic, census)
        {
            self.notices.push(Notice::Panic(event));
            let ids: Vec<_> = self.members.keys().copied().collect();
            ids.into_iter().for_each(|id| self.publish(now, id));
        }
        self.keep_limit(now);
    }

    /// Where backends have gone that were not ejected, those that are may be too many now.
    fn keep_limit(&mut self, now: Instant) {
        let Some(config) = self.config.outlier else { return };
        let (out, eligible) = (self.counts.out as usize, self.counts.eligible as usize);
        if out == 0 || may_eject(&config, out - 1, eligible) {
            return;
        }
        // The one that has been out longest has had the most time to mend.
        let out = self.members.iter().filter(|(_, member)| member.counts.out);
        let first = out.min_by_key(|(id, member)| (member.ejected_at, **id));
        if let Some(id) = first.map(|(id, _)| *id) {
            self.let_in(now, id);
        }
    }

    /// Puts what is in effect for a backend on the list of changes, if it is new.
    fn publish(&mut self, now: Instant, id: BackendId) {
        let panics = self.panic.is_active();
        let mode = self.config.panic.mode();
        let Some(member) = self.members.get_mut(&id) else { return };
        if !panics {
            member.last_good = member.counts.healthy;
        }
        let share = match (&self.config.slow_start, member.ramp) {
            (Some(slow_start), Some(since)) => slow_start.share(now.since(since)),
            _ => Share::FULL,
        };
        if share == Share::FULL {
            member.ramp = None;
        }
        let finding = member.finding(panics && mode.looks_away(member.last_good), share);
        if finding != member.published {
            member.published = finding;
            self.changes.push((id, finding));
        }
    }

    /// Whether panic makes a backend's health not count.
    fn looks_away(&self, last_good: bool) -> bool {
        self.panic.is_active() && self.config.panic.mode().looks_away(last_good)
    }

    fn schedule(&mut self, now: Instant, id: BackendId) {
        let Some(member) = self.members.get_mut(&id) else { return };
        let (probe, time_out) = match &member.check {
            Some(check) if check.is_probing() => (None, Some(check.deadline())),
            Some(check) => (Some(check.deadline()), None),
            None => (None, None),
        };
        let ramp = self
            .config
            .slow_start
            .as_ref()
            .zip(member.ramp)
            .and_then(|(config, since)| Some(since + config.next_step(now.since(since))?));
        let drain = member.draining.filter(|_| !member.drained).zip(self.config.drain_limit);
        let drained = drain.map(|(since, limit)| since + limit);
        let due = [time_out, member.ejection.deadline(), ramp, drained].into_iter().flatten().min();
        if due != member.scheduled {
            member.scheduled = due;
            self.queue.extend(due.map(|due| (due, id)));
            self.queue.prune(&self.members, |member| member.scheduled);
        }
        let Some(member) = self.members.get_mut(&id).filter(|m| m.probe_due != probe) else {
            return;
        };
        member.probe_due = probe;
        self.probes.extend(probe.map(|due| (due, id)));
        self.probes.prune(&self.members, |member| member.probe_due);
    }

    fn sweep_interval(&self) -> Duration {
        self.config.outlier.as_ref().map_or(Duration::MAX, OutlierConfig::interval)
    }

    /// When to call [`poll`](Self::poll); `None` if only an event can change anything. It may be past.
    pub fn deadline(&self) -> Option<Instant> {
        let probe = self.probes.first().map(|due| self.look_again.map_or(due, |t| t.max(due)));
        [self.queue.first(), probe, self.guard.deadline()].into_iter().flatten().min()
    }

    /// What is to be published of whom, since the last call; the last of several counts.
    pub fn take_changes(&mut self) -> Vec<(BackendId, Finding)> {
        core::mem::take(&mut self.changes)
    }

    /// What has happened since the last call.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        core::mem::take(&mut self.notices)
    }

    /// Whether too few backends are healthy, so that the pool does what its panic mode says.
    pub const fn is_panicking(&self) -> bool {
        self.panic.is_active()
    }

    /// Whether most requests have failed wherever they went. Then nobody is ejected for a time.
    pub const fn is_failing_generally(&self) -> bool {
        self.guard.is_general()
    }

    /// How many backends count, and how many of them are healthy.
    pub const fn census(&self) -> Census {
        Census { countable: self.counts.countable, healthy: self.counts.healthy }
    }

    /// How many are ejected or on trial, of how many that the limit is a part of.
    pub const fn ejected(&self) -> (u32, u32) {
        (self.counts.out, self.counts.eligible)
    }
}

#[cfg(test)]
mod tests;
