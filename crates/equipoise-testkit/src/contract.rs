//! The properties, each a bug that a well-known balancer has or had.
//!
//! Every function takes what makes the policy, and what it [`Promises`]; it panics where the
//! policy breaks the contract.

use std::num::NonZeroU32;
use std::time::Duration;

use equipoise_core::{Admin, BackendId, HashKey, Policy, Reason, Rng};
use equipoise_pool::{PickError, Request, Spec};

use crate::statistics::{assert_shares, binomial_limit};
use crate::{Arena, ClosedLoop, Promises};

/// A pool of backends with these weights; its requests have keys if the policy picks by them.
fn arena_of<P: Policy>(policy: P, promises: Promises, seed: u64, weights: &[u16]) -> Arena<P> {
    let arena = Arena::new(policy, seed, weights);
    if promises.keyed.is_some() { arena.with_keys(seed) } else { arena }
}

/// Pools of many shapes: sizes from 1 to 70, weights equal, small, far apart and 0.
fn pools(promises: Promises) -> impl Iterator<Item = (u64, Vec<u16>)> {
    // A hash table may keep something for each unit of weight.
    let heaviest = if promises.keyed.is_some() { 1_000 } else { u16::MAX };
    (0..48).map(move |seed| {
        let mut rng = Rng::seeded(seed);
        let n = 1 + rng.below([3, 12, 70][seed as usize % 3]) as usize;
        let weight = |rng: &mut Rng| match seed % 4 {
            0 => 1,
            1 => 1 + rng.below(9) as u16,
            2 => [0, 1, 2, 100][rng.below(4) as usize],
            _ => [1, 50, heaviest][rng.below(3) as usize],
        };
        (seed, (0..n).map(|_| weight(&mut rng)).collect())
    })
}

/// Of a pool with backends down, draining, disabled and of weight 0, only the others are picked,
/// and never one that the request has tried. (Retries to the same host: Envoy #2259, Traefik
/// #5177.)
pub fn picks_only_admitted_and_untried_backends<P: Policy>(
    make: impl Fn() -> P,
    promises: Promises,
) {
    for (seed, weights) in pools(promises) {
        let mut rng = Rng::seeded(seed);
        let mut arena = arena_of(make(), promises, seed, &weights);
        let mut admitted: Vec<bool> = weights.iter().map(|&w| w > 0).collect();
        for (i, admitted) in admitted.iter_mut().enumerate() {
            match rng.below(6) {
                0 => arena.take_down(i),
                1 => arena.set_admin(i, Admin::Draining),
                2 => arena.set_admin(i, Admin::Disabled),
                _ => continue,
            }
            *admitted = false;
        }
        for _ in 0..100 {
            let tried: Vec<usize> =
                (0..rng.below(6)).map(|_| rng.below(weights.len() as u32) as usize).collect();
            let ids: Vec<BackendId> = tried.iter().map(|&i| Arena::<P>::id(i)).collect();
            let eligible = |i: usize| admitted[i] && !tried.contains(&i);
            let request = arena.request().avoiding(&ids);
            match arena.reader.pick(&request) {
                Ok(lease) => assert!(eligible(*lease), "{} is not eligible: {weights:?}", *lease),
                Err(error) => {
                    let left = (0..weights.len()).find(|&i| eligible(i));
                    assert_eq!(left, None, "{error}, yet {left:?} is eligible: {weights:?}");
                }
            }
        }
    }
}

/// No backends, none admitted and all tried are three errors, and the only ones.
pub fn fails_only_when_nobody_is_eligible<P: Policy>(make: impl Fn() -> P, promises: Promises) {
    let mut arena = arena_of(make(), promises, 1, &[]);
    assert_eq!(arena.lease().unwrap_err(), PickError::NoBackends);
    arena.set_weights(&[1, 1]);
    arena.take_down(0);
    arena.set_admin(1, Admin::Draining);
    assert_eq!(arena.lease().unwrap_err(), PickError::NoneAdmitted);
    arena.set_admin(1, Admin::Enabled);
    let tried = [Arena::<P>::id(1)];
    let retry = arena.request().avoiding(&tried);
    let all_tried = PickError::Exhausted { tried: 1, full: 0 };
    assert_eq!(arena.reader.pick(&retry).unwrap_err(), all_tried);
    assert_eq!(arena.pick(), 1);
}

