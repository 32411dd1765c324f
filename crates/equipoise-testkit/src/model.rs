//! A pool beside a naive model of one: any sequence of operations, checked after each.
//!
//! The property tests and the fuzzer both drive it, with `(Params, Vec<Op>)`.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::num::NonZeroU32;

use equipoise_core::{
    Admin, Admission, BackendId, Condition, Drain, Finding, Health, Instant, Outcome, Passive,
    Policy, Reason, Runs, Share, Weight,
};
use equipoise_pool::{Event, Lease, PickError, Pool, Reader, Request, Spec, UpdateError};

/// What the pool is made with.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct Params {
    /// The pool's seed.
    pub seed: u64,
    /// Whether picks go through the pool itself, or through a reader.
    pub shared: bool,
}

/// One operation. Backends are numbered; the numbers wrap around, so every value is valid.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[allow(missing_docs, reason = "they are the methods of the pool")]
pub enum Op {
    Update(Vec<(u8, u16, u8, u8)>),
    Insert { id: u8, weight: u16, tier: u8, limit: u8 },
    Remove { id: u8 },
    SetWeight { id: u8, weight: u16 },
    SetHealth { id: u8, up: bool },
    SetAdmin { id: u8, admin: u8 },
    Apply(Vec<(u8, Found)>),
    Pick { pin: Option<u8>, tried: Vec<u8> },
    Explain { pin: Option<u8>, tried: Vec<u8> },
    Finish { lease: u16, nanos: u32, failed: bool },
    Drop { lease: u16 },
}

/// What is found of a backend, from numbers that are all valid.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[allow(missing_docs, reason = "they are the fields of a finding")]
pub struct Found {
    pub health: u8,
    pub passive: u8,
    pub drain: bool,
    pub share: u16,
}

impl Found {
    fn finding(self) -> Finding {
        // Mostly well, or there would be little to pick.
        let health = [Health::Up, Health::Up, Health::Pending, Health::Down];
        let passive = [Passive::Clear, Passive::Clear, Passive::Trial, Passive::Ejected];
        Finding {
            health: health[usize::from(self.health % 4)],
            passive: passive[usize::from(self.passive % 4)],
            drain: if self.drain { Drain::Wanted } else { Drain::No },
            share: Share::from_units(u32::from(self.share) + 1),
        }
    }
}

/// What the model knows of a backend.
#[derive(Clone, Copy, Debug)]
struct Backend {
    weight: Weight,
    tier: u8,
    limit: Option<NonZeroU32>,
    admin: Admin,
    finding: Finding,
    /// How many trials it has had, and whether the last one is decided.
    trials: usize,
    decided: bool,
    /// Tells two backends of the same id apart, of which one was removed.
    born: usize,
}

impl Backend {
    fn condition(&self) -> Condition {
        let Finding { health, passive, drain, share: _ } = self.finding;
        Condition { admin: self.admin, health, passive, drain, weight: self.weight }
    }

    fn found(&mut self, finding: Finding) {
        if finding.passive != self.finding.passive {
            self.trials += usize::from(finding.passive == Passive::Trial);
            self.decided = false;
        }
        self.finding = finding;
    }

    fn admission(&self) -> Admission {
        Admission::of(&self.condition())
    }
}

/// A caller's backend: who it is, and which of that name.
type Value = (u8, usize);

/// A request in flight.
struct Held {
    lease: Lease<Value>,
    /// The number of the trial that it is, if it is one.
    trial: Option<usize>,
}

struct Model<P: Policy> {
    pool: Pool<Value, P>,
    reader: Reader<Value, P>,
    watched: bool,
    backends: BTreeMap<u8, Backend>,
    leases: Vec<Held>,
    /// The request that the last operation ended with an outcome, and whether it failed.
    ended: Option<(Value, bool)>,
    /// The trial that the last operation decided.
    verdict: Option<(BackendId, bool)>,
    now: Instant,
    born: usize,
}

