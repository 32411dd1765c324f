//! A backend that has a part of its weight gets that part, whatever the policy.

use equipoise_algorithms::{LoadFactor, PolicyConfig};
use equipoise_core::{
    BackendId, BoxPolicy, Finding, HashKey, Instant, Outcome, Policy, Rng, Share, Weight,
};
use equipoise_pool::{Pool, Request, Spec};
use equipoise_testkit::statistics::{assert_shares, binomial_limit};

fn id(index: usize) -> BackendId {
    BackendId::new(index as u64)
}

/// A pool of backends of these weights, of which the first starts.
fn pool<P: Policy>(policy: P, weights: &[u16]) -> Pool<usize, P> {
    let pool = Pool::new(policy, 1);
    let spec = |(i, &weight)| Spec::new(id(i), i).weight(Weight::new(weight));
    pool.update(weights.iter().enumerate().map(spec)).unwrap();
    pool
}

fn start<P: Policy>(pool: &Pool<usize, P>, share: f64) {
    pool.apply([(id(0), Finding { share: Share::new(share), ..Finding::default() })]);
}

fn policies(keyed: bool) -> impl Iterator<Item = (&'static str, BoxPolicy)> {
    PolicyConfig::names().iter().filter_map(move |name| {
        let config: PolicyConfig = name.parse().unwrap();
        (matches!(config, PolicyConfig::Hash(_)) == keyed).then(|| (*name, config.policy()))
    })
}

/// How many of `n` requests that end at once each backend gets.
fn counts<P: Policy>(pool: &Pool<usize, P>, backends: usize, n: usize) -> Vec<u64> {
    let mut reader = pool.reader();
    let mut counts = vec![0; backends];
    for _ in 0..n {
        let lease = reader.pick(&Request::new()).unwrap();
        counts[*lease] += 1;
        lease.finish(Instant::ZERO, Outcome::Success);
    }
    counts
}

/// Who has each of many keys.
fn owners<P: Policy>(pool: &Pool<usize, P>, n: usize) -> Vec<usize> {
    let mut reader = pool.reader();
    let mut rng = Rng::seeded(5);
    (0..n)
        .map(|_| {
            let key = HashKey::new(rng.next_u64());
            *reader.pick(&Request::new().with_key(key)).unwrap()
        })
        .collect()
}

#[test]
fn a_share_is_a_part_of_the_weight_for_every_policy() {
    const MAX: u16 = u16::MAX;
    for weights in [[1, 1, 1, 1], [2, 1, 5, 3], [MAX; 4], [MAX, 1, 40_000, 7], [300, 1, 500, 9]] {
        for share in [0.1, 0.5, 1.0] {
            let mut odds = weights.map(f64::from);
            odds[0] *= share;
            for (name, policy) in policies(false) {
                let pool = pool(policy, &weights);
                start(&pool, share);
                let counts = counts(&pool, weights.len(), 40_000);
                println!("{name}: {weights:?}, {share}: {counts:?}");
                assert_shares(&counts, &odds);
            }
        }
    }
}

#[test]
fn a_keyed_policy_hands_keys_back_and_moves_no_other() {
    const KEYS: usize = 12_000;
    for weights in [[1, 1, 1, 1], [2, 1, 5, 3]] {
        for (name, policy) in policies(true) {
            let pool = pool(policy, &weights);
            let full = owners(&pool, KEYS);
            let mut before: Option<Vec<usize>> = None;
            for share in [0.0, 0.1, 0.25, 0.5, 0.9, 1.0] {
                start(&pool, share);
                let now = owners(&pool, KEYS);
                assert_part(&full, &now, Share::new(share).get().max(1.0 / 128.0), name);
                for (key, (&full, &now)) in full.iter().zip(&now).enumerate() {
                    // Away from home are only keys of the one that starts, and they only return.
                    assert!(now == full || full == 0, "{name}: key {key} moved");
                    if let Some(before) = &before {
                        assert!(now == before[key] || now == 0, "{name}: key {key} moved on");
                    }
                }
                before = Some(now);
            }
            assert_eq!(before, Some(full), "{name}: in the end all are back");
        }
    }
}

/// Of its keys the starting backend has about such a part.
fn assert_part(full: &[usize], now: &[usize], part: f64, name: &str) {
    let of = |owners: &[usize]| owners.iter().filter(|&&owner| owner == 0).count() as u64;
    let (all, got) = (of(full), of(now));
    let (most, least) = (binomial_limit(all, part), all as f64 - binomial_limit(all, 1.0 - part));
    let got = got as f64;
    // A share is rounded to what the weights can tell apart: half a percent at most.
    let rounded = 0.008 * all as f64;
    assert!(got <= most + rounded && got >= least - rounded, "{name}: {got} of {all} at {part}");
}

#[test]
fn heavy_weights_start_slowly_under_keys_too() {
    for (name, policy) in policies(true) {
        let pool = pool(policy, &[u16::MAX; 3]);
        let full = owners(&pool, 6_000);
        start(&pool, 0.25);
        let now = owners(&pool, 6_000);
        assert_part(&full, &now, 0.25, name);
        assert!(full.iter().zip(&now).all(|(full, now)| full == now || *full == 0), "{name}");
    }
}

#[test]
fn bounded_loads_are_bound_to_the_part_that_a_backend_has() {
    for name in PolicyConfig::names() {
        let Ok(PolicyConfig::Hash(mut hash)) = name.parse() else { continue };
        hash.balance_factor = LoadFactor::percent(125);
        let pool = pool(PolicyConfig::Hash(hash).policy(), &[1; 4]);
        // Everybody wants the one that starts.
        let mut rng = Rng::seeded(9);
        let keys = std::iter::repeat_with(|| Request::new().with_key(HashKey::new(rng.next_u64())));
        let wanted = |request: &Request<'_>| *pool.pick(request).unwrap() == 0;
        let requests: Vec<_> = keys.filter(wanted).take(800).collect();
        for share in [0.1, 0.5, 1.0] {
            start(&pool, share);
            let leases: Vec<_> =
                requests.iter().map(|request| pool.pick(request).unwrap()).collect();
            let got = leases.iter().filter(|lease| ***lease == 0).count() as f64;
            // The part is rounded to 128ths of the weight.
            let rounded = (share * 128.0_f64).floor() / 128.0;
            let bound = (1.25 * 800.0 * rounded / (3.0 + rounded)).ceil();
            // The last that came may not have been for it, and the bound grows with each.
            assert!(got == bound || got == bound - 1.0, "{name}: {got} at {share}, bound {bound}");
        }
    }
}

#[test]
fn nobody_with_the_least_share_starves() {
    for keyed in [false, true] {
        for (name, policy) in policies(keyed) {
            let pool = pool(policy, &[1; 4]);
            start(&pool, 0.0);
            let got = if keyed {
                owners(&pool, 12_000).into_iter().filter(|&owner| owner == 0).count() as u64
            } else {
                counts(&pool, 4, 12_000)[0]
            };
            assert!(got > 0, "{name}");
        }
    }
}
