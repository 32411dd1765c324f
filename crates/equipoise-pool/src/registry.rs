//! The control side: who is in the pool, and how each stands.

use std::collections::BTreeMap;
use std::sync::Arc;

use equipoise_core::{
    Admin, Admission, BackendId, Condition, Finding, Health, Load, Member, Passive, Policy, Reason,
    Runs, Share, Slot, Tally, View, Weight,
};

use crate::id_map::IdMap;
use crate::places::Places;
use crate::record::{Owner, Record};
use crate::snapshot::{Roster, Seat, Snapshot, Standing, Tier};
use crate::spec::Settings;
use crate::watch::{Watch, Watched};
use crate::{Alarm, Event, Spec, Status, UpdateError};

/// The most backends in a pool: what a schedule's 16-bit index reaches.
pub(crate) const MAX_BACKENDS: usize = 1 << 16;

/// How fine a part of a small weight can be: of weight 1, a 128th.
const FINEST: u16 = 128;

/// The backends in the order in which they joined: the order of the slots.
pub(crate) struct Registry<B> {
    entries: Vec<Entry<B>>,
    slots: IdMap<Slot>,
    watch: Option<Arc<Watch>>,
}

struct Entry<B> {
    owner: Arc<Owner<B>>,
    load: Load,
    settings: Settings,
    admin: Admin,
    finding: Finding,
}

impl<B> Entry<B> {
    fn id(&self) -> BackendId {
        self.owner.0.id
    }

    fn condition(&self) -> Condition {
        let Finding { health, passive, drain, share: _ } = self.finding;
        Condition { admin: self.admin, health, passive, drain, weight: self.settings.weight }
    }

    fn admission(&self) -> Admission {
        Admission::of(&self.condition())
    }

    fn reason(&self) -> Option<Reason> {
        Reason::of(&self.condition())
    }

    fn guarded(&self) -> bool {
        self.settings.limit.is_some() || self.finding.passive != Passive::Clear
    }

    fn standing(&self) -> Standing {
        let (admission, reason) = (self.admission(), self.reason());
        Standing { admission, reason, share: self.finding.share, tier: self.settings.tier }
    }

    fn status(&self) -> Status {
        Status {
            id: self.id(),
            weight: self.settings.weight,
            tier: self.settings.tier,
            max_in_flight: self.settings.limit,
            admin: self.admin,
            finding: self.finding,
            admission: self.admission(),
            in_flight: self.owner.in_flight(),
            runs: self.owner.0.watched.as_ref().map_or_else(Runs::default, |w| w.window.runs()),
        }
    }

    fn seat(&self) -> Seat<B> {
        Seat { owner: Arc::clone(&self.owner), guarded: self.guarded() }
    }

    fn member(&self) -> Member {
        Member {
            id: self.id(),
            weight: self.settings.weight,
            tier: self.settings.tier,
            load: self.load.clone(),
            tracker: self.owner.0.tracker.clone(),
        }
    }
}

impl<B: Send + Sync + 'static> Entry<B> {
    fn new(spec: Spec<B>, policy: &impl Policy, watch: Option<&Arc<Watch>>) -> Self {
        let Spec { id, backend, settings, finding } = spec;
        let places = Places::new(settings.limit);
        let watched = watch.map(|watch| Watched::new(Arc::clone(watch)));
        let record = Arc::new(Record::new(id, policy.track(id), places, watched, backend));
        let (admin, load) = (Admin::default(), Load::of(&record));
        let entry = Self { owner: Arc::new(Owner(record)), load, settings, admin, finding };
        entry.set_gate();
        entry
    }
}