/// Applies the operations to a pool of this policy and to the model. A pool with an even seed is
/// watched.
///
/// # Panics
/// Where the two differ.
pub fn run<P: Policy>(policy: P, params: Params, ops: &[Op]) {
    let watched = params.seed.is_multiple_of(2);
    let pool = if watched {
        Pool::watched(policy, params.seed, Runs::default(), || {})
    } else {
        Pool::new(policy, params.seed)
    };
    let mut model = Model {
        reader: pool.reader(),
        pool,
        watched,
        backends: BTreeMap::new(),
        leases: Vec::new(),
        ended: None,
        verdict: None,
        now: Instant::ZERO,
        born: 0,
    };
    for op in ops {
        model.apply(op, params.shared);
        model.check();
    }
    model.leases.clear();
    model.check();
}

/// How many different backends there can be.
const IDS: u8 = 24;

fn id(number: u8) -> BackendId {
    BackendId::new(u64::from(number % IDS))
}

fn limit(limit: u8) -> Option<NonZeroU32> {
    // A third of the backends has a limit, and it is small.
    NonZeroU32::new(u32::from(if limit.is_multiple_of(3) { limit % 8 } else { 0 }))
}

impl<P: Policy> Model<P> {
    fn apply(&mut self, op: &Op, shared: bool) {
        match op {
            Op::Update(specs) => self.update(specs),
            &Op::Insert { id, weight, tier, limit } => self.insert(id, weight, tier, limit),
            &Op::Remove { id: number } => {
                let result = self.pool.remove(id(number));
                match self.backends.remove(&(number % IDS)) {
                    None => assert_eq!(result, Err(UpdateError::UnknownId(id(number)))),
                    Some(backend) => {
                        let in_flight = self.in_flight(number % IDS, backend.born);
                        let removed = Event::Removed { id: id(number), in_flight };
                        assert!(result.unwrap().contains(&removed));
                    }
                }
            }
            &Op::SetWeight { id: number, weight } => {
                let result = self.pool.set_weight(id(number), Weight::new(weight));
                self.changed(number, result, |backend| backend.weight = Weight::new(weight));
            }
            &Op::SetHealth { id: number, up } => {
                let health = if up { Health::Up } else { Health::Down };
                let result = self.pool.set_health(id(number), health);
                self.changed(number, result, |backend| backend.finding.health = health);
            }
            &Op::SetAdmin { id: number, admin } => {
                let admin =
                    [Admin::Enabled, Admin::Draining, Admin::Disabled][usize::from(admin % 3)];
                let result = self.pool.set_admin(id(number), admin);
                self.changed(number, result, |backend| backend.admin = admin);
            }
            Op::Apply(found) => self.found(found),
            Op::Pick { pin, tried } => self.pick(*pin, tried, shared, false),
            Op::Explain { pin, tried } => self.pick(*pin, tried, shared, true),
            &Op::Finish { lease, nanos, failed } => {
                self.now = self.now + std::time::Duration::from_nanos(nanos.into());
                if !self.leases.is_empty() {
                    let held = self.leases.swap_remove(usize::from(lease) % self.leases.len());
                    self.finish(held, failed);
                }
            }
            &Op::Drop { lease } => {
                if !self.leases.is_empty() {
                    drop(self.leases.swap_remove(usize::from(lease) % self.leases.len()));
                }
            }
        }
    }

    fn spec(&mut self, number: u8, weight: u16, tier: u8, max: u8) -> (Spec<Value>, Backend) {
        self.born += 1;
        let backend = Backend {
            weight: Weight::new(weight),
            tier: tier % 3,
            limit: limit(max),
            admin: Admin::Enabled,
            finding: Finding::UNKNOWN,
            trials: 0,
            decided: false,
            born: self.born,
        };
        let mut spec = Spec::new(id(number), (number % IDS, self.born));
        spec = spec.weight(backend.weight).tier(backend.tier);
        if let Some(limit) = backend.limit {
            spec = spec.max_in_flight(limit);
        }
        (spec, backend)
    }

    fn insert(&mut self, number: u8, weight: u16, tier: u8, limit: u8) {
        let (spec, backend) = self.spec(number, weight, tier, limit);
        let result = self.pool.insert(spec);
        match self.backends.entry(number % IDS) {
            Entry::Occupied(_) => {
                assert_eq!(result, Err(UpdateError::DuplicateId(id(number))));
            }
            Entry::Vacant(entry) => {
                assert!(result.is_ok());
                entry.insert(backend);
            }
        }
    }

