//! What the control side knows, under one lock.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::num::NonZeroU32;
use std::sync::Arc;

use equipoise_core::{Admin, BackendId, IdHasher, Instant, Policy, Runs, Tally, Weight};
use equipoise_health::monitor::{self, Monitor, Notice, Operator, Report};
use equipoise_pool::{Event, Pool, Spec, Status, UpdateError};

use super::observer::{Told, subject};
use crate::probe::Target;
use crate::socket::StreamAddr;

/// A backend as it is given to a [`Controller`](super::Controller).
#[derive(Clone, Debug)]
pub struct Managed<B> {
    /// Its identity.
    pub id: BackendId,
    /// What people call it.
    pub name: Arc<str>,
    /// What the pool keeps.
    pub backend: B,
    /// Its share.
    pub weight: Weight,
    /// Its tier; 0 is used first.
    pub tier: u8,
    /// How many requests it may have in flight.
    pub max_in_flight: Option<NonZeroU32>,
    /// Whether it is to be drained.
    pub drain: bool,
    /// Where it is probed: the addresses of this one backend, asked in turn until one passes.
    pub targets: Vec<Target>,
}

impl<B> Managed<B> {
    /// A backend of weight 1 in tier 0, without a limit, whose id is that of its name.
    pub fn new(name: &str, backend: B) -> Self {
        Self {
            id: BackendId::named(name),
            name: name.into(),
            backend,
            weight: Weight::ONE,
            tier: 0,
            max_in_flight: None,
            drain: false,
            targets: Vec::new(),
        }
    }
}

/// How a backend stands.
#[derive(Clone, PartialEq, Debug)]
pub struct Standing {
    /// What people call it.
    pub name: Arc<str>,
    /// Where it is probed first.
    pub asked: Option<StreamAddr>,
    /// What the pool knows.
    pub status: Status,
    /// Its state, and why.
    pub report: Report,
}

/// The machines, and who the backends are.
pub(super) struct State<B> {
    pub(super) monitor: Monitor,
    known: HashMap<BackendId, Known<B>, BuildHasherDefault<IdHasher>>,
    tallies: Vec<(BackendId, Tally)>,
}

struct Known<B> {
    name: Arc<str>,
    backend: B,
    targets: Arc<[Target]>,
    /// What an operator set, which updates leave alone.
    admin: Admin,
    weight: Option<Weight>,
}

