//! A pool's sessions at work: what a request brought, who takes it, and what is remembered.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use equipoise_core::{Admission, BackendId, BoxPolicy, Instant, Persistence, Pin, PinOutcome};
use equipoise_pool::{Lease, PickError, Pool, Request};
use equipoise_sticky::SessionKey;
use equipoise_sticky::surplus::Surplus;
use parking_lot::Mutex;

use super::memory::Memory;

/// What a pool knows of its sessions.
#[derive(Debug)]
pub struct Pins {
    persistence: Persistence,
    /// `None` where the client has it all, in a token.
    memory: Option<Memory>,
    surplus: Option<Mutex<Surplus>>,
    outcomes: [AtomicU64; PinOutcome::ALL.len()],
}

/// What a request brought of its session.
#[derive(Clone, Copy, Default, Debug)]
pub struct Brought {
    /// To whom it is pinned, if it says so itself.
    pub pin: Pin,
    /// What tells its session apart from others, if a table has to be asked to whom it is pinned.
    pub key: Option<SessionKey>,
    /// Whether the session is bound to whoever takes the request. It is not where the application is to
    /// say first that it has a session.
    pub binds: bool,
    /// A number that is the session's own.
    pub number: u64,
    /// How long the session has asked nothing, at least, if it says so itself.
    pub idle: Duration,
}

/// A request's session, while a backend is looked for.
#[derive(Debug)]
pub struct Session<'a> {
    pins: &'a Pins,
    brought: Brought,
    pin: Pin,
    idle: Duration,
    /// Who has it in the table now.
    bound: Option<BackendId>,
    /// Whether it was looked up.
    known: bool,
    outcome: Option<PinOutcome>,
}

impl Brought {
    /// Something that a table knows, or will.
    pub fn keyed(key: Option<SessionKey>, binds: bool) -> Self {
        let number = key.map_or(0, |key| u64::from_le_bytes(*key.as_bytes()));
        Self { key, binds, number, ..Self::default() }
    }
}

impl Pins {
    pub(super) fn new(
        persistence: Persistence,
        memory: Option<Memory>,
        surplus: Option<Surplus>,
    ) -> Self {
        let surplus = surplus.map(Mutex::new);
        Self { persistence, memory, surplus, outcomes: Default::default() }
    }

    /// Begins with what a request brought.
    pub fn session(&self, brought: Brought) -> Session<'_> {
        let Brought { pin, idle, .. } = brought;
        Session { pins: self, brought, pin, idle, bound: None, known: false, outcome: None }
    }

    /// How many requests came to what.
    pub fn outcomes(&self) -> [(PinOutcome, u64); PinOutcome::ALL.len()] {
        std::array::from_fn(|n| (PinOutcome::ALL[n], self.outcomes[n].load(Relaxed)))
    }

    /// The table, if there is one.
    pub const fn memory(&self) -> Option<&Memory> {
        self.memory.as_ref()
    }

    /// The application has begun a session at this backend.
    pub async fn learn(&self, key: &SessionKey, backend: BackendId, now: Instant) {
        let Some(memory) = &self.memory else { return };
        // An application may give it with each answer.
        if memory.table().lookup(key, now) == Some(backend) {
            return;
        }
        let winner = memory.bind(key, backend, now).await;
        if winner != backend {
            // An application that gives an id a second time knows where it is.
            memory.rebind(key, winner, backend, now).await;
        }
    }

    fn count(&self, outcome: PinOutcome) {
        let index = PinOutcome::ALL.iter().position(|one| *one == outcome);
        if let Some(counter) = index.and_then(|index| self.outcomes.get(index)) {
            counter.fetch_add(1, Relaxed);
        }
    }

    /// Whether the session may move away from its backend now, and to whom it should not move.
    fn surplus<B>(
        &self,
        pool: &Pool<B, BoxPolicy>,
        session: &Session<'_>,
        now: Instant,
    ) -> Option<Vec<BackendId>>
    where
        B: Send + Sync + 'static,
    {
        let (surplus, Pin::To(backend)) = (self.surplus.as_ref()?, session.pin) else {
            return None;
        };
        let mut surplus = surplus.lock();
        if surplus.is_due(now) {
            // Backups serve only where nobody else does, and have no share beside the others.
            let mut members = pool.backends();
            members.retain(|status| status.admission == Admission::New);
            let tier = members.iter().map(|status| status.tier).min();
            members.retain(|status| Some(status.tier) == tier);
            let members = members.iter().map(|status| (status.id, status.weight));
            surplus.poll(now, members);
        }
        let moves = surplus.may_move(backend, session.brought.number, session.idle);
        let others = surplus.above_share().iter().filter(|other| **other != backend);
        moves.then(|| others.copied().collect())
    }

    fn on_request(&self, backend: BackendId) {
        if let Some(surplus) = &self.surplus {
            surplus.lock().on_request(backend);
        }
    }
}