impl<B: Send + Sync + 'static> Registry<B> {
    pub(crate) fn new(watch: Option<Arc<Watch>>) -> Self {
        Self { entries: Vec::new(), slots: IdMap::default(), watch }
    }

    /// Makes `specs` the whole set. Backends that stay keep their slot order, state and counters.
    /// What is not taken in is left in `specs`.
    pub(crate) fn replace(
        &mut self,
        specs: &mut Vec<Spec<B>>,
        policy: &impl Policy,
        events: &mut Vec<Event>,
    ) -> Result<(), UpdateError> {
        let mut wanted = IdMap::with_capacity_and_hasher(specs.len(), Default::default());
        for spec in specs.iter() {
            if wanted.insert(spec.id, ()).is_some() {
                return Err(UpdateError::DuplicateId(spec.id));
            }
        }
        if specs.len() > MAX_BACKENDS {
            return Err(UpdateError::TooMany { limit: MAX_BACKENDS });
        }
        // The policy's code runs before anything has changed: should it panic, nothing has.
        let joining: Vec<_> = specs
            .extract_if(.., |spec| !self.slots.contains_key(&spec.id))
            .map(|spec| Entry::new(spec, policy, self.watch.as_ref()))
            .collect();
        self.retain(|id| wanted.contains_key(&id), events);
        for spec in specs.iter() {
            self.entries[self.slots[&spec.id].index()].configure(spec.settings, events);
        }
        for entry in joining {
            self.push(entry, events);
        }
        Ok(())
    }

    /// Adds one backend. What is not taken in is left in `spec`.
    pub(crate) fn insert(
        &mut self,
        spec: &mut Option<Spec<B>>,
        policy: &impl Policy,
        events: &mut Vec<Event>,
    ) -> Result<(), UpdateError> {
        if self.entries.len() == MAX_BACKENDS {
            return Err(UpdateError::TooMany { limit: MAX_BACKENDS });
        }
        if let Some(spec) = spec.take_if(|spec| !self.slots.contains_key(&spec.id)) {
            self.push(Entry::new(spec, policy, self.watch.as_ref()), events);
        }
        spec.as_ref().map_or(Ok(()), |spec| Err(UpdateError::DuplicateId(spec.id)))
    }

    pub(crate) fn remove(
        &mut self,
        id: BackendId,
        events: &mut Vec<Event>,
    ) -> Result<(), UpdateError> {
        self.slots.get(&id).ok_or(UpdateError::UnknownId(id))?;
        self.retain(|other| other != id, events);
        Ok(())
    }

    /// Changes how one backend stands.
    pub(crate) fn change(
        &mut self,
        id: BackendId,
        change: Change,
        events: &mut Vec<Event>,
    ) -> Result<(), UpdateError> {
        let slot = *self.slots.get(&id).ok_or(UpdateError::UnknownId(id))?;
        self.entries[slot.index()].change(change, events);
        Ok(())
    }

    /// Takes on what was found of some backends. Those that are not in the pool (any more) are
    /// passed over.
    pub(crate) fn apply(
        &mut self,
        findings: impl IntoIterator<Item = (BackendId, Finding)>,
        events: &mut Vec<Event>,
    ) {
        for (id, finding) in findings {
            let _ = self.change(id, Change::Finding(finding), events);
        }
    }

    /// What was found of a backend.
    pub(crate) fn finding(&self, id: BackendId) -> Option<Finding> {
        self.slots.get(&id).map(|slot| self.entries[slot.index()].finding)
    }

    /// What came of each watched backend's requests since the last call.
    pub(crate) fn take_tallies(&self, out: &mut Vec<(BackendId, Tally)>) {
        let watched = |entry: &Entry<B>| {
            let watched = entry.owner.0.watched.as_ref()?;
            Some((entry.id(), watched.window.take()))
        };
        out.extend(self.entries.iter().filter_map(watched));
    }

    /// What called for attention since the last call.
    pub(crate) fn take_alarms(&self) -> Vec<Alarm> {
        let calls = self.watch.as_ref().map(|watch| watch.take_calls()).unwrap_or_default();
        let alarm = |id| self.owner(id)?.0.watched.as_ref()?.answer(id);
        calls.into_iter().filter_map(alarm).collect()
    }

    fn push(&mut self, entry: Entry<B>, events: &mut Vec<Event>) {
        let id = entry.id();
        events.push(Event::Added { id, admission: entry.admission() });
        self.slots.insert(id, Slot::new(self.entries.len() as u32));
        self.entries.push(entry);
    }

    fn retain(&mut self, keep: impl Fn(BackendId) -> bool, events: &mut Vec<Event>) {
        let before = self.entries.len();
        self.entries.retain(|entry| {
            let id = entry.id();
            let keep = keep(id);
            if !keep {
                events.push(Event::Removed { id, in_flight: entry.owner.in_flight() });
            }
            keep
        });
        if self.entries.len() != before {
            self.slots.clear();
            let slots = self.entries.iter().enumerate();
            self.slots.extend(slots.map(|(i, entry)| (entry.id(), Slot::new(i as u32))));
        }
    }

    pub(crate) fn statuses(&self) -> Vec<Status> {
        self.entries.iter().map(Entry::status).collect()
    }

    pub(crate) fn owners(&self) -> Vec<(Status, Arc<Owner<B>>)> {
        self.entries.iter().map(|entry| (entry.status(), Arc::clone(&entry.owner))).collect()
    }

    pub(crate) fn owner(&self, id: BackendId) -> Option<&Arc<Owner<B>>> {
        self.slots.get(&id).map(|slot| &self.entries[slot.index()].owner)
    }

    /// Builds the snapshot of the present state. What did not change since `previous` is shared
    /// with it.
    pub(crate) fn snapshot<P: Policy>(
        &self,
        policy: &P,
        previous: Option<&Snapshot<B, P::Picker>>,
    ) -> Snapshot<B, P::Picker> {
        let roster = match previous {
            Some(p) if self.same_roster(&p.roster) => Arc::clone(&p.roster),
            _ => Arc::new(Roster {
                seats: self.entries.iter().map(Entry::seat).collect(),
                slots: self.slots.clone(),
            }),
        };
        let same_settings = |members: &[Member]| {
            self.entries.iter().zip(members).all(|(entry, member)| {
                entry.settings.weight == member.weight && entry.settings.tier == member.tier
            })
        };
        let members = match previous {
            Some(p) if Arc::ptr_eq(&p.roster, &roster) && same_settings(&p.members) => {
                Arc::clone(&p.members)
            }
            _ => self.entries.iter().map(Entry::member).collect(),
        };
        let (weights, scale) = self.weights_in_effect();
        let standings: Box<[Standing]> = self.entries.iter().map(Entry::standing).collect();

        let mut admitted: BTreeMap<u8, Vec<Slot>> = BTreeMap::new();
        for (i, standing) in standings.iter().enumerate() {
            let tier = admitted.entry(standing.tier).or_default();
            if standing.admission == Admission::New {
                tier.push(Slot::new(i as u32));
            }
        }
        // A tier that has lost its last backend is built once more, so that the policy lets go of it.
        for tier in previous.iter().flat_map(|p| p.live_tiers()) {
            admitted.entry(tier.number).or_default();
        }
        let tier = |(number, admitted): (u8, Vec<Slot>)| {
            let before = previous.and_then(|p| p.tier(number));
            let view = View::new(&members, &admitted, &weights).scaled(scale).in_tier(number);
            let picker = policy.build(&view, before.map(|tier| &tier.picker));
            Tier { number, admitted: admitted.into(), picker }
        };
        let tiers = admitted.into_iter().map(tier).collect();
        Snapshot::new(roster, members, standings, tiers, policy.refuses_without_key())
    }

    /// Each backend's weight in effect, and how many times as large as the configured ones they are.
    fn weights_in_effect(&self) -> (Vec<Weight>, u16) {
        if self.entries.iter().all(|entry| entry.finding.share == Share::FULL) {
            return (self.entries.iter().map(|entry| entry.settings.weight).collect(), 1);
        }
        let largest = self.entries.iter().map(|entry| entry.settings.weight.get()).max();
        let scale = (u16::MAX / largest.unwrap_or(1).max(1)).min(FINEST);
        let in_effect = |entry: &Entry<B>| entry.finding.share.of(entry.settings.weight, scale);
        (self.entries.iter().map(in_effect).collect(), scale)
    }

    /// Whether the present state is another than that of `snapshot`.
    pub(crate) fn differs_from<K>(&self, snapshot: &Snapshot<B, K>) -> bool {
        let same = |(i, entry): (usize, &Entry<B>)| {
            let (now, then) = (entry.standing(), &snapshot.standings[i]);
            now.admission == then.admission
                && now.reason == then.reason
                && now.share == then.share
                && now.tier == then.tier
                && entry.settings.weight == snapshot.members[i].weight
        };
        !self.same_roster(&snapshot.roster) || !self.entries.iter().enumerate().all(same)
    }

    fn same_roster(&self, roster: &Roster<B>) -> bool {
        let same = |(entry, seat): (&Entry<B>, &Seat<B>)| {
            Arc::ptr_eq(&entry.owner, &seat.owner) && entry.guarded() == seat.guarded
        };
        self.entries.len() == roster.seats.len() && self.entries.iter().zip(&roster.seats).all(same)
    }
}

