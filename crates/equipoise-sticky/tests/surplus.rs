//! Sessions over many intervals, while backends join: who moves, how often, and to what end.

use std::time::Duration;

use equipoise_core::{BackendId, Instant, Rng, Weight};
use equipoise_sticky::surplus::{Surplus, SurplusConfig};
use proptest::prelude::*;

const SECOND: Duration = Duration::from_secs(1);

fn id(n: usize) -> BackendId {
    BackendId::new(n as u64)
}

struct Session {
    backend: usize,
    /// Of a thousand steps, those at which it asks.
    rate: u32,
    last: Instant,
    moves: u32,
}

/// A thousand steps make a second.
struct World {
    surplus: Surplus,
    rng: Rng,
    now: Instant,
    weights: Vec<u16>,
    sessions: Vec<Session>,
    /// Requests to each backend in the last [`run`](Self::run).
    load: Vec<u64>,
}

impl World {
    /// `sessions` of different rates, spread evenly over the backends of these weights.
    fn new(config: SurplusConfig, weights: &[u16], sessions: usize, seed: u64) -> Self {
        let mut rng = Rng::seeded(seed);
        let wheel: Vec<usize> = weights
            .iter()
            .enumerate()
            .flat_map(|(n, weight)| std::iter::repeat_n(n, usize::from(*weight)))
            .collect();
        let sessions = (0..sessions).map(|n| Session {
            backend: wheel[n % wheel.len()],
            rate: 1 + rng.below(4),
            last: Instant::ZERO,
            moves: 0,
        });
        let sessions = sessions.collect();
        let surplus = Surplus::new(config);
        let now = Instant::ZERO + SECOND;
        Self { surplus, rng, now, weights: weights.to_vec(), sessions, load: Vec::new() }
    }

    fn members(&self) -> Vec<(BackendId, Weight)> {
        self.weights.iter().enumerate().map(|(n, w)| (id(n), Weight::new(*w))).collect()
    }

    fn run(&mut self, seconds: u32) {
        self.load = vec![0; self.weights.len()];
        for _ in 0..seconds * 1_000 {
            self.now = self.now + Duration::from_millis(1);
            if self.surplus.is_due(self.now) {
                self.surplus.poll(self.now, self.members());
            }
            for n in 0..self.sessions.len() {
                if self.rng.below(1_000) < self.sessions[n].rate {
                    self.ask(n);
                }
            }
        }
    }

    fn ask(&mut self, n: usize) {
        let session = &mut self.sessions[n];
        let idle = self.now.since(session.last);
        session.last = self.now;
        if self.surplus.may_move(id(session.backend), n as u64, idle) {
            // As a policy would that knows no load.
            let taken = self.surplus.above_share();
            let free: Vec<_> =
                (0..self.weights.len()).filter(|b| !taken.contains(&id(*b))).collect();
            session.backend = free[self.rng.below(free.len() as u32) as usize];
            session.moves += 1;
        }
        self.load[session.backend] += 1;
        self.surplus.on_request(id(session.backend));
    }

    /// Each backend's load in the last run, in times of its share.
    fn shares(&self) -> Vec<f64> {
        let total: u64 = self.load.iter().sum();
        let weights: f64 = self.weights.iter().map(|w| f64::from(*w)).sum();
        let share = |weight: &u16| total as f64 * f64::from(*weight) / weights;
        self.load.iter().zip(&self.weights).map(|(load, w)| *load as f64 / share(w)).collect()
    }

    fn moves(&self) -> u32 {
        self.sessions.iter().map(|session| session.moves).sum()
    }
}

fn config(idle: Duration) -> SurplusConfig {
    SurplusConfig::new(1.25, SECOND, idle).unwrap()
}

