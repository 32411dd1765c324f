//! Bounded loads beside a model that counts: who gets a request, and that nobody has too many.

use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering};

use equipoise_algorithms::{BoundedLoad, Hashed, LoadFactor, WithoutKey};
use equipoise_core::{BackendId, Health, Rng, Weight};
use equipoise_hash::{ConsistentHash, HashKey, Maglev, Node, Rendezvous, RendezvousTable, Ring};
use equipoise_pool::{Lease, PickError, Pool, Request, Spec};
use proptest::prelude::*;

/// What happens in a pool; numbers wrap around.
#[derive(Clone, Debug)]
enum Op {
    /// One request in three has the one key that everybody asks for.
    Begin {
        key: u8,
    },
    End {
        lease: u16,
    },
    SetHealth {
        backend: u8,
        up: bool,
    },
}

/// A backend as the model knows it.
#[derive(Clone, Copy, Debug)]
struct Backend {
    weight: u16,
    tier: u8,
    up: bool,
    in_flight: u64,
}

fn id(backend: usize) -> BackendId {
    BackendId::new(Rng::seeded(backend as u64).next_u64())
}

/// ⌈c · t · w / W⌉.
fn bound(factor: LoadFactor, total: u64, weight: u64, weights: u64) -> u64 {
    (u64::from(factor.get()) * total * weight).div_ceil(100 * weights)
}

fn spec(backend: usize, weight: u16, tier: u8) -> Spec<usize> {
    Spec::new(id(backend), backend).weight(Weight::new(weight)).tier(tier)
}

struct Model<T: ConsistentHash + Send + Sync + 'static> {
    pool: Pool<usize, BoundedLoad<T>>,
    factor: LoadFactor,
    backends: Vec<Backend>,
    /// By tier: whom its table numbers, and the table.
    tables: [(Vec<usize>, T); 2],
    leases: Vec<Lease<usize>>,
}

