//! What a pool promises to whoever minds its health, one case at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use equipoise_algorithms::{PolicyConfig, RoundRobin};
use equipoise_core::{
    Admin, Admission, BackendId, BoxPolicy, Drain, Failure, Finding, HashKey, Health, Instant,
    Outcome, Passive, Policy, Reason, Rng, Runs, Share, Tally, View, Weight,
};
use equipoise_pool::{Alarm, Event, Lease, PickError, Pool, Request, Spec};

const BAD_GATEWAY: Outcome = Outcome::Failure(Failure::Response(502));
const ERROR: Outcome = Outcome::Failure(Failure::Response(500));
const REFUSED: Outcome = Outcome::Failure(Failure::Connect);
const NEVER: Runs = Runs { failures: 0, gateway: 0, local: 0, code: 0 };

fn id(name: &str) -> BackendId {
    BackendId::named(name)
}

fn spec(name: &'static str) -> Spec<&'static str> {
    Spec::new(id(name), name)
}

/// A watched pool, and how often it woke somebody.
fn watched<P: Policy>(
    policy: P,
    thresholds: Runs,
    names: &[&'static str],
) -> (Pool<&'static str, P>, Arc<AtomicU32>) {
    let woken = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&woken);
    let pool = Pool::watched(policy, 1, thresholds, move || {
        count.fetch_add(1, Ordering::Relaxed);
    });
    pool.update(names.iter().map(|name| spec(name))).unwrap();
    (pool, woken)
}

fn passive(passive: Passive) -> Finding {
    Finding { passive, ..Finding::default() }
}

fn end<P: Policy>(pool: &Pool<&'static str, P>, outcome: Outcome) {
    pool.pick(&Request::new()).unwrap().finish(Instant::ZERO, outcome);
}

/// Every policy that a configuration may name.
fn policies() -> impl Iterator<Item = (&'static str, bool, BoxPolicy)> {
    PolicyConfig::names().iter().map(|name| {
        let config: PolicyConfig = name.parse().unwrap();
        (*name, matches!(config, PolicyConfig::Hash(_)), config.policy())
    })
}

#[test]
fn each_kind_of_run_calls_at_multiples_of_its_own_threshold() {
    let of = |failures, gateway, local| Runs { failures, gateway, local, code: 0 };
    for (thresholds, outcome, calls) in [
        (of(3, 0, 0), ERROR, &[3, 6, 9][..]),
        (of(0, 2, 0), BAD_GATEWAY, &[2, 4, 6, 8, 10]),
        (of(0, 2, 0), ERROR, &[]),
        (of(0, 0, 4), REFUSED, &[4, 8]),
        (of(0, 0, 4), BAD_GATEWAY, &[]),
        (of(5, 4, 0), BAD_GATEWAY, &[4, 5, 8, 10]),
        (of(1, 0, 0), Outcome::Success, &[]),
    ] {
        let (pool, woken) = watched(RoundRobin, thresholds, &["a"]);
        let mut called = Vec::new();
        for i in 1..=10 {
            end(&pool, outcome);
            for alarm in pool.take_alarms() {
                assert_eq!((alarm.id, alarm.runs.failures, alarm.trial), (id("a"), i, None));
                called.push(i);
            }
        }
        assert_eq!(called, calls, "{thresholds:?}, {outcome:?}");
        assert_eq!(woken.load(Ordering::Relaxed) as usize, calls.len(), "{thresholds:?}");
    }
}

#[test]
fn a_backend_calls_once_until_it_is_answered() {
    let thresholds = Runs { failures: 1, ..NEVER };
    let (pool, woken) = watched(RoundRobin, thresholds, &["a", "b"]);
    (0..6).for_each(|_| end(&pool, ERROR));
    assert_eq!(woken.load(Ordering::Relaxed), 2);
    let mut alarms: Vec<_> =
        pool.take_alarms().into_iter().map(|alarm| (alarm.id, alarm.runs.failures)).collect();
    alarms.sort();
    let mut expected = [(id("a"), 3), (id("b"), 3)];
    expected.sort();
    assert_eq!(alarms, expected);
    assert_eq!(pool.take_alarms(), []);
    end(&pool, ERROR);
    assert_eq!(pool.take_alarms().len(), 1);
}

#[test]
fn an_alarm_is_not_about_another_backend_of_that_id() {
    let (pool, _) = watched(RoundRobin, Runs { failures: 1, ..NEVER }, &["a"]);
    let late = pool.pick(&Request::new()).unwrap();
    end(&pool, ERROR);
    pool.remove(id("a")).unwrap();
    pool.insert(spec("a")).unwrap();
    assert_eq!(pool.take_alarms(), [], "the new one has done nothing");

    // The old one calls once more, and so does the new one.
    late.finish(Instant::ZERO, ERROR);
    end(&pool, ERROR);
    let alarms = pool.take_alarms();
    assert_eq!(alarms.len(), 1, "each backend once: {alarms:?}");
    assert_eq!(alarms[0].runs.failures, 1);
}

#[test]
fn an_unwatched_pool_has_nothing_to_say() {
    let pool = Pool::new(RoundRobin, 1);
    pool.insert(spec("a")).unwrap();
    pool.apply([(id("a"), passive(Passive::Trial))]);
    end(&pool, ERROR);
    let mut tallies = Vec::new();
    pool.take_tallies(&mut tallies);
    assert_eq!((tallies.len(), pool.take_alarms().len()), (0, 0));
    assert!(!pool.take_visited(id("a")));
}

/// Holds requests on every backend of the pool, by turns through the pool and a reader.
fn hold<P: Policy>(pool: &Pool<&'static str, P>, requests: u64) -> Vec<Lease<&'static str>> {
    let mut reader = pool.reader();
    let mut rng = Rng::seeded(7);
    (0..requests)
        .map(|i| {
            let request = Request::new().with_key(HashKey::new(rng.next_u64()));
            if i % 2 == 0 { pool.pick(&request) } else { reader.pick(&request) }.unwrap()
        })
        .collect()
}

fn on(leases: &[Lease<&'static str>], name: &str) -> usize {
    leases.iter().filter(|lease| ***lease == name).count()
}

#[test]
fn a_trial_is_one_request_at_a_time_whatever_the_policy() {
    for (name, _, policy) in policies() {
        let (pool, _) = watched(policy, NEVER, &["a", "b", "c"]);
        pool.apply([(id("a"), passive(Passive::Trial))]);
        let mut leases = hold(&pool, 120);
        assert_eq!(on(&leases, "a"), 1, "{name}");
        // It is given up without an outcome: another may try.
        leases.retain(|lease| **lease != "a");
        leases.extend(hold(&pool, 120));
        assert_eq!(on(&leases, "a"), 1, "{name}");

        let at = leases.iter().position(|lease| **lease == "a").unwrap();
        leases.swap_remove(at).finish(Instant::ZERO, Outcome::Success);
        leases.extend(hold(&pool, 120));
        assert_eq!(on(&leases, "a"), 0, "{name}: the trial is over");
        let [Alarm { id: who, trial, .. }] = pool.take_alarms()[..] else { panic!("{name}") };
        assert_eq!((who, trial), (id("a"), Some(true)), "{name}");

        pool.apply([(id("a"), passive(Passive::Clear))]);
        leases.extend(hold(&pool, 120));
        assert!(on(&leases, "a") > 1, "{name}");
    }
}

#[test]
fn a_trial_that_fails_says_so_and_lets_nobody_in() {
    let (pool, woken) = watched(RoundRobin, NEVER, &["a"]);
    pool.apply([(id("a"), passive(Passive::Trial))]);
    let trial = pool.pick(&Request::new()).unwrap();
    assert_eq!(
        pool.pick(&Request::new()).unwrap_err(),
        PickError::Exhausted { tried: 0, full: 1 },
        "nobody else is left"
    );
    // The head of the response decides; its body still occupies the backend.
    trial.sample(Instant::ZERO, ERROR);
    assert_eq!(woken.load(Ordering::Relaxed), 1);
    assert_eq!(pool.take_alarms()[0].trial, Some(false));
    drop(trial);
    assert!(pool.pick(&Request::new()).is_err(), "it failed");
    // Out for a time, and then another trial.
    pool.apply([(id("a"), passive(Passive::Ejected))]);
    assert_eq!(pool.pick(&Request::new()).unwrap_err(), PickError::NoneAdmitted);
    pool.apply([(id("a"), passive(Passive::Trial))]);
    pool.pick(&Request::new()).unwrap().finish(Instant::ZERO, Outcome::Success);
    assert_eq!(pool.take_alarms()[0].trial, Some(true));
}

#[test]
fn an_outcome_after_the_control_side_moved_on_decides_nothing() {
    for moved_on in [Passive::Clear, Passive::Ejected] {
        let (pool, _) = watched(RoundRobin, NEVER, &["a"]);
        pool.apply([(id("a"), passive(Passive::Trial))]);
        let stale = pool.pick(&Request::new()).unwrap();
        pool.apply([(id("a"), passive(moved_on))]);
        pool.apply([(id("a"), passive(Passive::Trial))]);
        assert!(pool.pick(&Request::new()).is_err(), "there would be two at a time");
        stale.sample(Instant::ZERO, ERROR);
        assert_eq!(pool.take_alarms(), []);
        drop(stale);
        end(&pool, Outcome::Success);
        assert_eq!(pool.take_alarms()[0].trial, Some(true), "after {moved_on:?}");
    }
}

#[test]
fn one_in_flight_from_before_the_ejection_is_no_trial() {
    let (pool, _) = watched(RoundRobin, NEVER, &["a"]);
    let old = pool.pick(&Request::new()).unwrap();
    pool.apply([(id("a"), passive(Passive::Ejected))]);
    pool.apply([(id("a"), passive(Passive::Trial))]);
    old.finish(Instant::ZERO, Outcome::Success);
    assert_eq!(pool.take_alarms(), []);
    assert!(pool.pick(&Request::new()).is_ok());
}

#[test]
fn a_trial_keeps_to_the_limit_and_gives_its_place_back() {
    let (pool, _) = watched(RoundRobin, NEVER, &["a"]);
    pool.set_max_in_flight(id("a"), std::num::NonZeroU32::new(2)).unwrap();
    let old = [(); 2].map(|()| pool.pick(&Request::new()).unwrap());
    pool.apply([(id("a"), passive(Passive::Trial))]);
    assert!(pool.pick(&Request::new()).is_err(), "it is full");
    drop(old);
    let trial = pool.pick(&Request::new()).unwrap();
    for _ in 0..3 {
        assert!(pool.pick(&Request::new()).is_err());
    }
    trial.finish(Instant::ZERO, Outcome::Success);
    pool.apply([(id("a"), passive(Passive::Clear))]);
    // Those whom the gate turned away took no place with them.
    let leases = [(); 2].map(|()| pool.pick(&Request::new()).unwrap());
    assert!(pool.pick(&Request::new()).is_err());
    drop(leases);
}

#[test]
fn who_comes_back_from_an_ejection_starts_with_no_run() {
    let (pool, _) = watched(RoundRobin, Runs { failures: 3, ..NEVER }, &["a"]);
    (0..5).for_each(|_| end(&pool, ERROR));
    assert_eq!(pool.take_alarms()[0].runs.failures, 5);
    pool.apply([(id("a"), passive(Passive::Ejected))]);
    pool.apply([(id("a"), passive(Passive::Clear))]);
    end(&pool, ERROR);
    end(&pool, ERROR);
    assert_eq!(pool.take_alarms(), [], "two in a row, not seven");
    end(&pool, ERROR);
    assert_eq!(pool.take_alarms()[0].runs.failures, 3);
}

/// Round robin that counts how often it was built.
struct Counting(Arc<AtomicU32>);

impl Policy for Counting {
    type Picker = <RoundRobin as Policy>::Picker;

    fn build(&self, view: &View<'_>, previous: Option<&Self::Picker>) -> Self::Picker {
        self.0.fetch_add(1, Ordering::Relaxed);
        RoundRobin.build(view, previous)
    }
}

#[test]
fn findings_are_applied_at_once_and_strangers_passed_over() {
    let built = Arc::new(AtomicU32::new(0));
    let (pool, _) = watched(Counting(Arc::clone(&built)), NEVER, &["a", "b", "c"]);
    let down = Finding { health: Health::Down, ..Finding::default() };
    let drain = Finding { drain: Drain::Wanted, ..Finding::default() };
    let before = built.load(Ordering::Relaxed);
    let findings =
        [(id("a"), down), (id("x"), down), (id("b"), drain), (id("c"), Finding::UNKNOWN)];
    let events = pool.apply(findings);
    assert_eq!(built.load(Ordering::Relaxed) - before, 1, "one snapshot for all");
    let changed = |event: &Event| match *event {
        Event::AdmissionChanged { id, from: Admission::New, to, reason: Some(_) } => (id, to),
        other => panic!("{other:?}"),
    };
    let changed: Vec<_> = events.iter().map(changed).collect();
    assert_eq!(changed, [(id("a"), Admission::Never), (id("b"), Admission::Established)]);
    let found = |name| pool.finding(id(name));
    assert_eq!((found("a"), found("b"), found("x")), (Some(down), Some(drain), None));

    assert_eq!(pool.apply(findings), [], "the same again changes nothing");
    assert_eq!(pool.apply([(id("x"), drain)]), []);
    assert_eq!(built.load(Ordering::Relaxed) - before, 1, "and publishes nothing");
}

#[test]
fn findings_survive_updates_weights_tiers_and_limits() {
    // Pingora: a backend is another one when its weight changes, and so is ready again.
    let (pool, _) = watched(RoundRobin, NEVER, &["a", "b"]);
    let found = Finding {
        health: Health::Down,
        passive: Passive::Ejected,
        drain: Drain::Wanted,
        share: Share::new(0.25),
    };
    pool.apply([(id("a"), found)]);
    let one = std::num::NonZeroU32::MIN;
    let changes: [&dyn Fn(); 6] = [
        &|| _ = pool.update([spec("b"), spec("a"), spec("c")]).unwrap(),
        &|| _ = pool.update([spec("a").weight(Weight::new(9)).tier(2)]).unwrap(),
        &|| _ = pool.update([spec("a").finding(Finding::UNKNOWN), spec("b")]).unwrap(),
        &|| _ = pool.set_weight(id("a"), Weight::new(4)).unwrap(),
        &|| _ = pool.set_max_in_flight(id("a"), Some(one)).unwrap(),
        &|| _ = pool.set_admin(id("a"), Admin::Enabled).unwrap(),
    ];
    for (i, change) in changes.into_iter().enumerate() {
        change();
        assert_eq!(pool.finding(id("a")), Some(found), "change {i}");
        let status = pool.backends().into_iter().find(|status| status.id == id("a")).unwrap();
        assert_eq!(status.admission, Admission::Never, "change {i}");
    }
    // Who leaves and comes back is another one.
    pool.remove(id("a")).unwrap();
    pool.insert(spec("a")).unwrap();
    assert_eq!(pool.finding(id("a")), Some(Finding::UNKNOWN));
}

#[test]
fn a_trial_survives_an_update() {
    let (pool, _) = watched(RoundRobin, NEVER, &["a", "b"]);
    pool.apply([(id("a"), passive(Passive::Trial))]);
    let mut leases = hold(&pool, 20);
    pool.update([spec("b").weight(Weight::new(2)), spec("a").weight(Weight::new(7)).tier(0)])
        .unwrap();
    leases.extend(hold(&pool, 20));
    assert_eq!(on(&leases, "a"), 1);
}

#[test]
fn what_is_known_of_a_backend_when_it_joins_counts_from_the_start() {
    let (pool, _) = watched(RoundRobin, NEVER, &["b"]);
    let pending = Finding { health: Health::Pending, ..Finding::default() };
    let events = pool.update([spec("a").finding(pending), spec("b")]).unwrap();
    assert!(events.contains(&Event::Added { id: id("a"), admission: Admission::Never }));
    assert_eq!(on(&hold(&pool, 100), "a"), 0, "nobody knows of it yet");
    pool.apply([(id("a"), Finding::UNKNOWN)]);
    assert_eq!(on(&hold(&pool, 100), "a"), 50);

    pool.insert(spec("c").finding(passive(Passive::Trial))).unwrap();
    assert_eq!(on(&hold(&pool, 100), "c"), 1, "the gate stands as it was found");
}

#[test]
fn an_event_says_whose_connections_to_close() {
    let (pool, _) = watched(RoundRobin, NEVER, &["a", "b"]);
    let closes = |events: Vec<Event>| -> Vec<_> {
        events.iter().filter_map(Event::closes).collect::<Vec<BackendId>>()
    };
    let apply = |finding| closes(pool.apply([(id("a"), finding)]));
    assert_eq!(
        apply(Finding { drain: Drain::Wanted, ..Finding::default() }),
        [],
        "its sessions go on"
    );
    assert_eq!(apply(passive(Passive::Ejected)), [id("a")]);
    assert_eq!(apply(passive(Passive::Trial)), []);
    assert_eq!(apply(Finding { health: Health::Down, ..Finding::default() }), [id("a")]);
    assert_eq!(apply(Finding::UNKNOWN), []);
    assert_eq!(closes(pool.set_admin(id("b"), Admin::Draining).unwrap()), []);
    assert_eq!(closes(pool.set_admin(id("b"), Admin::Disabled).unwrap()), [id("b")]);
    assert_eq!(closes(pool.update([spec("b")]).unwrap()), [id("a")]);
}

/// Requests may still wait for one that was ejected. When its check finds it dead, that is told too.
#[test]
fn one_that_is_out_and_is_then_found_dead_is_told_of_again() {
    let pool = Pool::new(RoundRobin, 1);
    pool.update(["a", "b"].map(spec)).unwrap();
    let ejected = passive(Passive::Ejected);
    pool.apply([(id("a"), ejected)]);
    let events = pool.apply([(id("a"), Finding { health: Health::Down, ..ejected })]);
    let never = Admission::Never;
    let reason = Some(Reason::Down);
    assert_eq!(events, [Event::AdmissionChanged { id: id("a"), from: never, to: never, reason }]);
    assert_eq!(events[0].closes(), Some(id("a")));
    assert_eq!(pool.apply([(id("a"), Finding { health: Health::Down, ..ejected })]), []);
}

#[test]
fn a_visit_is_told_of_once_and_as_long_as_it_lasts() {
    let (pool, _) = watched(RoundRobin, NEVER, &["a"]);
    assert!(!pool.take_visited(id("a")));
    assert!(!pool.take_visited(id("x")));
    let lease = pool.pick(&Request::new()).unwrap();
    assert!(pool.take_visited(id("a")) && pool.take_visited(id("a")), "it is in flight");
    lease.finish(Instant::ZERO, Outcome::Success);
    assert!(pool.take_visited(id("a")));
    assert!(!pool.take_visited(id("a")));
}

#[test]
fn tallies_add_up_while_threads_record_and_others_take() {
    const EACH: u64 = 20_000;
    let (pool, _) = watched(RoundRobin, Runs { failures: 2, ..NEVER }, &["a", "b", "c"]);
    let mut sum = Tally::default();
    let mut take = || {
        let mut tallies = Vec::new();
        pool.take_tallies(&mut tallies);
        assert_eq!(tallies.iter().map(|(id, _)| *id).collect::<Vec<_>>(), ["a", "b", "c"].map(id));
        for (_, tally) in tallies {
            sum.successes += tally.successes;
            sum.upstream_failures += tally.upstream_failures;
            sum.local_failures += tally.local_failures;
            sum.latency += tally.latency;
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let mut reader = pool.reader();
                scope.spawn(move || {
                    for i in 0..EACH {
                        let now = Instant::from_nanos(1 + i);
                        let lease = reader.pick(&Request::new().at(now)).unwrap();
                        let outcome = match i % 10 {
                            0 => ERROR,
                            1 => REFUSED,
                            2 => continue,
                            _ => Outcome::Success,
                        };
                        lease.finish(Instant::from_nanos(4 + i), outcome);
                    }
                })
            })
            .collect();
        while threads.iter().any(|thread| !thread.is_finished()) {
            take();
            pool.take_alarms();
        }
    });
    take();
    // A latency is taken with a success: what came between the two is left for the next.
    (0..3).for_each(|_| end(&pool, Outcome::Success));
    take();
    let of = |tenths: u64| (4 * EACH * tenths / 10) as u32;
    assert_eq!(
        (sum.successes, sum.upstream_failures, sum.local_failures),
        (of(7) + 3, of(1), of(1))
    );
    assert_eq!(sum.latency, Duration::from_nanos(3) * of(7));
}