/// One healthy backend of many is found by every pick, and so is the one that was not tried.
/// (Pingora gives up after 256 draws: 7-8 % of picks fail at 1 of 100.)
pub fn finds_the_last_one_standing<P: Policy>(make: impl Fn() -> P, promises: Promises) {
    for n in [2, 50, 300] {
        let mut arena = arena_of(make(), promises, 5, &vec![1; n]);
        let ids: Vec<BackendId> = (0..n).filter(|&i| i != n / 2).map(Arena::<P>::id).collect();
        for _ in 0..200 {
            let request = arena.request().avoiding(&ids);
            let lease = arena.reader.pick(&request).unwrap();
            assert_eq!(*lease, n / 2);
        }
        (0..n).filter(|&i| i != n / 2).for_each(|i| arena.take_down(i));
        for _ in 0..200 {
            assert_eq!(arena.pick(), n / 2);
        }
    }
}

/// Weights of 0, of the maximum, and all mixtures. (Pingora panics when all are 0.)
pub fn is_total_over_all_weights<P: Policy>(make: impl Fn() -> P, promises: Promises) {
    let (zero, max) = (0, u16::MAX);
    for weights in
        [&[zero][..], &[zero, zero, zero], &[max], &[max; 3], &[1, max, zero], &[max; 99]]
    {
        let mut arena = arena_of(make(), promises, 3, weights);
        for _ in 0..300 {
            match arena.lease() {
                Ok(lease) => assert_ne!(weights[*lease], 0),
                Err(error) => {
                    assert_eq!(error, PickError::NoneAdmitted);
                    assert!(weights.iter().all(|&w| w == 0), "{weights:?}");
                }
            }
        }
    }
}

/// The same seed and the same calls give the same picks.
pub fn same_seed_same_picks<P: Policy>(make: impl Fn() -> P, promises: Promises) {
    for (seed, weights) in pools(promises).filter(|(_, weights)| weights.iter().any(|&w| w > 0)) {
        let run = || {
            let mut arena = arena_of(make(), promises, seed, &weights);
            let mut held = Vec::new();
            let mut picks = Vec::new();
            for i in 0..200 {
                let lease = arena.lease().unwrap();
                picks.push(*lease);
                held.push(lease);
                if i % 3 == 0 {
                    drop(held.swap_remove(i / 3));
                }
            }
            picks
        };
        assert_eq!(run(), run());
    }
}

/// A full backend is passed over, and the pool fails only when all are full.
pub fn allows_any_backend_to_be_full<P: Policy>(make: impl Fn() -> P, promises: Promises) {
    let n = 40;
    let mut arena = arena_of(make(), promises, 11, &vec![1; n]);
    for i in 0..n {
        let limit = NonZeroU32::new(1 + i as u32 % 3);
        arena.pool.set_max_in_flight(Arena::<P>::id(i), limit).unwrap();
    }
    let places: usize = (0..n).map(|i| 1 + i % 3).sum();
    let mut leases: Vec<_> = (0..places).map(|_| arena.lease().unwrap()).collect();
    let all_full = PickError::Exhausted { tried: 0, full: n };
    assert_eq!(arena.lease().unwrap_err(), all_full);
    let freed = *leases.swap_remove(17);
    assert_eq!(*arena.lease().unwrap(), freed);
}

/// With the same seed, asking for an explanation leads to the same pick, and the explanation names
/// it among those considered.
pub fn an_explanation_names_the_backend_that_was_picked<P: Policy>(
    make: impl Fn() -> P,
    promises: Promises,
) {
    for (seed, weights) in pools(promises).filter(|(_, weights)| weights.iter().any(|&w| w > 0)) {
        let mut plain = arena_of(make(), promises, seed, &weights);
        let mut asked = arena_of(make(), promises, seed, &weights);
        // Every other pool has limits, and so backends that are found full.
        for i in (0..weights.len()).filter(|_| seed % 2 == 0) {
            for arena in [&plain, &asked] {
                let limit = NonZeroU32::new(1 + i as u32 % 4);
                arena.pool.set_max_in_flight(Arena::<P>::id(i), limit).unwrap();
            }
        }
        let mut held = Vec::new();
        for _ in 0..100 {
            let Ok(lease) = plain.lease() else { break };
            let request = asked.request();
            let (explained, why) = asked.reader.explain(&request);
            let explained = explained.unwrap();
            assert_eq!(*lease, *explained, "{why}");
            assert_eq!(why.picked, Some(explained.id()));
            let considered = why.considered.iter().any(|c| c.backend == explained.id());
            // Who is not among them was found by going through the list, when those were full.
            let full = why.excluded.iter().any(|e| matches!(e.reason, Reason::Full { .. }));
            assert!(considered || full || why.considered.is_empty(), "{why}");
            assert!(why.excluded.iter().all(|e| e.backend != explained.id()), "{why}");
            held.push((lease, explained));
        }
    }
}