impl Session<'_> {
    /// Picks a backend for the request, and remembers it. To be called again if it could not be
    /// reached, with a request that has tried it.
    ///
    /// # Errors
    /// [`PickError`]; the session is as it was.
    pub async fn pick<B: Send + Sync + 'static>(
        &mut self,
        pool: &Pool<B, BoxPolicy>,
        request: &Request<'_>,
    ) -> Result<Lease<B>, PickError> {
        self.look_up(request.now()).await;
        let picked = self.pick_and_bind(pool, request).await;
        match &picked {
            Ok(lease) => {
                let outcome = PinOutcome::of(self.pin, lease.id(), lease.visits());
                self.outcome = Some(outcome);
            }
            Err(PickError::Pinned(_)) => self.outcome = Some(PinOutcome::Refused),
            Err(_) => {}
        }
        picked
    }

    async fn look_up(&mut self, now: Instant) {
        let (Some(memory), Some(key), false) = (&self.pins.memory, self.brought.key, self.known)
        else {
            return;
        };
        self.known = true;
        if let Some(found) = memory.lookup(&key, now).await {
            self.pin = Pin::To(found.backend);
            self.idle = found.idle;
            self.bound = Some(found.backend);
        }
    }

    async fn pick_and_bind<B: Send + Sync + 'static>(
        &mut self,
        pool: &Pool<B, BoxPolicy>,
        request: &Request<'_>,
    ) -> Result<Lease<B>, PickError> {
        let now = request.now();
        let mut asked = request.persisting(self.pins.persistence);
        if let Pin::To(backend) = self.pin {
            asked = asked.pinned_to(backend);
        }
        let moved = match self.pins.surplus(pool, self, now) {
            Some(above_share) if request.tried().is_empty() => {
                pool.pick(&asked.in_surplus(true).avoiding(&above_share)).ok()
            }
            _ => None,
        };
        // Who has less than its share may be out: that is no reason to refuse the request.
        let lease = moved.map_or_else(|| pool.pick(&asked), Ok)?;
        self.bind(pool, request, lease).await
    }

    /// Remembers who has it. If another request of the session was quicker, this one follows, if it can.
    async fn bind<B: Send + Sync + 'static>(
        &mut self,
        pool: &Pool<B, BoxPolicy>,
        request: &Request<'_>,
        lease: Lease<B>,
    ) -> Result<Lease<B>, PickError> {
        let (Some(memory), Some(key)) = (&self.pins.memory, self.brought.key) else {
            return Ok(lease);
        };
        // A session that a table knows moves, whoever is to say that it begins.
        let binds = self.brought.binds || self.bound.is_some();
        if !binds || lease.visits() || self.bound == Some(lease.id()) {
            return Ok(lease);
        }
        let (now, id) = (request.now(), lease.id());
        let winner = match self.bound {
            None => memory.bind(&key, id, now).await,
            Some(from) => memory.rebind(&key, from, id, now).await,
        };
        self.bound = Some(winner);
        if winner == id {
            return Ok(lease);
        }
        let followed = pool.pick(&request.persisting(self.pins.persistence).pinned_to(winner));
        self.pin = Pin::To(winner);
        match followed {
            Ok(followed) if followed.id() == winner => Ok(followed),
            Err(refused @ PickError::Pinned(_)) => Err(refused),
            _ => Ok(lease.visiting()),
        }
    }

    /// Whether it brought what tells its session apart in a table.
    pub const fn has_key(&self) -> bool {
        self.brought.key.is_some()
    }

    /// Whether this is what tells it apart.
    pub fn has(&self, key: &SessionKey) -> bool {
        self.brought.key.as_ref() == Some(key)
    }

    /// What has come of its session so far.
    pub const fn outcome(&self) -> Option<PinOutcome> {
        self.outcome
    }

    /// The request is over with that: says what came of its session, and counts it and whom it went to.
    /// If nobody took it, nothing came of it but perhaps a refusal.
    pub fn settle(&self, taken_by: Option<BackendId>) -> Option<PinOutcome> {
        let is_refusal = |outcome: &PinOutcome| *outcome == PinOutcome::Refused;
        let outcome = self.outcome.filter(|outcome| is_refusal(outcome) == taken_by.is_none())?;
        self.pins.count(outcome);
        if let Some(backend) = taken_by {
            self.pins.on_request(backend);
        }
        Some(outcome)
    }

    /// The application has ended the session.
    pub async fn forget(&self, now: Instant) {
        if let (Some(memory), Some(key)) = (&self.pins.memory, &self.brought.key) {
            memory.unbind(key, now).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use equipoise_algorithms::RoundRobin;
    use equipoise_core::Admin;
    use equipoise_pool::Spec;
    use equipoise_sticky::surplus::SurplusConfig;
    use equipoise_sticky::{ShardedTable, TableConfig};

    use super::*;

    const NOW: Instant = Instant::ZERO;

    /// A pool of `a` and `b`, and pins in a table.
    fn pool_and_pins() -> (Pool<(), BoxPolicy>, Pins) {
        let pool = Pool::new(BoxPolicy::new(RoundRobin), 1);
        pool.update(["a", "b"].map(|name| Spec::new(BackendId::named(name), ()))).unwrap();
        let table = ShardedTable::new(&TableConfig::default());
        let memory = Memory::Local(Box::new(table));
        (pool, Pins::new(Persistence::Repin, Some(memory), None))
    }

    /// Two requests of a session that found nobody: one has bound it to `b`, and now the other comes, for
    /// which the pool picks `a`. What becomes of that, if `b` may take requests or not.
    async fn second(b_is: Admin) -> (BackendId, PinOutcome) {
        let (pool, pins) = pool_and_pins();
        let key = SessionKey::from_bytes([7; 8]);
        let mut session = pins.session(Brought::keyed(Some(key), true));
        session.look_up(NOW).await;
        pins.learn(&key, BackendId::named("b"), NOW).await;
        let turns = pool.pick(&Request::new()).unwrap();
        if turns.id() == BackendId::named("a") {
            drop(pool.pick(&Request::new()).unwrap());
        }
        pool.set_admin(BackendId::named("b"), b_is).unwrap();
        let lease = session.pick(&pool, &Request::new()).await.unwrap();
        (lease.id(), session.outcome().unwrap())
    }

    #[tokio::test]
    async fn who_comes_second_follows_and_visits_where_it_cannot() {
        assert_eq!(second(Admin::Enabled).await, (BackendId::named("b"), PinOutcome::Hit));
        assert_eq!(second(Admin::Disabled).await, (BackendId::named("a"), PinOutcome::Held));
    }

    #[tokio::test]
    async fn who_comes_second_is_refused_where_sessions_are_not_to_go_elsewhere() {
        for is_full in [false, true] {
            let pool = Pool::new(BoxPolicy::new(RoundRobin), 1);
            let spec = |name| Spec::new(BackendId::named(name), ());
            pool.update([spec("a"), spec("b").max_in_flight(NonZeroU32::MIN)]).unwrap();
            let table = ShardedTable::new(&TableConfig::default());
            let memory = Memory::Local(Box::new(table));
            let pins = Pins::new(Persistence::Refuse, Some(memory), None);
            let (key, b) = (SessionKey::from_bytes([7; 8]), BackendId::named("b"));
            let mut session = pins.session(Brought::keyed(Some(key), true));
            session.look_up(NOW).await;
            pins.learn(&key, b, NOW).await;
            let _busy = is_full.then(|| pool.pick(&Request::new().pinned_to(b)).unwrap());
            if !is_full {
                pool.set_admin(b, Admin::Disabled).unwrap();
            }
            let picked = session.pick(&pool, &Request::new()).await.map(|lease| lease.id());
            assert!(matches!(picked, Err(PickError::Pinned(_))), "{picked:?}");
            assert_eq!(session.outcome(), Some(PinOutcome::Refused));
        }
    }

    #[tokio::test]
    async fn a_session_that_may_move_is_served_though_nobody_with_less_is_there() {
        let pool = Pool::new(BoxPolicy::new(RoundRobin), 1);
        let id = BackendId::named;
        pool.update(["a", "b", "c"].map(|name| Spec::new(id(name), ()))).unwrap();
        let config = SurplusConfig::new(1.25, Duration::from_secs(10), Duration::ZERO).unwrap();
        let pins = Pins::new(Persistence::Repin, None, Some(Surplus::new(config)));
        let second = |s| Request::new().at(NOW + Duration::from_secs(s));
        let of = |number, home: &str| {
            pins.session(Brought { pin: Pin::To(id(home)), number, ..Brought::default() })
        };
        // Two do all the work, and the third comes later.
        drop(of(1, "a").pick(&pool, &second(1)).await.unwrap());
        for number in 0..600 {
            let mut session = of(number, ["a", "b"][number as usize % 2]);
            let lease = session.pick(&pool, &second(2)).await.unwrap();
            session.settle(Some(lease.id()));
        }
        drop(of(1, "a").pick(&pool, &second(12)).await.unwrap());
        // It goes again, and so does one of the two.
        pool.set_admin(id("c"), Admin::Disabled).unwrap();
        pool.set_admin(id("a"), Admin::Disabled).unwrap();
        for number in 0..300 {
            let lease = of(number, "a").pick(&pool, &second(13)).await.unwrap();
            assert_eq!(lease.id(), id("b"));
        }
    }
}