#[test]
fn backends_that_join_get_their_share_and_hardly_anybody_moves_twice() {
    for (weights, joining, seed) in
        [(&[1, 1][..], &[1][..], 1), (&[1, 1, 1, 1], &[1, 1], 2), (&[2, 1], &[3], 3)]
    {
        let mut world = World::new(config(Duration::ZERO), weights, 900, seed);
        world.run(6);
        assert_eq!(world.moves(), 0, "all have their share");
        world.weights.extend(joining);
        world.run(12);
        let moves = world.moves();
        world.run(6);
        let shares = world.shares();
        assert!(shares.iter().all(|share| (0.7..1.3).contains(share)), "{shares:?}");
        let joined: u16 = joining.iter().sum();
        let least = 900.0 * f64::from(joined) / f64::from(world.weights.iter().sum::<u16>());
        assert!(f64::from(moves) < least * 1.3, "{moves} moves where {least} are needed");
        assert!(world.sessions.iter().filter(|session| session.moves > 1).count() < 45);
    }
}

#[test]
fn a_session_that_never_pauses_never_moves() {
    let mut world = World::new(config(SECOND * 2), &[1, 1], 300, 4);
    world.sessions.iter_mut().for_each(|session| session.rate = 40);
    world.run(3);
    world.weights.push(1);
    let before = world.moves();
    world.run(10);
    assert_eq!(world.moves(), before);
    world.sessions.iter_mut().for_each(|session| session.rate = 1);
    world.run(30);
    assert!(world.moves() > 50, "{}", world.moves());
}

#[test]
fn a_backend_that_takes_no_new_sessions_counts_for_nothing() {
    let mut surplus = Surplus::new(config(Duration::ZERO));
    let at = |n: u32| Instant::ZERO + SECOND * n;
    surplus.poll(at(1), []);
    for n in 0..3_000 {
        surplus.on_request(id(if n % 3 == 0 { 1 } else { 2 }));
    }
    // Backend 2, with twice the load, drains.
    surplus.poll(at(2), [(id(1), Weight::ONE)]);
    assert!((0..99).all(|n| !surplus.may_move(id(1), n, SECOND)));
    assert!((0..99).all(|n| !surplus.may_move(id(2), n, SECOND)));
    surplus.poll(at(3), [(id(1), Weight::ZERO)]);
    surplus.poll(at(4), []);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever the loads: nobody moves from a backend that is at the cap or below, and what moves
    /// from the others is their excess, and not more.
    #[test]
    fn no_session_moves_while_its_backend_is_below_the_cap(
        loads in prop::collection::vec((0..4_000_u64, 0..5_u16), 1..8),
        seed in any::<u64>(),
    ) {
        let mut surplus = Surplus::new(config(Duration::ZERO));
        let members = || {
            loads.iter().enumerate().map(|(n, (_, weight))| (id(n), Weight::new(*weight)))
        };
        surplus.poll(Instant::ZERO + SECOND, members());
        for (n, (load, _)) in loads.iter().enumerate() {
            (0..*load).for_each(|_| surplus.on_request(id(n)));
        }
        surplus.poll(Instant::ZERO + SECOND * 2, members());
        let total: u64 = loads.iter().map(|(load, _)| load).sum();
        let weights: u64 = loads.iter().map(|(_, weight)| u64::from(*weight)).sum();
        for (n, (load, weight)) in loads.iter().enumerate() {
            let share = total as f64 * f64::from(*weight) / weights as f64;
            let mut rng = Rng::seeded(seed);
            let moving = (0..2_000)
                .filter(|_| surplus.may_move(id(n), rng.next_u64(), Duration::ZERO))
                .count() as f64 / 2_000.0;
            if *load as f64 <= 1.25 * share || weights == 0 {
                prop_assert_eq!(moving, 0.0);
            } else {
                let excess = (*load as f64 - share) / *load as f64;
                let by_chance = (*load as f64 - share).powi(2) <= 9.0 * share;
                let expected = if by_chance { 0.0 } else { excess };
                prop_assert!((moving - expected).abs() < 0.06, "{} {}", moving, expected);
            }
        }
    }
}