/// With nothing in flight, the shares are the weights.
pub fn shares_follow_the_weights_of_the_live<P: Policy>(make: impl Fn() -> P, promises: Promises) {
    if !promises.weighted {
        return;
    }
    for (seed, weights) in pools(promises).filter(|(_, weights)| weights.iter().any(|&w| w > 0)) {
        let mut arena = arena_of(make(), promises, seed, &weights);
        let counts = arena.histogram(weights.len(), 20_000);
        assert_shares(&counts, &weights.iter().map(|&w| f64::from(w)).collect::<Vec<_>>());
    }
}

/// When a backend dies, the others' shares grow in proportion; none gets the dead one's. (Pingora:
/// weights 4, 1, 1, 1 with one down give 8.7 % where 16.7 % is right, and a neighbour 17.4 %.)
pub fn a_dead_neighbours_share_is_spread<P: Policy>(make: impl Fn() -> P, promises: Promises) {
    if !promises.weighted {
        return;
    }
    for (weights, dead) in [(&[4, 1, 1, 1][..], 1), (&[1, 6, 2, 1], 1), (&[1; 10], 4), (&[1, 1], 0)]
    {
        let mut odds: Vec<f64> = weights.iter().map(|&w| f64::from(w)).collect();
        odds[dead] = 0.0;
        // Known to be down.
        let mut arena = arena_of(make(), promises, 2, weights);
        arena.take_down(dead);
        assert_shares(&arena.histogram(weights.len(), 60_000), &odds);
        // And not yet known: each request that meets it is tried elsewhere.
        let mut arena = arena_of(make(), promises, 2, weights);
        let tried = [Arena::<P>::id(dead)];
        let (mut counts, mut met) = (vec![0; weights.len()], 0);
        for _ in 0..60_000 {
            let mut pick = arena.pick();
            if pick == dead {
                met += 1;
                let request = arena.request().avoiding(&tried);
                pick = *arena.reader.pick(&request).unwrap();
            }
            counts[pick] += 1;
        }
        assert_shares(&counts, &odds);
        // And retries don't bring the rotation into step with the dead one.
        let share = f64::from(weights[dead]) / weights.iter().map(|&w| f64::from(w)).sum::<f64>();
        assert!(met as f64 <= binomial_limit(60_000, share), "{met} requests met the dead one");
    }
}

/// After every number of picks, each backend is within one pick of its share, counted from the
/// beginning of some round: the start is seeded, so the beginning is unknown, and what can be seen is
/// that no backend's lead ever varies by two. (Pingora picks a backend of weight 10 ten times in a
/// row.)
pub fn every_prefix_is_within_one_pick<P: Policy>(make: impl Fn() -> P, promises: Promises) {
    if !promises.smooth {
        return;
    }
    let round = |weights: &[u16]| weights.iter().map(|&w| u64::from(w)).sum::<u64>();
    for (seed, weights) in pools(promises).filter(|(_, w)| (1..=1 << 16).contains(&round(w))) {
        let mut arena = arena_of(make(), promises, seed, &weights);
        let total = round(&weights) as f64;
        let picks: Vec<usize> = (0..2_000).map(|_| arena.pick()).collect();
        let mut lead = vec![0.0_f64; weights.len()];
        let (mut low, mut high) = (lead.clone(), lead.clone());
        for (i, pick) in picks.into_iter().enumerate() {
            lead[pick] += 1.0;
            for (b, &weight) in weights.iter().enumerate() {
                lead[b] -= f64::from(weight) / total;
                (low[b], high[b]) = (low[b].min(lead[b]), high[b].max(lead[b]));
                assert!(
                    high[b] - low[b] < 2.0 + 1e-6,
                    "after {i} picks backend {b} is off by more than a pick: {weights:?}"
                );
            }
        }
    }
}

