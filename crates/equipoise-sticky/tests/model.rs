//! Both tables beside a naive one: a `BTreeMap` that keeps whole seconds.
//!
//! All times are multiples of ten seconds, so that ticks never decide: what is idle for 60 seconds
//! lives, and what is idle for 70 is dead.

use std::collections::BTreeMap;
use std::time::Duration;

use equipoise_core::{BackendId, Instant};
use equipoise_sticky::{Counters, Session, SessionHasher, SessionKey, Table, TableConfig};
use proptest::prelude::*;

const IDLE: u64 = 60;
const LIFETIME: u64 = 600;

/// One call, or time that passes.
#[derive(Clone, Copy, Debug)]
enum Op {
    Lookup(u8),
    Bind(u8, u8),
    Rebind(u8, u8, u8),
    UnbindSession(u8),
    UnbindBackend(u8),
    Sweep(usize),
    /// Everything goes out and in again.
    Reimport,
    /// Everything goes out, and into a new table.
    Move,
    /// Tens of seconds.
    Wait(u64),
    /// The clock is set back by tens of seconds, but never by more than the idle time in all.
    Back(u64),
}

fn op() -> impl Strategy<Value = Op> {
    // Few keys and backends, so that they meet.
    let (key, id) = (0..40_u8, 0..6_u8);
    let keys = (key.clone(), id.clone(), id.clone());
    prop_oneof![
        6 => key.clone().prop_map(Op::Lookup),
        10 => (key.clone(), id.clone()).prop_map(|(key, id)| Op::Bind(key, id)),
        5 => keys.prop_map(|(key, from, to)| Op::Rebind(key, from, to)),
        2 => key.prop_map(Op::UnbindSession),
        1 => id.prop_map(Op::UnbindBackend),
        1 => (0..200_usize).prop_map(Op::Sweep),
        1 => Just(Op::Reimport),
        1 => Just(Op::Move),
        5 => (0..4_u64).prop_map(Op::Wait),
        1 => (0..70_u64).prop_map(Op::Wait),
        1 => (0..7_u64).prop_map(Op::Back),
    ]
}

fn config() -> impl Strategy<Value = TableConfig> {
    let caps = prop_oneof![Just(1_usize), 2..30_usize, Just(1_000)];
    (any::<bool>(), caps, prop_oneof![1..5_u16, Just(64)]).prop_map(
        |(lives, sessions, backends)| {
            let config = TableConfig::builder().idle(Duration::from_secs(IDLE));
            let config = config.max_sessions(sessions).max_backends(backends);
            let lifetime = Duration::from_secs(LIFETIME);
            if lives { config.lifetime(lifetime).build() } else { config.build() }.unwrap()
        },
    )
}

/// The verbs of both tables.
trait Verbs: Sized {
    fn make(config: &TableConfig) -> Self;
    fn lookup(&self, key: &SessionKey, now: Instant) -> Option<BackendId>;
    fn pin(
        &mut self,
        key: &SessionKey,
        from: Option<BackendId>,
        to: BackendId,
        now: Instant,
    ) -> BackendId;
    fn unbind_session(&mut self, key: &SessionKey, now: Instant) -> Option<BackendId>;
    fn unbind_backend(&mut self, id: BackendId) -> usize;
    fn sweep(&mut self, now: Instant, budget: usize) -> usize;
    fn export(&self, now: Instant) -> Vec<Session>;
    fn import(&mut self, sessions: &[Session], now: Instant);
    fn len(&self) -> usize;
    fn sessions_of(&self, id: BackendId) -> usize;
    fn counters(&self) -> Counters;
}

