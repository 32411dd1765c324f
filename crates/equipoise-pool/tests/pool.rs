//! What a pool promises, one case at a time.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use equipoise_algorithms::{LeastConn, P2c, PeakEwma, Random, RoundRobin};
use equipoise_core::{
    Admin, Admission, BackendId, Failure, Health, Instant, LoadReport, Outcome, PickContext,
    Picker, Policy, Reason, Sample, Slot, Tracker, View, Weight,
};
use equipoise_pool::{Event, PickError, Pool, Request, Spec, UpdateError};

fn id(name: &str) -> BackendId {
    BackendId::named(name)
}

fn spec(name: &'static str) -> Spec<&'static str> {
    Spec::new(id(name), name)
}

fn pool(names: &[&'static str]) -> Pool<&'static str, RoundRobin> {
    let pool = Pool::new(RoundRobin, 1);
    pool.update(names.iter().map(|name| spec(name))).unwrap();
    pool
}

fn in_flight<B: Send + Sync + 'static, P: Policy>(pool: &Pool<B, P>) -> Vec<u32> {
    pool.backends().iter().map(|status| status.in_flight).collect()
}

#[test]
fn a_lease_counts_until_it_ends_however_it_ends() {
    let pool = pool(&["a"]);
    let one = pool.pick(&Request::new()).unwrap();
    let two = pool.pick(&Request::new()).unwrap();
    assert_eq!(in_flight(&pool), [2]);
    one.finish(Instant::ZERO, Outcome::Success);
    assert_eq!(in_flight(&pool), [1]);
    drop(two);
    assert_eq!(in_flight(&pool), [0]);
    let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _lease = pool.pick(&Request::new()).unwrap();
        panic!("the request's task dies");
    }));
    assert!(unwound.is_err());
    assert_eq!(in_flight(&pool), [0]);
}

#[test]
fn a_lease_holds_its_backend_over_any_update() {
    // tower #856: after a removal the index points to another endpoint.
    let pool = pool(&["a", "b", "c"]);
    let leases: Vec<_> = (0..3).map(|_| pool.pick(&Request::new()).unwrap()).collect();
    let names: Vec<&str> = leases.iter().map(|lease| **lease).collect();
    pool.update([spec("d")]).unwrap();
    assert_eq!(leases.iter().map(|lease| **lease).collect::<Vec<_>>(), names);
    assert!(leases.iter().zip(&names).all(|(lease, name)| lease.id() == id(name)));
    assert_eq!(*pool.pick(&Request::new()).unwrap(), "d");
}