/// A set that changes between any two picks does not favour the first in the list. (Pingora's round
/// robin starts anew at each change: with two picks between changes, two backends get everything.)
pub fn the_rotation_survives_updates<P: Policy>(make: impl Fn() -> P, promises: Promises) {
    if !promises.weighted {
        return;
    }
    for between in 1..6 {
        let mut arena = arena_of(make(), promises, 8, &[1; 5]);
        let mut counts = vec![0; 5];
        for round in 0..2_000 {
            arena.set_weights(if round % 2 == 0 { &[1; 4] } else { &[1; 5] });
            for _ in 0..between {
                counts[arena.pick()] += 1;
            }
        }
        let total: u64 = counts.iter().sum();
        // The first four are in every set, the fifth in every other one.
        let fair = total as f64 * (1.0 / 4.0 + 1.0 / 5.0) / 2.0;
        for &count in &counts[..4] {
            let off = (count as f64 / fair - 1.0).abs();
            assert!(off < 0.2, "{between} picks between updates: {counts:?}, fair is {fair}");
        }
    }
}

/// Workers and processes with different seeds start at different backends. (Envoy #2593, #3271:
/// round robin in lock step.)
pub fn the_start_is_seeded<P: Policy>(make: impl Fn() -> P, promises: Promises) {
    if !promises.weighted {
        return;
    }
    let mut counts = [0_u64; 10];
    for seed in 0..1_000 {
        let mut arena = arena_of(make(), promises, seed, &[1; 10]);
        counts[arena.pick()] += 1;
        // Two workers of one pool, too.
        let mut worker = arena.pool.reader();
        counts[*worker.pick(&arena.request()).unwrap()] += 1;
    }
    assert_shares(&counts, &[1.0; 10]);
}

/// Every admitted backend is picked within a bounded number of picks, also one that is slow, fails,
/// or both. (Traefik #12306: one of five equal backends gets 5 of 1,500 requests.)
pub fn nobody_starves<P: Policy>(make: impl Fn() -> P, promises: Promises) {
    if !promises.no_starvation {
        return;
    }
    let n = 8;
    let fast = (Duration::from_millis(5), true);
    for bad in [(Duration::from_secs(2), true), (Duration::from_millis(1), false)] {
        let mut backends = vec![fast; n];
        backends[3] = bad;
        let mut arena = arena_of(make(), promises, 6, &vec![1; n]);
        // One exploring pick in 64, spread over n: 25 times that misses one with e^-25.
        let bound = 64 * n * 25;
        let served = ClosedLoop { clients: 4, backends }.run(&mut arena, 2_000, bound);
        assert!(served.iter().all(|&count| count > 0), "of {bound} picks: {served:?}");
    }
}

/// Under load, requests in flight per weight are alike. (Envoy leaves P2C when weights differ.)
pub fn load_per_weight_is_equalised<P: Policy>(make: impl Fn() -> P, promises: Promises) {
    let Some(spread) = promises.load_spread else { return };
    for weights in [&[1; 20][..], &[1, 2, 3, 4, 5, 6, 7, 8], &[10, 1], &[1; 3]] {
        let total: usize = weights.iter().map(|&w| usize::from(w)).sum();
        let mut arena = arena_of(make(), promises, 4, weights);
        let mut rng = Rng::seeded(4);
        let mut held = Vec::new();
        for step in 0..60 * total {
            held.push(arena.lease().unwrap());
            // Up to 20 in flight for each unit of weight, and then some leave at random.
            if held.len() > 20 * total {
                drop(held.swap_remove(rng.below(held.len() as u32) as usize));
            }
            if step % 97 != 0 || step < 20 * total {
                continue;
            }
            let mut loads = vec![0.0; weights.len()];
            for lease in &held {
                loads[**lease] += 1.0 / f64::from(weights[**lease]);
            }
            let (low, high) =
                loads.iter().fold((f64::MAX, 0.0_f64), |(l, h), &x| (l.min(x), h.max(x)));
            assert!(high - low <= spread, "in flight per weight, at step {step}: {loads:?}");
        }
    }
}

