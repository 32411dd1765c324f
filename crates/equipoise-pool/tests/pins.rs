//! Requests that belong to a session, in every state of its backend and under every policy.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::num::NonZeroU32;

use equipoise_algorithms::RoundRobin;
use equipoise_core::PinAction;
use equipoise_pool::{
    Admin, BackendId, Health, Instant, Lease, Persistence, PickError, Pin, PinOutcome, PinnedState,
    Pool, Request, Sessions, Spec, Weight,
};

const NOW: Instant = Instant::from_nanos(1);
const POLICIES: [Persistence; 3] = [Persistence::Repin, Persistence::Hold, Persistence::Refuse];

fn id(name: &str) -> BackendId {
    BackendId::named(name)
}

fn pool() -> Pool<&'static str, RoundRobin> {
    let pool = Pool::new(RoundRobin, 7);
    pool.update(["home", "other"].map(|name| Spec::new(id(name), name))).unwrap();
    pool
}

/// Puts `home` into this state; the leases that it takes have to be kept.
fn bring_about(
    state: PinnedState,
    pool: &Pool<&'static str, RoundRobin>,
) -> Option<Lease<&'static str>> {
    match state {
        PinnedState::Fit | PinnedState::Surplus | PinnedState::Tried => None,
        PinnedState::Draining => pool.set_admin(id("home"), Admin::Draining).map(|_| None).unwrap(),
        PinnedState::Out => pool.set_health(id("home"), Health::Down).map(|_| None).unwrap(),
        PinnedState::Gone => pool.remove(id("home")).map(|_| None).unwrap(),
        PinnedState::Full => {
            pool.set_max_in_flight(id("home"), NonZeroU32::new(1)).unwrap();
            pool.pick(&Request::new().pinned_to(id("home"))).ok()
        }
    }
}

#[test]
fn every_row_of_the_table_of_pins_holds_in_a_pool() {
    use PinnedState::{Draining, Fit, Full, Gone, Out, Surplus, Tried};
    let mut rows = 0;
    for state in [Fit, Draining, Surplus, Full, Tried, Out, Gone] {
        for policy in POLICIES {
            let tried = [id("home")];
            let mut request = Request::new().at(NOW).pinned_to(id("home")).persisting(policy);
            if state == Tried {
                request = request.avoiding(&tried);
            }
            request = request.in_surplus(state == Surplus);
            let pool = pool();
            let _full = bring_about(state, &pool);
            let mut reader = pool.reader();
            for result in [pool.pick(&request), reader.pick(&request), pool.explain(&request).0] {
                let seen = match &result {
                    Ok(lease) if lease.id() == id("home") => PinAction::Use,
                    Ok(lease) if lease.visits() => PinAction::Visit,
                    Ok(_) => PinAction::Move,
                    Err(PickError::Pinned(why)) if *why == state => PinAction::Refuse,
                    Err(error) => panic!("{state:?} {policy:?}: {error}"),
                };
                assert_eq!(seen, PinAction::of(Some(state), policy), "{state:?} {policy:?}");
                rows += 1;
            }
        }
    }
    assert_eq!(rows, 7 * 3 * 3);
}

#[test]
fn whatever_takes_a_backend_out_is_out_for_its_sessions() {
    let refuse = Request::new().pinned_to(id("home")).persisting(Persistence::Refuse);
    let pool = pool();
    pool.set_admin(id("home"), Admin::Disabled).unwrap();
    assert_eq!(pool.pick(&refuse).unwrap_err(), PickError::Pinned(PinnedState::Out));
    pool.set_admin(id("home"), Admin::Enabled).unwrap();
    pool.set_weight(id("home"), Weight::ZERO).unwrap();
    assert_eq!(*pool.pick(&refuse).unwrap(), "home", "weight 0 keeps its sessions");
}

#[test]
fn a_session_in_surplus_stays_if_nobody_else_has_a_place() {
    let pool = pool();
    pool.set_health(id("other"), Health::Down).unwrap();
    let request = Request::new().pinned_to(id("home")).in_surplus(true);
    let lease = pool.pick(&request).unwrap();
    assert_eq!((*lease, lease.visits()), ("home", false));
    pool.set_max_in_flight(id("home"), NonZeroU32::new(1)).unwrap();
    let _first = pool.pick(&request).unwrap();
    assert!(matches!(pool.pick(&request), Err(PickError::Exhausted { .. })));
}