/// One change of how a backend stands.
#[derive(Clone, Copy)]
pub(crate) enum Change {
    Weight(Weight),
    Admin(Admin),
    Health(Health),
    Finding(Finding),
    Limit(Option<std::num::NonZeroU32>),
    Tier(u8),
}

impl<B> Entry<B> {
    fn configure(&mut self, settings: Settings, events: &mut Vec<Event>) {
        self.change(Change::Weight(settings.weight), events);
        self.change(Change::Limit(settings.limit), events);
        self.change(Change::Tier(settings.tier), events);
    }

    fn change(&mut self, change: Change, events: &mut Vec<Event>) {
        let (id, before, settings) = (self.id(), self.admission(), self.settings);
        let reason_before = self.reason();
        match change {
            Change::Weight(weight) => self.settings.weight = weight,
            Change::Admin(admin) => self.admin = admin,
            Change::Health(health) => self.finding.health = health,
            Change::Finding(finding) => {
                let passive = self.finding.passive;
                self.finding = finding;
                if finding.passive != passive {
                    self.set_gate();
                }
            }
            Change::Tier(tier) => self.settings.tier = tier,
            Change::Limit(limit) => {
                self.settings.limit = limit;
                self.owner.0.places.set_limit(limit);
            }
        }
        let now = self.settings;
        if now.weight != settings.weight {
            events.push(Event::WeightChanged { id, from: settings.weight, to: now.weight });
        }
        if now.limit != settings.limit {
            events.push(Event::LimitChanged { id, from: settings.limit, to: now.limit });
        }
        if now.tier != settings.tier {
            events.push(Event::Moved { id, from: settings.tier, to: now.tier });
        }
        let (to, reason) = (self.admission(), self.reason());
        // One that was out and is found dead is told again: whoever waits for it need wait no longer.
        if to != before || (to == Admission::Never && reason != reason_before) {
            events.push(Event::AdmissionChanged { id, from: before, to, reason });
        }
    }

    /// A backend on trial lets one request through; and whoever comes back starts anew.
    fn set_gate(&self) {
        let Some(watched) = &self.owner.0.watched else { return };
        match self.finding.passive {
            Passive::Clear => {
                watched.window.end_runs();
                watched.gate.open();
            }
            Passive::Trial => watched.gate.arm(),
            Passive::Ejected => watched.gate.shut(),
        }
    }
}