#[test]
fn a_removed_backend_is_dropped_with_its_last_lease() {
    struct Backend(Arc<AtomicU32>);
    impl Drop for Backend {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let dropped = Arc::new(AtomicU32::new(0));
    let pool = Pool::new(RoundRobin, 1);
    pool.insert(Spec::new(id("a"), Backend(Arc::clone(&dropped)))).unwrap();
    let mut reader = pool.reader();
    let lease = reader.pick(&Request::new()).unwrap();
    assert_eq!(pool.remove(id("a")).unwrap()[0], Event::Removed { id: id("a"), in_flight: 1 });
    drop(lease);
    assert_eq!(dropped.load(Ordering::Relaxed), 0, "an idle reader keeps its last snapshot");
    reader.refresh();
    assert_eq!(dropped.load(Ordering::Relaxed), 1);
}

#[test]
fn a_backend_may_use_the_pool_as_it_is_dropped() {
    struct Backend(Option<Pool<Backend, RoundRobin>>);
    impl Drop for Backend {
        fn drop(&mut self) {
            if let Some(pool) = self.0.take() {
                pool.backends();
            }
        }
    }
    let pool = Pool::new(RoundRobin, 1);
    let backend = Backend(Some(pool.clone()));
    pool.insert(Spec::new(id("a"), backend)).unwrap();
    // Ones that are not taken in, since there is an `a` already.
    let again = || Spec::new(id("a"), Backend(Some(pool.clone())));
    pool.update([again()]).unwrap();
    assert_eq!(pool.insert(again()).unwrap_err(), UpdateError::DuplicateId(id("a")));
    pool.remove(id("a")).unwrap();
    assert!(pool.backends().is_empty());
}

#[test]
fn any_backend_type_will_do() {
    struct Opaque(
        #[allow(dead_code, reason = "it is only carried")] std::sync::mpsc::SyncSender<u8>,
    );
    let pool = Pool::new(P2c::default(), 1);
    let (sender, _receiver) = std::sync::mpsc::sync_channel(1);
    pool.insert(Spec::new(BackendId::new(1), Opaque(sender))).unwrap();
    assert!(pool.pick(&Request::new()).is_ok());
}

#[test]
fn an_update_is_a_diff_by_id() {
    let pool = pool(&["a", "b"]);
    pool.set_health(id("a"), Health::Down).unwrap();
    pool.set_admin(id("b"), Admin::Draining).unwrap();
    let lease = pool.pick(&Request::new().pinned_to(id("b"))).unwrap();

    assert_eq!(pool.update([spec("a"), spec("b")]).unwrap(), [], "the same set changes nothing");

    let heavier = [spec("b").weight(Weight::new(5)), spec("a").weight(Weight::new(2)), spec("c")];
    let events = pool.update(heavier).unwrap();
    assert_eq!(
        events,
        [
            Event::WeightChanged { id: id("b"), from: Weight::ONE, to: Weight::new(5) },
            Event::WeightChanged { id: id("a"), from: Weight::ONE, to: Weight::new(2) },
            Event::Added { id: id("c"), admission: Admission::New },
            Event::TierChanged { from: None, to: Some(0) },
        ]
    );
    // Pingora: a weight change makes a backend that is down ready again.
    let of = |name| pool.backends().into_iter().find(|status| status.id == id(name)).unwrap();
    assert_eq!(of("a").finding.health, Health::Down);
    assert_eq!((of("b").admin, of("b").in_flight), (Admin::Draining, 1));
    drop(lease);
    assert_eq!(of("b").in_flight, 0);
}

#[test]
fn a_refused_update_changes_nothing() {
    let pool = pool(&["a"]);
    let twice = pool.update([spec("b"), spec("c"), spec("b")]);
    assert_eq!(twice.unwrap_err(), UpdateError::DuplicateId(id("b")));
    assert_eq!(pool.insert(spec("a")).unwrap_err(), UpdateError::DuplicateId(id("a")));
    assert_eq!(pool.remove(id("x")).unwrap_err(), UpdateError::UnknownId(id("x")));
    assert_eq!(pool.backends().len(), 1);
    let many = (0..=65_536).map(|i| Spec::new(BackendId::new(i), "one too many"));
    assert_eq!(pool.update(many).unwrap_err(), UpdateError::TooMany { limit: 65_536 });
    assert_eq!(*pool.pick(&Request::new()).unwrap(), "a");
}

#[test]
fn backups_take_over_while_nobody_better_is_left() {
    let pool = Pool::new(RoundRobin, 1);
    pool.update([spec("main"), spec("backup").tier(1), spec("last").tier(9)]).unwrap();
    let pick = || *pool.pick(&Request::new()).unwrap();
    assert_eq!([pick(), pick()], ["main", "main"]);

    let events = pool.set_health(id("main"), Health::Down).unwrap();
    assert!(events.contains(&Event::TierChanged { from: Some(0), to: Some(1) }));
    assert_eq!([pick(), pick()], ["backup", "backup"]);

    // One that has been tried counts as gone, for this request alone.
    let tried = [id("backup")];
    assert_eq!(*pool.pick(&Request::new().avoiding(&tried)).unwrap(), "last");
    let events = pool.set_health(id("main"), Health::Up).unwrap();
    assert!(events.contains(&Event::TierChanged { from: Some(1), to: Some(0) }));
    assert_eq!(pick(), "main");

    for name in ["main", "backup", "last"] {
        pool.set_health(id(name), Health::Down).unwrap();
    }
    assert_eq!(pool.pick(&Request::new()).unwrap_err(), PickError::NoneAdmitted);
}

#[test]
fn least_conn_follows_backends_from_tier_to_tier() {
    let pool = Pool::new(LeastConn::new(), 1);
    let set = |tiers: [u8; 3]| {
        let names = ["a", "b", "c"].into_iter().zip(tiers);
        pool.update(names.map(|(name, tier)| spec(name).tier(tier))).unwrap()
    };
    for tiers in [[0, 0, 1], [1, 0, 0], [2, 1, 2], [1, 1, 0], [0, 0, 0]] {
        set(tiers);
        let best = tiers.into_iter().min().unwrap();
        let leases: Vec<_> = (0..12).map(|_| pool.pick(&Request::new()).unwrap()).collect();
        let each = 12 / tiers.iter().filter(|&&tier| tier == best).count() as u32;
        for (got, tier) in in_flight(&pool).into_iter().zip(tiers) {
            assert_eq!(got, if tier == best { each } else { 0 }, "{tiers:?}");
        }
        drop(leases);
    }
}

#[test]
fn draining_keeps_sessions_and_takes_no_new_ones() {
    let pool = pool(&["a", "b"]);
    let events = pool.set_admin(id("a"), Admin::Draining).unwrap();
    let (from, to) = (Admission::New, Admission::Established);
    assert_eq!(
        events,
        [Event::AdmissionChanged { id: id("a"), from, to, reason: Some(Reason::Draining) }]
    );
    let pinned = Request::new().pinned_to(id("a"));
    for _ in 0..10 {
        assert_eq!(*pool.pick(&Request::new()).unwrap(), "b");
        assert_eq!(*pool.pick(&pinned).unwrap(), "a");
    }
    // Weight 0 is the same; down and disabled end the sessions too.
    pool.set_admin(id("a"), Admin::Enabled).unwrap();
    pool.set_weight(id("a"), Weight::ZERO).unwrap();
    assert_eq!(*pool.pick(&Request::new()).unwrap(), "b");
    assert_eq!(*pool.pick(&pinned).unwrap(), "a");
    pool.set_health(id("a"), Health::Down).unwrap();
    assert_eq!(*pool.pick(&pinned).unwrap(), "b");
    // So does having tried it.
    pool.set_health(id("a"), Health::Up).unwrap();
    let tried = [id("a")];
    assert_eq!(*pool.pick(&pinned.avoiding(&tried)).unwrap(), "b");
}

#[test]
fn a_limit_is_never_exceeded_and_never_too_tight() {
    let pool = Pool::new(Random, 1);
    let three = NonZeroU32::new(3).unwrap();
    pool.insert(spec("a").max_in_flight(three)).unwrap();
    let held = AtomicU32::new(0);
    let visit = |picks: u32| {
        let mut reader = pool.reader();
        let mut turned_away = 0;
        for _ in 0..picks {
            match reader.pick(&Request::new()) {
                Ok(lease) => {
                    assert!(held.fetch_add(1, Ordering::SeqCst) < 3);
                    held.fetch_sub(1, Ordering::SeqCst);
                    drop(lease);
                }
                Err(_) => turned_away += 1,
            }
        }
        turned_away
    };
    let crowd = |threads: usize| {
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..threads).map(|_| scope.spawn(|| visit(20_000))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum::<u32>()
        })
    };
    // Three threads hold one each, and there are three places: nobody is turned away.
    assert_eq!(crowd(3), 0);
    // Five are too many, but three never become four.
    crowd(5);
    assert_eq!(in_flight(&pool), [0]);
}