    fn update(&mut self, specs: &[(u8, u16, u8, u8)]) {
        let before = self.backends.clone();
        let mut after = BTreeMap::new();
        let mut list = Vec::new();
        let mut duplicate = false;
        for &(number, weight, tier, limit) in specs {
            let (spec, mut backend) = self.spec(number, weight, tier, limit);
            list.push(spec);
            if let Some(old) = before.get(&(number % IDS)) {
                // Who stays keeps state and value, and takes on the settings.
                let Backend { weight, tier, limit, .. } = backend;
                backend = Backend { weight, tier, limit, ..*old };
            }
            duplicate |= after.insert(number % IDS, backend).is_some();
        }
        let result = self.pool.update(list);
        assert_eq!(result.is_err(), duplicate);
        if !duplicate {
            self.backends = after;
        }
    }

    fn found(&mut self, found: &[(u8, Found)]) {
        let findings = found.iter().map(|&(number, found)| (id(number), found.finding()));
        let mut events = self.pool.apply(findings);
        let mut expected = Vec::new();
        for &(number, found) in found {
            let Some(backend) = self.backends.get_mut(&(number % IDS)) else { continue };
            let (from, before) = (backend.admission(), Reason::of(&backend.condition()));
            backend.found(found.finding());
            let (to, reason) = (backend.admission(), Reason::of(&backend.condition()));
            if from != to || (to == Admission::Never && before != reason) {
                expected.push(Event::AdmissionChanged { id: id(number), from, to, reason });
            }
        }
        events.retain(|event| !matches!(event, Event::TierChanged { .. }));
        assert_eq!(events, expected);
    }

    fn finish(&mut self, held: Held, failed: bool) {
        let (number, born) = *held.lease;
        self.ended = Some(((number, born), failed));
        if let Some(backend) = self.backends.get_mut(&number)
            && backend.born == born
            && backend.finding.passive == Passive::Trial
            && held.trial == Some(backend.trials)
        {
            backend.decided = true;
            self.verdict = Some((id(number), !failed));
        }
        let failure = Outcome::Failure(equipoise_core::Failure::Response(500));
        held.lease.finish(self.now, if failed { failure } else { Outcome::Success });
    }

    fn changed(
        &mut self,
        number: u8,
        result: Result<Vec<Event>, UpdateError>,
        change: impl FnOnce(&mut Backend),
    ) {
        match self.backends.get_mut(&(number % IDS)) {
            None => assert_eq!(result, Err(UpdateError::UnknownId(id(number)))),
            Some(backend) => {
                let (from, before) = (backend.admission(), Reason::of(&backend.condition()));
                change(backend);
                let (to, reason) = (backend.admission(), Reason::of(&backend.condition()));
                let event = Event::AdmissionChanged { id: id(number), from, to, reason };
                let told = from != to || (to == Admission::Never && before != reason);
                assert_eq!(result.unwrap().contains(&event), told);
            }
        }
    }

    fn pick(&mut self, pin: Option<u8>, tried: &[u8], shared: bool, explained: bool) {
        let tried: Vec<u8> = tried.iter().map(|n| n % IDS).collect();
        let ids: Vec<BackendId> = tried.iter().map(|&n| id(n)).collect();
        let mut request = Request::new().at(self.now).avoiding(&ids);
        if let Some(pin) = pin {
            request = request.pinned_to(id(pin));
        }
        let result = match (explained, shared) {
            (false, true) => self.pool.pick(&request),
            (false, false) => self.reader.pick(&request),
            (true, _) => {
                let (result, why) = self.reader.explain(&request);
                assert_eq!(why.picked, result.as_ref().ok().map(Lease::id));
                let excluded = why.excluded.len() + usize::from(why.picked.is_some());
                assert!(excluded <= self.backends.len(), "{why}");
                result
            }
        };
        match result {
            Ok(lease) => {
                self.check_choice(&lease, pin, &tried);
                let backend = &self.backends[&lease.0];
                let on_trial = self.watched && backend.finding.passive == Passive::Trial;
                self.leases.push(Held { trial: on_trial.then_some(backend.trials), lease });
            }
            Err(error) => {
                assert_eq!(self.choices(&tried), Vec::<u8>::new(), "{error}");
                let admitted = self.backends.values().any(|b| b.admission() == Admission::New);
                match error {
                    PickError::NoBackends => assert!(self.backends.is_empty()),
                    PickError::NoneAdmitted => assert!(!self.backends.is_empty() && !admitted),
                    _ => assert!(admitted, "{error}"),
                }
            }
        }
    }