macro_rules! verbs {
    ($table:ty) => {
        impl Verbs for $table {
            fn make(config: &TableConfig) -> Self {
                <$table>::new(config)
            }
            fn lookup(&self, key: &SessionKey, now: Instant) -> Option<BackendId> {
                <$table>::lookup(self, key, now)
            }
            fn pin(
                &mut self,
                key: &SessionKey,
                from: Option<BackendId>,
                to: BackendId,
                now: Instant,
            ) -> BackendId {
                match from {
                    None => <$table>::bind(self, key, to, now),
                    Some(from) => <$table>::rebind(self, key, from, to, now),
                }
            }
            fn unbind_session(&mut self, key: &SessionKey, now: Instant) -> Option<BackendId> {
                <$table>::unbind_session(self, key, now)
            }
            fn unbind_backend(&mut self, id: BackendId) -> usize {
                <$table>::unbind_backend(self, id)
            }
            fn sweep(&mut self, now: Instant, budget: usize) -> usize {
                <$table>::sweep(self, now, budget).removed
            }
            fn export(&self, now: Instant) -> Vec<Session> {
                <$table>::iter(self, now).collect()
            }
            fn import(&mut self, sessions: &[Session], now: Instant) {
                <$table>::import(self, sessions.iter().copied(), now);
            }
            fn len(&self) -> usize {
                <$table>::len(self)
            }
            fn sessions_of(&self, id: BackendId) -> usize {
                <$table>::sessions_of(self, id)
            }
            fn counters(&self) -> Counters {
                <$table>::counters(self)
            }
        }
    };
}

verbs!(Table);
#[cfg(feature = "std")]
verbs!(equipoise_sticky::ShardedTable);

/// A session as the naive table has it.
#[derive(Clone, Copy, Debug)]
struct Pinned {
    id: u8,
    used: u64,
    born: u64,
}

struct Model {
    sessions: BTreeMap<u8, Pinned>,
    lifetime: u64,
    now: u64,
    /// The latest time there was.
    latest: u64,
}

impl Model {
    fn drop_dead(&mut self) {
        let (now, lifetime) = (self.now, self.lifetime);
        self.sessions.retain(|_, pinned| {
            now.saturating_sub(pinned.used) <= IDLE && now.saturating_sub(pinned.born) <= lifetime
        });
    }

    /// The backend of a session, which is used.
    fn lookup(&mut self, key: u8) -> Option<BackendId> {
        let pinned = self.sessions.get_mut(&key)?;
        pinned.used = pinned.used.max(self.now);
        Some(backend(pinned.id))
    }

    fn pin(&mut self, key: u8, from: Option<u8>, to: u8) -> BackendId {
        match self.sessions.get(&key) {
            Some(pinned) if Some(pinned.id) != from || pinned.id == to => {}
            _ => _ = self.sessions.insert(key, Pinned { id: to, used: self.now, born: self.now }),
        }
        self.lookup(key).unwrap()
    }

    /// Nothing is of the future any more.
    fn forget_the_future(&mut self) {
        for pinned in self.sessions.values_mut() {
            pinned.used = pinned.used.min(self.now);
            pinned.born = pinned.born.min(self.now);
        }
    }
}

fn key(number: u8) -> SessionKey {
    SessionHasher::new([5; 16]).key(&[number]).unwrap()
}

fn backend(number: u8) -> BackendId {
    BackendId::new(number.into())
}

fn sorted(mut sessions: Vec<Session>) -> Vec<Session> {
    sessions.sort_by_key(|session| session.key);
    sessions
}