#[test]
fn lowering_a_limit_lets_requests_run_on() {
    let pool = pool(&["a"]);
    pool.set_max_in_flight(id("a"), NonZeroU32::new(3)).unwrap();
    let leases: Vec<_> = (0..3).map(|_| pool.pick(&Request::new()).unwrap()).collect();
    pool.set_max_in_flight(id("a"), NonZeroU32::new(1)).unwrap();
    let full = PickError::Exhausted { tried: 0, full: 1 };
    assert_eq!(pool.pick(&Request::new()).unwrap_err(), full);
    drop(leases);
    let one = pool.pick(&Request::new()).unwrap();
    assert_eq!(pool.pick(&Request::new()).unwrap_err(), full);
    pool.set_max_in_flight(id("a"), None).unwrap();
    assert!(pool.pick(&Request::new()).is_ok());
    drop(one);
    assert_eq!(in_flight(&pool), [0]);
}

#[test]
fn an_explanation_gives_every_reason() {
    let pool = Pool::new(P2c::default(), 1);
    let one = NonZeroU32::new(1).unwrap();
    let names = ["good", "tried", "down", "draining", "disabled", "zero"];
    pool.update(
        names
            .map(spec)
            .into_iter()
            .chain([spec("full").max_in_flight(one), spec("backup").tier(1)]),
    )
    .unwrap();
    let full = pool.pick(&Request::new().pinned_to(id("full"))).unwrap();
    pool.set_health(id("down"), Health::Down).unwrap();
    pool.set_admin(id("draining"), Admin::Draining).unwrap();
    pool.set_admin(id("disabled"), Admin::Disabled).unwrap();
    pool.set_weight(id("zero"), Weight::ZERO).unwrap();

    let tried = [id("tried")];
    let mut reader = pool.reader();
    // Until the policy looks at the full one.
    let why = loop {
        let (lease, why) = reader.explain(&Request::new().avoiding(&tried));
        assert_eq!(*lease.unwrap(), "good");
        if why.excluded.iter().any(|e| e.backend == id("full")) {
            break why;
        }
    };
    let reason = |name| why.excluded.iter().find(|e| e.backend == id(name)).map(|e| e.reason);
    assert_eq!(reason("good"), None);
    assert_eq!(reason("tried"), Some(Reason::Tried));
    assert_eq!(reason("down"), Some(Reason::Down));
    assert_eq!(reason("draining"), Some(Reason::Draining));
    assert_eq!(reason("disabled"), Some(Reason::Disabled));
    assert_eq!(reason("zero"), Some(Reason::WeightZero));
    assert_eq!(reason("full"), Some(Reason::Full { limit: 1 }));
    assert_eq!(reason("backup"), Some(Reason::Backup { tier: 1 }));
    let text = why.to_string();
    assert!(text.starts_with(&format!("picked {}\n", id("good"))), "{text}");
    assert!(text.contains(&format!("  excluded {}: full: 1 in flight\n", id("full"))), "{text}");
    drop(full);

    let (lease, why) = pool.explain(&Request::new().pinned_to(id("draining")));
    assert_eq!(*lease.unwrap(), "draining");
    assert!(why.pinned && why.considered.is_empty());
}