#[test]
fn a_refused_request_leaves_nothing_behind() {
    let pool = pool();
    pool.set_max_in_flight(id("home"), NonZeroU32::new(1)).unwrap();
    let refuse = Request::new().pinned_to(id("home")).persisting(Persistence::Refuse);
    let first = pool.pick(&refuse).unwrap();
    assert_eq!(pool.pick(&refuse).unwrap_err(), PickError::Pinned(PinnedState::Full));
    drop(first);
    assert!(pool.pick(&refuse).is_ok());
    assert!(pool.backends().iter().all(|backend| backend.in_flight == 0));
}

/// A table that can let another request of the session be quicker.
#[derive(Default)]
struct Table {
    pins: RefCell<HashMap<u64, BackendId>>,
    /// Who is pinned between a lookup and the next bind.
    quicker: Cell<Option<BackendId>>,
}

impl Sessions for Table {
    type Key = u64;

    fn lookup(&self, key: &u64, _: Instant) -> Option<BackendId> {
        self.pins.borrow().get(key).copied()
    }

    fn bind(&self, key: &u64, backend: BackendId, _: Instant) -> BackendId {
        let first = self.quicker.take().unwrap_or(backend);
        *self.pins.borrow_mut().entry(*key).or_insert(first)
    }

    fn rebind(&self, key: &u64, from: BackendId, to: BackendId, _: Instant) -> BackendId {
        let mut pins = self.pins.borrow_mut();
        let pin = pins.entry(*key).or_insert(to);
        *pin = self.quicker.take().unwrap_or(*pin);
        if *pin == from {
            *pin = to;
        }
        *pin
    }
}

#[test]
fn a_session_is_pinned_once_and_found_again() {
    let (pool, sessions) = (pool(), Table::default());
    let mut reader = pool.reader();
    for key in 0..20 {
        let (first, outcome) = pool.pick_session(&Request::new(), &sessions, &key).unwrap();
        assert_eq!(outcome, PinOutcome::New);
        for _ in 0..3 {
            let (again, outcome) = reader.pick_session(&Request::new(), &sessions, &key).unwrap();
            assert_eq!((again.id(), outcome), (first.id(), PinOutcome::Hit));
        }
    }
    let on_home = sessions.pins.borrow().values().filter(|pin| **pin == id("home")).count();
    assert_eq!(on_home, 10, "round robin spreads sessions");
}

#[test]
fn of_requests_that_pin_a_session_at_once_the_losers_follow_the_winner() {
    for winner in ["home", "other"] {
        for _ in 0..4 {
            let (pool, sessions) = (pool(), Table::default());
            sessions.quicker.set(Some(id(winner)));
            let (lease, _) = pool.pick_session(&Request::new(), &sessions, &1).unwrap();
            assert_eq!(*lease, winner);
            let in_flight: usize = pool.backends().iter().map(|b| b.in_flight as usize).sum();
            assert_eq!(in_flight, 1);
        }
    }
}

#[test]
fn a_loser_that_can_not_follow_is_served_where_it_is_and_pins_nobody() {
    let (pool, sessions) = (pool(), Table::default());
    sessions.quicker.set(Some(id("gone")));
    let request = Request::new().persisting(Persistence::Hold);
    let (lease, outcome) = pool.pick_session(&request, &sessions, &1).unwrap();
    assert_eq!((outcome, lease.visits()), (PinOutcome::Held, true));
    assert_eq!(sessions.lookup(&1, NOW), Some(id("gone")));
}

#[test]
fn a_session_whose_backend_went_down_moves_once_or_comes_back() {
    for (policy, during, after) in [
        (Persistence::Repin, PinOutcome::Repinned, "other"),
        (Persistence::Hold, PinOutcome::Held, "home"),
    ] {
        let (pool, sessions) = (pool(), Table::default());
        sessions.pins.borrow_mut().insert(1, id("home"));
        let request = Request::new().persisting(policy);
        pool.set_health(id("home"), Health::Down).unwrap();
        let (lease, outcome) = pool.pick_session(&request, &sessions, &1).unwrap();
        assert_eq!((*lease, outcome), ("other", during));
        pool.set_health(id("home"), Health::Up).unwrap();
        let (lease, outcome) = pool.pick_session(&request, &sessions, &1).unwrap();
        assert_eq!((*lease, outcome), (after, PinOutcome::Hit));
    }
}

#[test]
fn the_outcome_is_told_from_the_pin_and_the_lease() {
    let pool = pool();
    let lease = pool.pick(&Request::new().pinned_to(id("home"))).unwrap();
    assert_eq!(PinOutcome::of(Pin::To(id("home")), lease.id(), lease.visits()), PinOutcome::Hit);
}