/// Runs the calls on the table and on the naive one, and compares all sessions after each.
fn run<T: Verbs>(config: &TableConfig, ops: &[Op]) -> Result<(), TestCaseError> {
    let keys: BTreeMap<SessionKey, u8> = (0..40).map(|number| (key(number), number)).collect();
    let mut table = T::make(config);
    let lifetime = config.lifetime().map_or(u64::MAX, |lifetime| lifetime.as_secs());
    let mut model = Model { sessions: BTreeMap::new(), lifetime, now: 10_000, latest: 10_000 };
    for &op in ops {
        model.drop_dead();
        let now = at(model.now);
        let before = table.counters();
        // The one that must not be evicted in this step.
        let mut pinned = None;
        match op {
            Op::Wait(tens) => {
                model.now += 10 * tens;
                model.latest = model.latest.max(model.now);
            }
            Op::Back(tens) => {
                // What is dead might live again, if nobody has removed it.
                while table.sweep(now, 1_000) > 0 {}
                model.now = (model.now - 10 * tens).max(model.latest - IDLE);
            }
            Op::Lookup(number) => {
                prop_assert_eq!(table.lookup(&key(number), now), model.lookup(number));
            }
            Op::Bind(number, to) => pinned = Some((number, None, to)),
            Op::Rebind(number, from, to) => pinned = Some((number, Some(from), to)),
            Op::UnbindSession(number) => {
                let expected = model.sessions.remove(&number).map(|pinned| backend(pinned.id));
                prop_assert_eq!(table.unbind_session(&key(number), now), expected);
            }
            Op::UnbindBackend(id) => {
                let all = model.sessions.len();
                model.sessions.retain(|_, pinned| pinned.id != id);
                prop_assert!(table.unbind_backend(backend(id)) >= all - model.sessions.len());
                prop_assert_eq!(table.sessions_of(backend(id)), 0);
            }
            Op::Sweep(budget) => {
                let all = table.len();
                let removed = table.sweep(now, budget);
                prop_assert!(removed <= budget);
                prop_assert_eq!(table.len() + removed, all);
            }
            Op::Reimport => {
                let exported = table.export(now);
                table.import(&exported, now);
                prop_assert_eq!(sorted(table.export(now)), sorted(exported));
            }
            Op::Move => {
                let exported = table.export(now);
                table = T::make(config);
                table.import(&exported, now);
                prop_assert_eq!(sorted(table.export(now)), sorted(exported));
                model.forget_the_future();
            }
        }
        if let Some((number, from, to)) = pinned {
            let from_id = from.map(backend);
            let answer = table.pin(&key(number), from_id, backend(to), now);
            if table.counters().refused > before.refused {
                prop_assert!(config.max_backends() < 6);
                prop_assert_eq!(answer, model.lookup(number).unwrap_or(backend(to)));
                pinned = None;
            } else {
                prop_assert_eq!(answer, model.pin(number, from, to));
            }
        }
        model.drop_dead();
        let now = at(model.now);
        let held: BTreeMap<u8, BackendId> =
            table.export(now).iter().map(|session| (keys[&session.key], session.backend)).collect();
        for (number, &id) in &held {
            let expected = model.sessions.get(number).map(|pinned| backend(pinned.id));
            prop_assert_eq!(Some(id), expected, "{} is there", number);
        }
        let missing = model.sessions.len() - held.len();
        model.sessions.retain(|number, _| held.contains_key(number));
        let after = table.counters();
        let evicted = after.evicted.saturating_sub(before.evicted);
        prop_assert_eq!(missing as u64, evicted, "whoever is not there was evicted");
        // It was full; and what was bound may have swept after that.
        let is_full = table.len() == config.max_sessions() || after.expired > before.expired;
        prop_assert!(evicted == 0 || is_full);
        prop_assert!(pinned.is_none_or(|(number, ..)| held.contains_key(&number)));

        prop_assert!(table.len() <= config.max_sessions());
        let counted: usize = (0..6).map(|id| table.sessions_of(backend(id))).sum();
        prop_assert!(held.len() <= counted && counted <= table.len());
    }
    while table.sweep(at(model.now + 10_000), 1_000) > 0 {}
    prop_assert_eq!(table.len(), 0);
    Ok(())
}

fn at(seconds: u64) -> Instant {
    Instant::from_nanos(seconds * 1_000_000_000)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn a_table_is_what_a_naive_one_is(
        config in config(),
        ops in prop::collection::vec(op(), 1..150),
    ) {
        run::<Table>(&config, &ops)?;
    }

    #[cfg(feature = "std")]
    #[test]
    fn a_sharded_table_is_what_a_naive_one_is(
        config in config(),
        ops in prop::collection::vec(op(), 1..150),
    ) {
        run::<equipoise_sticky::ShardedTable>(&config, &ops)?;
    }
}