/// Counts what it hears.
#[derive(Default)]
struct Counting {
    begun: AtomicU32,
    ended: AtomicU32,
    samples: AtomicU32,
    reports: AtomicU32,
}

impl Tracker for Counting {
    fn on_begin(&self) {
        self.begun.fetch_add(1, Ordering::Relaxed);
    }
    fn on_end(&self) {
        self.ended.fetch_add(1, Ordering::Relaxed);
    }
    fn on_sample(&self, sample: &Sample) {
        assert_eq!(sample.latency.as_nanos(), 30);
        self.samples.fetch_add(1, Ordering::Relaxed);
    }
    fn on_report(&self, _: Instant, report: &LoadReport) {
        assert_eq!(report.in_flight, Some(7));
        self.reports.fetch_add(1, Ordering::Relaxed);
    }
}

/// A user's own policy, with state per backend: always the first.
struct First(Arc<Counting>);
struct FirstPicker(Vec<Slot>);

impl Policy for First {
    type Picker = FirstPicker;

    fn track(&self, _: BackendId) -> Option<Arc<dyn Tracker>> {
        Some(Arc::clone(&self.0) as Arc<dyn Tracker>)
    }

    fn build(&self, view: &View<'_>, _: Option<&FirstPicker>) -> FirstPicker {
        FirstPicker(view.admitted().map(|(slot, ..)| slot).collect())
    }
}

impl Picker for FirstPicker {
    fn pick(&self, context: &mut PickContext<'_>) -> Option<Slot> {
        self.0.iter().copied().find(|&slot| !context.tried().contains(slot))
    }
}