impl<T: ConsistentHash + Clone + Send + Sync + 'static> Model<T> {
    fn new(empty: &T, factor: LoadFactor, backends: &[(u16, u8)]) -> Self {
        let pool = Pool::new(BoundedLoad::new(Hashed::new(empty.clone()), factor), 7);
        let specs = backends.iter().enumerate().map(|(i, &(weight, tier))| spec(i, weight, tier));
        pool.update(specs).unwrap();
        let table = |tier: u8| {
            let of_tier: Vec<usize> =
                (0..backends.len()).filter(|&i| backends[i].1 == tier).collect();
            let node = |&i: &usize| Node::new(id(i)).weight(Weight::new(backends[i].0));
            let nodes: Vec<Node> = of_tier.iter().map(node).collect();
            (of_tier, empty.update(&nodes).unwrap())
        };
        let backend = |&(weight, tier)| Backend { weight, tier, up: true, in_flight: 0 };
        let backends = backends.iter().map(backend).collect();
        Self { pool, factor, backends, tables: [table(0), table(1)], leases: Vec::new() }
    }

    /// Whoever is admitted, in the tier that is in use.
    fn admitted(&self) -> Vec<usize> {
        let of_tier = |tier| {
            let admitted = |b: &Backend| b.up && b.weight > 0 && b.tier == tier;
            (0..self.backends.len()).filter(|&i| admitted(&self.backends[i])).collect::<Vec<_>>()
        };
        let first = of_tier(0);
        if first.is_empty() { of_tier(1) } else { first }
    }

    /// The first in the key's order with room for one more.
    fn expected(&self, key: HashKey) -> Option<usize> {
        let admitted = self.admitted();
        let (numbers, table) = &self.tables[usize::from(self.backends[*admitted.first()?].tier)];
        let weights = admitted.iter().map(|&i| u64::from(self.backends[i].weight)).sum();
        let total = self.leases.len() as u64 + 1;
        let mut order = table.candidates(key).map(|i| numbers[i]).filter(|i| admitted.contains(i));
        order.find(|&i| {
            let backend = self.backends[i];
            backend.in_flight < bound(self.factor, total, backend.weight.into(), weights)
        })
    }

    fn run(&mut self, ops: &[Op]) -> Result<(), TestCaseError> {
        for op in ops {
            match *op {
                Op::Begin { key } => {
                    let key = HashKey::new(if key < 85 { 0 } else { u64::from(key) });
                    let expected = self.expected(key);
                    let lease = self.pool.pick(&Request::new().with_key(key)).ok();
                    prop_assert_eq!(lease.as_deref().copied(), expected);
                    self.backends[expected.unwrap_or(0)].in_flight += u64::from(expected.is_some());
                    self.leases.extend(lease);
                }
                Op::End { lease } if !self.leases.is_empty() => {
                    let lease = usize::from(lease) % self.leases.len();
                    self.backends[*self.leases.swap_remove(lease)].in_flight -= 1;
                }
                Op::SetHealth { backend, up } => {
                    let i = usize::from(backend) % self.backends.len();
                    self.backends[i].up = up;
                    self.pool
                        .set_health(id(i), if up { Health::Up } else { Health::Down })
                        .unwrap();
                }
                Op::End { .. } => {}
            }
        }
        self.leases.clear();
        for status in self.pool.backends() {
            prop_assert_eq!(status.in_flight, 0);
        }
        // The pool's total is 0 as well: a key's owner takes the first request again.
        let admitted = self.admitted();
        self.backends.iter_mut().for_each(|backend| backend.in_flight = 0);
        for key in (0..10).filter(|_| !admitted.is_empty()).map(HashKey::new) {
            let lease = self.pool.pick(&Request::new().with_key(key)).unwrap();
            prop_assert_eq!(Some(*lease), self.expected(key));
        }
        Ok(())
    }
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        20 => any::<u8>().prop_map(|key| Op::Begin { key }),
        10 => any::<u16>().prop_map(|lease| Op::End { lease }),
        1 => any::<(u8, bool)>().prop_map(|(backend, up)| Op::SetHealth { backend, up }),
    ];
    proptest::collection::vec(op, 0..400)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The model never goes beyond the bound, and never refuses who is welcome to somebody.
    #[test]
    fn a_request_goes_to_the_first_in_its_keys_order_that_has_room(
        percent in prop_oneof![Just(100), Just(125), Just(200), 100..1_000_u16],
        backends in proptest::collection::vec((prop_oneof![Just(1), 0..9_u16, Just(900)], 0..2_u8), 1..14),
        ops in ops(),
    ) {
        let factor = LoadFactor::percent(percent).unwrap();
        Model::new(&RendezvousTable::with_size(&[], 1_000).unwrap(), factor, &backends).run(&ops)?;
        Model::new(&Rendezvous::default(), factor, &backends).run(&ops)?;
        Model::new(&Maglev::with_size(&[], 1_000).unwrap(), factor, &backends).run(&ops)?;
        Model::new(&Ring::with_points(&[], 4).unwrap(), factor, &backends).run(&ops)?;
    }
}

/// More are full than a pool asks a policy for, one after the other.
#[test]
fn a_hot_key_keeps_to_its_order_however_many_are_full() {
    let factor = LoadFactor::percent(100).unwrap();
    let mut model = Model::new(&Rendezvous::default(), factor, &[(1, 0); 40]);
    model.run(&vec![Op::Begin { key: 0 }; 120]).unwrap();
}

/// A pool over a small table.
fn pool(percent: u16, weights: &[u16]) -> Pool<usize, BoundedLoad<RendezvousTable>> {
    let table = RendezvousTable::with_size(&[], 1_000).unwrap();
    let policy = BoundedLoad::new(Hashed::new(table), LoadFactor::percent(percent).unwrap());
    let pool = Pool::new(policy, 7);
    pool.update(weights.iter().enumerate().map(|(i, &weight)| spec(i, weight, 0))).unwrap();
    pool
}

const HOT: HashKey = HashKey::new(7);