    /// The backends that the policy may choose among: of the best tier that has any.
    fn choices(&self, tried: &[u8]) -> Vec<u8> {
        let eligible = |(number, backend): &(&u8, &Backend)| {
            backend.admission() == Admission::New
                && !tried.contains(number)
                && self.has_place(**number)
        };
        let eligible: Vec<_> = self.backends.iter().filter(eligible).collect();
        let best = eligible.iter().map(|(_, b)| b.tier).min();
        eligible.iter().filter(|(_, b)| Some(b.tier) == best).map(|(n, _)| **n).collect()
    }

    fn has_place(&self, number: u8) -> bool {
        let backend = &self.backends[&number];
        // Requests from before there was a limit are not counted, so there may be more places.
        backend.limit.is_none_or(|limit| self.in_flight(number, backend.born) < limit.get())
            && self.gate_is_open(number)
    }

    /// Nobody else is on trial there, and the trial goes on.
    fn gate_is_open(&self, number: u8) -> bool {
        let backend = &self.backends[&number];
        let value = (number, backend.born);
        let is_taken = self.leases.iter().any(|held| *held.lease == value && held.trial.is_some());
        let on_trial = self.watched && backend.finding.passive == Passive::Trial;
        !on_trial || (!is_taken && !backend.decided)
    }

    fn check_choice(&self, lease: &Lease<Value>, pin: Option<u8>, tried: &[u8]) {
        let (number, born) = **lease;
        assert_eq!(self.backends[&number].born, born, "{number} was replaced");
        assert!(!tried.contains(&number));
        assert!(self.gate_is_open(number), "{number} has a trial already, or had it");
        let pinned = pin.map(|pin| pin % IDS).filter(|pin| {
            let admission = self.backends.get(pin).map(Backend::admission);
            admission.is_some_and(|a| a != Admission::Never) && !tried.contains(pin)
        });
        if let Some(pin) = pinned.filter(|&pin| self.has_place(pin)) {
            assert_eq!(number, pin);
        } else if !self.backends.values().any(|b| b.limit.is_some()) {
            assert!(self.choices(tried).contains(&number), "{number}");
        } else {
            let admitted = self.backends[&number].admission() == Admission::New;
            assert!(admitted || pinned == Some(number), "{number} takes no new requests");
        }
    }

    fn in_flight(&self, number: u8, born: usize) -> u32 {
        self.leases.iter().filter(|held| *held.lease == (number, born)).count() as u32
    }

    /// The pool says of itself what the model says of it.
    fn check(&mut self) {
        self.check_outcomes();
        let statuses = self.pool.backends();
        assert_eq!(statuses.len(), self.backends.len());
        for status in statuses {
            let (&number, backend) = self
                .backends
                .iter()
                .find(|(n, _)| id(**n) == status.id)
                .expect("it is in the model");
            assert_eq!(status.weight, backend.weight);
            assert_eq!(status.tier, backend.tier);
            assert_eq!(status.max_in_flight, backend.limit);
            assert_eq!((status.admin, status.finding), (backend.admin, backend.finding));
            assert_eq!(status.admission, backend.admission());
            assert_eq!(status.in_flight, self.in_flight(number, backend.born));
        }
    }

    /// The last operation's outcome is in a tally, and its verdict called.
    fn check_outcomes(&mut self) {
        let (ended, verdict) = (self.ended.take(), self.verdict.take());
        let mut tallies = Vec::new();
        self.pool.take_tallies(&mut tallies);
        assert_eq!(tallies.len(), if self.watched { self.backends.len() } else { 0 });
        for (of, tally) in tallies {
            let ended = ended.filter(|((number, born), _)| {
                id(*number) == of && self.backends.get(number).is_some_and(|b| b.born == *born)
            });
            let expected = ended.map_or((0, 0), |(_, failed)| if failed { (0, 1) } else { (1, 0) });
            assert_eq!((tally.successes, tally.upstream_failures), expected);
            assert_eq!(tally.local_failures, 0);
        }
        let alarms: Vec<_> =
            self.pool.take_alarms().iter().map(|alarm| (alarm.id, alarm.trial)).collect();
        let expected: Vec<_> = verdict.into_iter().map(|(id, passed)| (id, Some(passed))).collect();
        assert_eq!(alarms, expected);
    }
}