#[test]
fn a_policys_state_hears_of_every_request_and_only_an_outcome_is_a_sample() {
    let heard = Arc::new(Counting::default());
    let pool = Pool::new(First(Arc::clone(&heard)), 1);
    pool.insert(spec("a")).unwrap();
    let at = Instant::from_nanos;
    let pick = || pool.pick(&Request::new().at(at(100))).unwrap();
    let counts = || {
        [&heard.begun, &heard.ended, &heard.samples, &heard.reports]
            .map(|n| n.load(Ordering::Relaxed))
    };
    // tower takes the time of a dropped call for a latency.
    drop(pick());
    assert_eq!(counts(), [1, 1, 0, 0]);
    pick().finish(at(130), Outcome::Success);
    pick().finish(at(130), Outcome::Failure(Failure::Timeout));
    assert_eq!(counts(), [3, 3, 2, 0]);
    let lease = pick();
    lease.sample(at(130), Outcome::Success);
    lease.report(at(130), &LoadReport::new().with_in_flight(7));
    pool.report(id("a"), at(140), &LoadReport::new().with_in_flight(7)).unwrap();
    assert_eq!(counts(), [4, 3, 3, 2]);
    // It survives an update.
    pool.set_weight(id("a"), Weight::new(9)).unwrap();
    drop(lease);
    assert_eq!(counts(), [4, 4, 3, 2]);
}

mod own_policy {
    use super::*;
    equipoise_testkit::policy_contract!(
        first,
        || First(Arc::default()),
        equipoise_testkit::Promises::none()
    );
}

/// A policy that breaks its contract can't hurt the pool.
struct Liar;
struct LiarPicker;

impl Policy for Liar {
    type Picker = LiarPicker;
    fn build(&self, _: &View<'_>, _: Option<&LiarPicker>) -> LiarPicker {
        LiarPicker
    }
}

impl Picker for LiarPicker {
    fn pick(&self, _: &mut PickContext<'_>) -> Option<Slot> {
        Some(Slot::new(1_000_000))
    }
}

#[test]
fn a_policy_that_names_nobody_known_is_overruled() {
    let pool = Pool::new(Liar, 1);
    pool.update([spec("a"), spec("b")]).unwrap();
    assert!(pool.pick(&Request::new()).is_ok());
    let tried = [id("a")];
    assert_eq!(*pool.pick(&Request::new().avoiding(&tried)).unwrap(), "b");
}

#[test]
fn readers_see_updates_and_share_nothing_else() {
    let pool = pool(&["a", "b", "c"]);
    let (mut one, mut two) = (pool.reader(), pool.reader());
    let round = |reader: &mut equipoise_pool::Reader<_, _>| {
        let mut picks: Vec<&str> = (0..3).map(|_| *reader.pick(&Request::new()).unwrap()).collect();
        picks.sort_unstable();
        picks
    };
    // Each goes round by itself, whatever the other does.
    assert_eq!(round(&mut one), ["a", "b", "c"]);
    let _ = two.pick(&Request::new()).unwrap();
    assert_eq!(round(&mut one), ["a", "b", "c"]);
    pool.remove(id("b")).unwrap();
    assert!((0..10).all(|_| *one.pick(&Request::new()).unwrap() != "b"));
    assert!((0..10).all(|_| *two.clone().pick(&Request::new()).unwrap() != "b"));
}

#[test]
fn nothing_is_lost_while_threads_pick_and_others_update() {
    let pool = Pool::new(PeakEwma::default(), 1);
    let spec = |i: u64| Spec::new(BackendId::new(i), i);
    pool.update((0..50).map(spec)).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..3_u64 {
            let pool = &pool;
            scope.spawn(move || {
                let mut reader = pool.reader();
                let mut held = std::collections::VecDeque::new();
                for i in 0..20_000_u64 {
                    let now = Instant::from_nanos(i * 1_000);
                    // One backend is always there, so a pick never fails.
                    let lease = if thread == 0 {
                        pool.pick(&Request::new().at(now)).unwrap()
                    } else {
                        reader.pick(&Request::new().at(now)).unwrap()
                    };
                    held.push_back(lease);
                    if held.len() > 30 {
                        held.pop_front().unwrap().finish(now, Outcome::Success);
                    }
                }
            });
        }
        scope.spawn(|| {
            for i in 0..300_u64 {
                pool.update((i % 40..50).map(spec)).unwrap();
                pool.set_health(BackendId::new(49), Health::Up).unwrap();
                pool.set_weight(BackendId::new(48), Weight::new((i % 3) as u16)).unwrap();
            }
        });
    });
    assert!(in_flight(&pool).into_iter().all(|n| n == 0));
}