impl<B: Clone + Send + Sync + 'static> State<B> {
    pub(super) fn new(monitor: Monitor) -> Self {
        Self { monitor, known: HashMap::default(), tallies: Vec::new() }
    }

    pub(super) fn update<P: Policy>(
        &mut self,
        pool: &Pool<B, P>,
        now: Instant,
        backends: Vec<Managed<B>>,
        told: &mut Vec<Told<B>>,
    ) -> Result<(), UpdateError> {
        let mut ids: Vec<_> = backends.iter().map(|backend| backend.id).collect();
        ids.sort_unstable();
        if let Some(twice) = ids.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(UpdateError::DuplicateId(twice[0]));
        }
        // The pool checks what else may be wrong, before the monitor hears of those that are there. It
        // does not look at their findings, which are its own.
        let mut specs = Vec::with_capacity(backends.len());
        for managed in &backends {
            let known = self.known.get(&managed.id);
            let operator = operator(managed, known);
            let mut spec = Spec::new(managed.id, managed.backend.clone())
                .weight(operator.weight)
                .tier(managed.tier);
            if known.is_none() {
                spec = spec.finding(self.monitor.insert(now, managed.id, operator));
            }
            if let Some(max) = managed.max_in_flight {
                spec = spec.max_in_flight(max);
            }
            specs.push(spec);
        }
        let events = match pool.update(specs) {
            Ok(events) => events,
            Err(error) => {
                for id in ids.into_iter().filter(|id| !self.known.contains_key(id)) {
                    self.monitor.remove(now, id);
                }
                return Err(error);
            }
        };
        for managed in backends {
            let operator = operator(&managed, self.known.get(&managed.id));
            let Managed { id, name, backend, targets, .. } = managed;
            let targets: Arc<[Target]> = targets.into();
            match self.known.get_mut(&id) {
                Some(known) => {
                    known.targets = targets;
                    self.monitor.set_operator(now, id, operator);
                }
                None => {
                    let (admin, weight) = (Admin::Enabled, None);
                    self.known.insert(id, Known { name, backend, targets, admin, weight });
                }
            }
        }
        self.hear_of(events, now, told);
        Ok(())
    }

    pub(super) fn remove<P: Policy>(
        &mut self,
        pool: &Pool<B, P>,
        now: Instant,
        id: BackendId,
        told: &mut Vec<Told<B>>,
    ) -> Result<(), UpdateError> {
        let events = pool.remove(id)?;
        self.hear_of(events, now, told);
        Ok(())
    }

    /// Tells what has become of backends, and forgets those that have left.
    fn hear_of(&mut self, events: Vec<Event>, now: Instant, told: &mut Vec<Told<B>>) {
        for event in events {
            self.tell_event(event, told);
            if let Event::Removed { id, .. } = event {
                self.known.remove(&id);
                self.monitor.remove(now, id);
            }
        }
    }

    pub(super) fn set_admin<P: Policy>(
        &mut self,
        pool: &Pool<B, P>,
        now: Instant,
        id: BackendId,
        admin: Admin,
        told: &mut Vec<Told<B>>,
    ) -> Result<(), UpdateError> {
        let events = pool.set_admin(id, admin)?;
        if let Some(known) = self.known.get_mut(&id) {
            known.admin = admin;
        }
        self.operate(now, id, |operator| operator.admin = admin);
        events.into_iter().for_each(|event| self.tell_event(event, told));
        Ok(())
    }

    pub(super) fn set_weight<P: Policy>(
        &mut self,
        pool: &Pool<B, P>,
        now: Instant,
        id: BackendId,
        weight: Weight,
        told: &mut Vec<Told<B>>,
    ) -> Result<(), UpdateError> {
        let events = pool.set_weight(id, weight)?;
        if let Some(known) = self.known.get_mut(&id) {
            known.weight = Some(weight);
        }
        self.operate(now, id, |operator| operator.weight = weight);
        events.into_iter().for_each(|event| self.tell_event(event, told));
        Ok(())
    }

    /// What operators have set, by the backends' names.
    pub(super) fn operated(&self) -> HashMap<Arc<str>, (Admin, Option<Weight>)> {
        let known = self.known.values();
        let set = known.filter(|known| known.admin != Admin::Enabled || known.weight.is_some());
        set.map(|known| (Arc::clone(&known.name), (known.admin, known.weight))).collect()
    }

    fn operate(&mut self, now: Instant, id: BackendId, change: impl FnOnce(&mut Operator)) {
        if let Some(mut operator) = self.monitor.operator(id) {
            change(&mut operator);
            self.monitor.set_operator(now, id, operator);
        }
    }

    /// Hears what came of requests.
    pub(super) fn hear<P: Policy>(&mut self, pool: &Pool<B, P>, now: Instant, tallies: bool) {
        for alarm in pool.take_alarms() {
            self.monitor.on_alarm(now, alarm.id, &alarm.runs, alarm.trial);
        }
        if tallies {
            self.tallies.clear();
            pool.take_tallies(&mut self.tallies);
            self.tallies.retain(|(_, tally)| tally.total() > 0);
            self.monitor.on_tallies(now, &self.tallies);
        }
    }

    /// Publishes what is new, and notes what is to be told.
    pub(super) fn publish<P: Policy>(
        &mut self,
        pool: &Pool<B, P>,
        now: Instant,
        told: &mut Vec<Told<B>>,
    ) {
        let changes = self.monitor.take_changes();
        let events = if changes.is_empty() { Vec::new() } else { pool.apply(changes) };
        for notice in self.monitor.take_notices() {
            let id = notice.backend();
            let words = match (id, &notice) {
                // The reason is worth more than the bare fact.
                (Some(id), Notice::Health { .. }) => {
                    let report = self.monitor.report(now, id);
                    // One that the operator took out has other reasons, which say nothing of this.
                    report
                        .filter(|report| report.state != monitor::State::Disabled)
                        .map(|r| r.reason)
                }
                _ => None,
            };
            let words = words.unwrap_or_else(|| notice.to_string());
            told.push(Told::Notice { backend: self.named(id), notice, words });
        }
        events.into_iter().for_each(|event| self.tell_event(event, told));
    }

    fn tell_event(&self, event: Event, told: &mut Vec<Told<B>>) {
        told.push(Told::Event { backend: self.named(subject(&event)), event });
    }

    fn named(&self, id: Option<BackendId>) -> Option<(Arc<str>, B)> {
        let known = self.known.get(&id?)?;
        Some((Arc::clone(&known.name), known.backend.clone()))
    }

    pub(super) fn targets(&self, id: BackendId) -> Option<Arc<[Target]>> {
        self.known.get(&id).map(|known| Arc::clone(&known.targets))
    }

    pub(super) fn standings<P: Policy>(&self, pool: &Pool<B, P>, now: Instant) -> Vec<Standing> {
        let standing = |status: Status| {
            let known = self.known.get(&status.id)?;
            let mut report = self.monitor.report(now, status.id)?;
            if report.state == monitor::State::Up && status.runs.failures > 0 {
                report.reason += &failing(&status.runs);
            }
            let asked = known.targets.first().map(|target| target.address().clone());
            Some(Standing { name: Arc::clone(&known.name), asked, status, report })
        };
        pool.backends().into_iter().filter_map(standing).collect()
    }

    pub(super) fn panic(&self) -> Option<String> {
        let mode = self.monitor.config().panic.mode();
        let census = self.monitor.census();
        if self.monitor.is_panicking() {
            return Some(format!("{mode}: {census}"));
        }
        let general = "most requests fail wherever they go: nobody is ejected for a time";
        self.monitor.is_failing_generally().then(|| general.to_owned())
    }
}

/// What is wanted of a backend: what an operator set goes before what was announced.
fn operator<B>(managed: &Managed<B>, known: Option<&Known<B>>) -> Operator {
    Operator {
        admin: known.map_or(Admin::Enabled, |known| known.admin),
        drain: managed.drain,
        weight: known.and_then(|known| known.weight).unwrap_or(managed.weight),
    }
}

/// What its traffic says of a backend that is up all the same: there were too few failures to eject it,
/// or the limit does not allow it.
fn failing(runs: &Runs) -> String {
    let how = match (runs.code, runs.local) {
        (0, local) if local == runs.failures => ": no connection, a reset or no answer",
        (0, _) => "",
        (code, _) => return format!("; its last requests failed: {} with {code}", runs.failures),
    };
    format!("; its last requests failed: {}{how}", runs.failures)
}