/// Bursts: all requests in flight but four are held, and four workers pick at the same instant, so
/// the total is known when they are done.
#[test]
fn workers_that_pick_at_once_do_not_go_beyond_the_bound() {
    const WORKERS: usize = 4;
    for (percent, weights) in [(125, &[1, 1, 1, 1][..]), (125, &[5, 1, 2]), (200, &[1; 9])] {
        let pool = pool(percent, weights);
        let all = weights.iter().map(|&w| u64::from(w)).sum();
        let barrier = Barrier::new(WORKERS + 1);
        let request = Request::new().with_key(HOT);
        let rounds = 1_500;
        let mut beyond = Vec::new();
        std::thread::scope(|scope| {
            for _ in 0..WORKERS {
                scope.spawn(|| {
                    let mut reader = pool.reader();
                    for _ in 0..rounds {
                        barrier.wait();
                        let lease = reader.pick(&request).unwrap();
                        barrier.wait();
                        barrier.wait();
                        drop(lease);
                        barrier.wait();
                    }
                });
            }
            let mut held = Vec::new();
            for round in 0..rounds {
                // The owner has no, one or several places left.
                while held.len() < round % 40 {
                    held.push(pool.pick(&request).unwrap());
                }
                held.truncate(round % 40);
                // What others gave back may leave some with more than their bound is now.
                let before = pool.backends();
                barrier.wait();
                barrier.wait();
                let total = (held.len() + WORKERS) as u64;
                for (i, status) in pool.backends().iter().enumerate() {
                    let most =
                        bound(LoadFactor::percent(percent).unwrap(), total, weights[i].into(), all);
                    let most = most.max(before[i].in_flight.into());
                    if u64::from(status.in_flight) > most {
                        // Not a panic: the workers would wait for this thread for ever.
                        beyond.push((total, i, status.in_flight, most));
                    }
                }
                barrier.wait();
                barrier.wait();
            }
        });
        assert!(beyond.is_empty(), "(in all, backend, its, most): {beyond:?}");
        assert!(pool.backends().iter().all(|status| status.in_flight == 0));
    }
}

/// Workers that come and go as they like, never more than so many requests at a time. Each backend
/// counts for itself, from after a pick to before its end, so it never counts too many.
#[test]
fn workers_that_come_and_go_do_not_go_beyond_the_bound() {
    const WORKERS: u64 = 4;
    const EACH: u64 = 12;
    let (percent, weights) = (125, [3, 1, 1, 4, 1]);
    let pool = pool(percent, &weights);
    let counts: Vec<AtomicU32> = weights.iter().map(|_| AtomicU32::new(0)).collect();
    let all = weights.iter().map(|&w| u64::from(w)).sum();
    let factor = LoadFactor::percent(percent).unwrap();
    let most = weights.map(|weight| bound(factor, WORKERS * EACH, weight.into(), all));
    std::thread::scope(|scope| {
        for worker in 0..WORKERS {
            let (pool, counts) = (&pool, &counts);
            scope.spawn(move || {
                let (mut reader, mut rng) = (pool.reader(), Rng::seeded(worker));
                let mut held: Vec<Lease<usize>> = Vec::new();
                for _ in 0..60_000 {
                    if held.len() as u64 == EACH || (rng.below(3) == 0 && !held.is_empty()) {
                        let lease = held.swap_remove(rng.below(held.len() as u32) as usize);
                        counts[*lease].fetch_sub(1, Ordering::SeqCst);
                        continue;
                    }
                    let lease = reader.pick(&Request::new().with_key(HOT)).unwrap();
                    let count = counts[*lease].fetch_add(1, Ordering::SeqCst) + 1;
                    assert!(u64::from(count) <= most[*lease], "{count} > {most:?}");
                    held.push(lease);
                }
                for lease in held {
                    counts[*lease].fetch_sub(1, Ordering::SeqCst);
                }
            });
        }
    });
    assert!(pool.backends().iter().all(|status| status.in_flight == 0));
    // And so do the policy's own counters: with nothing in flight, the owner has the key.
    let owner = *pool.pick(&Request::new().with_key(HOT)).unwrap();
    for _ in 0..10 {
        assert_eq!(*pool.pick(&Request::new().with_key(HOT)).unwrap(), owner);
    }
}

#[test]
fn a_retry_is_refused_only_when_all_were_tried() {
    let pool = pool(100, &[1, 5, 2, 1, 1]);
    let mut held = Vec::new();
    for key in 0..200 {
        let mut tried = Vec::new();
        for place in 0..5 {
            let request = Request::new().with_key(HashKey::new(key % 3)).avoiding(&tried);
            let lease = pool.pick(&request).unwrap();
            assert!(!tried.contains(&lease.id()), "place {place}");
            let id = lease.id();
            // Some stay, so that most are at their bounds all the time.
            held.push(lease);
            tried.push(id);
        }
        let request = Request::new().with_key(HashKey::new(key % 3)).avoiding(&tried);
        assert_eq!(pool.pick(&request).unwrap_err(), PickError::Exhausted { tried: 5, full: 0 });
        held.truncate(40);
    }
}