/// A policy whose code panics for the backend 3, when it joins or when a request begins.
struct Fragile {
    when_joining: bool,
}

struct FragileTracker;

impl Tracker for FragileTracker {
    fn on_begin(&self) {
        panic!("the tracker's fault");
    }
}

impl Policy for Fragile {
    type Picker = FirstPicker;

    fn track(&self, id: BackendId) -> Option<Arc<dyn Tracker>> {
        assert!(!(self.when_joining && id == BackendId::new(3)), "the policy's fault");
        (id == BackendId::new(3)).then(|| Arc::new(FragileTracker) as Arc<dyn Tracker>)
    }

    fn build(&self, view: &View<'_>, _: Option<&FirstPicker>) -> FirstPicker {
        FirstPicker(view.admitted().map(|(slot, ..)| slot).collect())
    }
}

fn panics(f: impl FnOnce()) -> bool {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).is_err()
}

#[test]
fn a_panic_in_a_policy_leaves_no_half_of_an_update() {
    let pool = Pool::new(Fragile { when_joining: true }, 1);
    let spec = |i: u64| Spec::new(BackendId::new(i), i);
    pool.update([0, 1].map(spec)).unwrap();
    assert!(panics(|| drop(pool.update([1, 2, 3, 4].map(spec)))));
    assert!(panics(|| drop(pool.insert(spec(3)))));
    let ids: Vec<_> = pool.backends().iter().map(|status| status.id.get()).collect();
    assert_eq!(ids, [0, 1]);
    assert_eq!(*pool.pick(&Request::new()).unwrap(), 0);
}

#[test]
fn a_panic_in_a_tracker_gives_the_place_back() {
    let pool = Pool::new(Fragile { when_joining: false }, 1);
    let one = NonZeroU32::new(1).unwrap();
    pool.insert(Spec::new(BackendId::new(3), 3_u64).max_in_flight(one)).unwrap();
    for _ in 0..3 {
        // The third would be turned away if a place had been lost, and not panic.
        assert!(panics(|| drop(pool.pick(&Request::new()))));
    }
    assert_eq!(in_flight(&pool), [0]);
}

#[test]
fn least_conn_lets_go_of_a_tier_that_has_gone() {
    let pool = Pool::new(LeastConn::new(), 1);
    pool.update([spec("main"), spec("b1").tier(255), spec("b2").tier(255)]).unwrap();
    let held = pool.pick(&Request::new()).unwrap();
    assert_eq!(*held, "main");
    pool.update([spec("b1").tier(255), spec("b2").tier(255)]).unwrap();
    let leases: Vec<_> = (0..20).map(|_| pool.pick(&Request::new()).unwrap()).collect();
    assert_eq!(in_flight(&pool), [10, 10]);
    drop((leases, held));
}

#[test]
fn an_explanation_lists_every_full_backend() {
    let pool = Pool::new(P2c::default(), 1);
    let names: Vec<String> = (0..29).map(|i| format!("full-{i}")).collect();
    let one = NonZeroU32::new(1).unwrap();
    let full = names.iter().map(|name| Spec::new(id(name), "full").max_in_flight(one));
    pool.update(full.chain([spec("backup").tier(1)])).unwrap();
    let _held: Vec<_> = (0..29).map(|_| pool.pick(&Request::new()).unwrap()).collect();
    let (lease, why) = pool.explain(&Request::new());
    assert_eq!(*lease.unwrap(), "backup");
    let full = why.excluded.iter().filter(|e| e.reason == Reason::Full { limit: 1 }).count();
    assert_eq!(full, 29, "{why}");
}

#[test]
fn a_request_without_a_time_is_no_sample() {
    let heard = Arc::new(Counting::default());
    let pool = Pool::new(First(Arc::clone(&heard)), 1);
    pool.insert(spec("a")).unwrap();
    pool.pick(&Request::new()).unwrap().finish(Instant::from_nanos(30), Outcome::Success);
    assert_eq!(heard.samples.load(Ordering::Relaxed), 0);
}
