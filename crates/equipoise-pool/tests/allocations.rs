//! A pick, a lease and its end allocate nothing, whatever the policy.

use allocation_counter::measure;
use equipoise_algorithms::{LeastConn, P2c, PeakEwma, PolicyConfig, Random, RoundRobin};
use equipoise_core::{BackendId, Finding, Instant, Outcome, Passive, Policy, Runs, Weight};
use equipoise_pool::{Pool, Request, Spec};

fn assert_none<P: Policy>(policy: P) {
    assert_none_of(&Pool::new(policy, 1));
}

fn assert_none_of<P: Policy>(pool: &Pool<u64, P>) {
    let spec = |i: u64| Spec::new(BackendId::new(i), i).weight(Weight::new(1 + i as u16 % 5));
    pool.update((0..500).map(spec)).unwrap();
    let mut reader = pool.reader();
    let tried: Vec<BackendId> = (0..8).map(BackendId::new).collect();
    let mut requests = || {
        for i in 0..500 {
            let now = Instant::from_nanos(i * 1_000_000);
            let first = reader.pick(&Request::new().at(now)).unwrap();
            let retry = pool.pick(&Request::new().at(now).avoiding(&tried)).unwrap();
            let pinned = reader.pick(&Request::new().pinned_to(BackendId::new(i))).unwrap();
            first.finish(now, Outcome::Success);
            retry.finish(now, Outcome::Failure(equipoise_core::Failure::Connect));
            drop(pinned);
        }
    };
    // The first look of a thread at `arc-swap` makes its slot.
    requests();
    assert_eq!(measure(requests).count_total, 0);
    // The counter counts.
    assert_eq!(measure(|| drop(std::hint::black_box(Box::new(7)))).count_total, 1);
}

#[test]
fn no_allocation_in_pick_lease_and_finish() {
    assert_none(RoundRobin);
    assert_none(Random);
    assert_none(LeastConn::new());
    assert_none(P2c::default());
    assert_none(P2c::new(5).unwrap());
    assert_none(PeakEwma::default());
    assert_none(PolicyConfig::default().policy());
}

#[test]
fn no_allocation_where_somebody_minds_the_health() {
    // Runs of failures that call allocate for the list of calls; those of no threshold don't.
    let pool = Pool::watched(P2c::default(), 1, Runs::default(), || {});
    assert_none_of(&pool);
    let trial = Finding { passive: Passive::Trial, ..Finding::default() };
    pool.apply((0..100).map(|i| (BackendId::new(i), trial)));
    let mut reader = pool.reader();
    let mut requests = || {
        for i in 0..500 {
            let now = Instant::from_nanos(1 + i);
            drop(reader.pick(&Request::new().at(now)).unwrap());
        }
    };
    requests();
    assert_eq!(measure(requests).count_total, 0);
}