#[test]
fn a_pin_counts_and_is_honoured_beyond_the_bound() {
    let pool = pool(100, &[1, 1, 1]);
    let pinned = Request::new().with_key(HOT).pinned_to(id(1));
    let held: Vec<_> = (0..30).map(|_| pool.pick(&pinned).unwrap()).collect();
    assert!(held.iter().all(|lease| **lease == 1));
    // One that is not pinned goes elsewhere: 31 in flight give it no more than 11.
    let free: Vec<_> = (0..15)
        .map(|key| *pool.pick(&Request::new().with_key(HashKey::new(key))).unwrap())
        .collect();
    assert!(!free.contains(&1));
    drop(held);
    assert!(pool.backends().iter().all(|status| status.in_flight == 0));
}

#[test]
fn a_copy_of_the_policy_counts_for_itself() {
    let table = RendezvousTable::with_size(&[], 1_000).unwrap();
    let policy = BoundedLoad::new(Hashed::new(table), LoadFactor::percent(100).unwrap());
    let pools = [0, 1].map(|_| {
        let pool = Pool::new(policy.clone(), 7);
        pool.update((0..2).map(|i| spec(i, 1, 0))).unwrap();
        pool
    });
    let one_key = Request::new().with_key(HOT);
    let _elsewhere: Vec<_> = (0..100).map(|_| pools[0].pick(&one_key).unwrap()).collect();
    let held: Vec<_> = (0..2).map(|_| pools[1].pick(&one_key).unwrap()).collect();
    assert_ne!(*held[0], *held[1], "of two in flight, each has one");
}

fn without_key(rule: WithoutKey) -> Pool<usize, BoundedLoad<Rendezvous>> {
    let hashed = Hashed::new(Rendezvous::default());
    Pool::new(BoundedLoad::new(hashed, LoadFactor::default()).without_key(rule), 7)
}

/// Of several errors, the one that the operator has to see: a pool that is empty is that whatever
/// the request; a request that no policy could place is that whatever the backends.
#[test]
fn a_request_without_a_key_is_refused_where_that_is_the_rule() {
    let pool = without_key(WithoutKey::Refuse);
    assert_eq!(pool.pick(&Request::new()).unwrap_err(), PickError::NoBackends);
    pool.update((0..2).map(|i| spec(i, 1, 0))).unwrap();
    assert_eq!(pool.pick(&Request::new()).unwrap_err(), PickError::NoKey);
    assert_eq!(*pool.pick(&Request::new().pinned_to(id(1))).unwrap(), 1);
    assert!(pool.pick(&Request::new().with_key(HOT)).is_ok());
    (0..2).for_each(|i| _ = pool.set_health(id(i), Health::Down).unwrap());
    assert_eq!(pool.pick(&Request::new()).unwrap_err(), PickError::NoKey);
    assert_eq!(pool.pick(&Request::new().with_key(HOT)).unwrap_err(), PickError::NoneAdmitted);
}

#[test]
fn requests_without_a_key_take_turns_where_that_is_the_rule() {
    let pool = without_key(WithoutKey::RoundRobin);
    pool.update((0..3).map(|i| spec(i, 1, 0))).unwrap();
    let mut reader = pool.reader();
    let picks: Vec<usize> = (0..9).map(|_| *reader.pick(&Request::new()).unwrap()).collect();
    assert!(picks.windows(4).all(|w| w[0] == w[3] && w[0] != w[1] && w[1] != w[2] && w[0] != w[2]));
}

/// Without keys too, nobody has more than c times its share.
#[test]
fn requests_without_a_key_are_bounded() {
    for rule in [WithoutKey::Random, WithoutKey::RoundRobin] {
        let pool = without_key(rule);
        pool.update([4, 1, 1].into_iter().enumerate().map(|(i, w)| spec(i, w, 0))).unwrap();
        let mut held = Vec::new();
        for total in 1..100 {
            let lease = pool.pick(&Request::new()).unwrap();
            let weight = [4, 1, 1][*lease];
            let in_flight = pool.backends()[*lease].in_flight;
            assert!(u64::from(in_flight) <= bound(LoadFactor::default(), total, weight, 6));
            held.push(lease);
        }
    }
}