/// A backend that fails in 1 ms while the others work for 20 ms gets no more than its promised
/// share. (tower's P2C gives it 19 % where 10 % is fair; exact least connections alone would give
/// it 69 %.)
pub fn failing_fast_attracts_nobody<P: Policy>(make: impl Fn() -> P, promises: Promises) {
    let Some(most) = promises.failing_share else { return };
    let n = 10;
    let mut backends = vec![(Duration::from_millis(20), true); n];
    backends[0] = (Duration::from_millis(1), false);
    for clients in [10, 50, 200] {
        let mut arena = arena_of(make(), promises, 9, &vec![1; n]);
        let clients = ClosedLoop { clients, backends: backends.clone() };
        let requests = 20_000;
        let served = clients.run(&mut arena, 2_000, requests);
        let limit = binomial_limit(requests as u64, most / n as f64);
        assert!(served[0] as f64 <= limit, "{} of {requests} to the failing one", served[0]);
    }
}

/// The backend of each of so many keys.
fn owners<P: Policy>(arena: &mut Arena<P>, keys: u64) -> Vec<BackendId> {
    let key = |i: u64| HashKey::new(Rng::seeded(i).next_u64());
    let owner = |i| arena.reader.pick(&Request::new().with_key(key(i))).unwrap().id();
    (0..keys).map(owner).collect()
}

/// A key stays with its backend, whatever else is picked meanwhile, and for all workers and
/// processes; and with another seed.
pub fn the_same_key_goes_to_the_same_backend<P: Policy>(make: impl Fn() -> P, promises: Promises) {
    if promises.keyed.is_none() {
        return;
    }
    for (seed, weights) in pools(promises).filter(|(_, weights)| weights.iter().any(|&w| w > 0)) {
        let mut first = arena_of(make(), promises, seed, &weights);
        let mut second = arena_of(make(), promises, !seed, &weights);
        let before = owners(&mut first, 200);
        first.histogram(weights.len(), 100);
        assert_eq!(owners(&mut first, 200), before);
        assert_eq!(owners(&mut second, 200), before);
    }
}

/// A backend that goes down has its keys spread over all others by weight; no other key moves; and
/// all return with it. (Envoy builds the table anew.)
pub fn a_flap_moves_only_the_keys_of_the_dead<P: Policy>(make: impl Fn() -> P, promises: Promises) {
    if promises.keyed.is_none() {
        return;
    }
    for weights in [&[1; 12][..], &[1, 2, 3, 4, 5], &[1, 1], &[0, 3, 1]] {
        let mut arena = arena_of(make(), promises, 3, weights);
        let before = owners(&mut arena, 4_000);
        for dead in (0..weights.len()).filter(|&i| weights[i] > 0) {
            arena.take_down(dead);
            let down = owners(&mut arena, 4_000);
            for (then, now) in before.iter().zip(&down) {
                assert!(then == now || *then == Arena::<P>::id(dead));
                assert_ne!(*now, Arena::<P>::id(dead));
            }
            arena.bring_up(dead);
            assert_eq!(owners(&mut arena, 4_000), before);
        }
    }
}

/// When a backend leaves for good or joins, the keys of the others stay, up to the promised part.
/// (Pingora's FNV selection moves 89 % of them.)
pub fn a_change_moves_few_keys_needlessly<P: Policy>(make: impl Fn() -> P, promises: Promises) {
    let Some(most) = promises.keyed else { return };
    for (n, leaver) in [(3, 2), (3, 1), (10, 5), (60, 7)] {
        let mut arena = arena_of(make(), promises, 3, &vec![1; n]);
        let before = owners(&mut arena, 20_000);
        let id = Arena::<P>::id(leaver);
        arena.pool.remove(id).unwrap();
        let without = owners(&mut arena, 20_000);
        let needless = |from: &[BackendId], to: &[BackendId]| {
            let moved = |(a, b): &(&BackendId, &BackendId)| a != b && **a != id && **b != id;
            from.iter().zip(to).filter(moved).count() as f64 / from.len() as f64
        };
        assert!(needless(&before, &without) <= most, "{}", needless(&before, &without));
        arena.pool.insert(Spec::new(id, leaver)).unwrap();
        let again = owners(&mut arena, 20_000);
        assert!(needless(&without, &again) <= most, "{}", needless(&without, &again));
        let elsewhere = before.iter().zip(&again).filter(|(a, b)| a != b).count();
        let elsewhere = elsewhere as f64 / before.len() as f64;
        assert!(elsewhere <= most, "{elsewhere} of the keys did not return with {leaver}");
    }
}
