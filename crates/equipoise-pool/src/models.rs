//! Loom models of what threads share: every interleaving of a few steps, checked.
//!
//! `RUSTFLAGS="--cfg equipoise_loom" cargo test --release -p equipoise-pool --lib`

use std::sync::Arc as StdArc;
use std::time::Duration;

use equipoise_core::{BackendId, Failure, Outcome, Runs, Tally};
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU32, Ordering};
use loom::thread;

use crate::gate::{Gate, Pass};
use crate::places::{Entry, Places};
use crate::publish::Published;
use crate::watch::{Watch, Watched};
use crate::window::Window;

fn places(limit: u32) -> Places {
    Places::new(core::num::NonZeroU32::new(limit))
}

/// Of three requests for two places two get in, whatever the order; and each that leaves makes
/// room.
#[test]
fn a_limit_is_exact() {
    loom::model(|| {
        let places = Arc::new(places(2));
        let workers: Vec<_> = (0..2)
            .map(|_| {
                let places = Arc::clone(&places);
                thread::spawn(move || places.enter())
            })
            .collect();
        let mut entries = vec![places.enter()];
        entries.extend(workers.into_iter().map(|worker| worker.join().unwrap()));
        assert_eq!(entries.iter().flatten().count(), 2);
        entries.into_iter().flatten().for_each(|entry| places.leave(entry));
        assert_eq!(places.enter(), Some(Entry::Placed));
    });
}

/// A request that comes after another has left gets its place, and there are never two on one.
#[test]
fn a_place_is_never_taken_twice() {
    loom::model(|| {
        let places = Arc::new(places(1));
        let inside = Arc::new(AtomicU32::new(0));
        let visit = |places: &Places, inside: &AtomicU32| {
            if let Some(entry) = places.enter() {
                assert_eq!(inside.fetch_add(1, Ordering::Relaxed), 0);
                inside.fetch_sub(1, Ordering::Relaxed);
                places.leave(entry);
            }
        };
        let worker = {
            let (places, inside) = (Arc::clone(&places), Arc::clone(&inside));
            thread::spawn(move || {
                visit(&places, &inside);
                visit(&places, &inside);
            })
        };
        visit(&places, &inside);
        worker.join().unwrap();
        assert!(places.enter().is_some());
    });
}

/// A limit that is set or lifted while requests come and go loses no place.
#[test]
fn a_limit_may_change_under_requests() {
    loom::model(|| {
        let places = Arc::new(places(0));
        let worker = {
            let places = Arc::clone(&places);
            thread::spawn(move || {
                if let Some(entry) = places.enter() {
                    places.leave(entry);
                }
            })
        };
        places.set_limit(core::num::NonZeroU32::new(1));
        let entry = places.enter();
        worker.join().unwrap();
        if let Some(entry) = entry {
            places.leave(entry);
        }
        assert_eq!(places.enter(), Some(Entry::Placed));
    });
}

/// In-flight is the number of references to a record besides its owner's: whoever holds one counts
/// at least itself, and when all have gone nothing is left.
#[test]
fn the_count_of_references_is_the_count_of_requests() {
    loom::model(|| {
        let record = Arc::new(());
        let in_flight = |record: &Arc<()>| Arc::strong_count(record) - 1;
        let workers: Vec<_> = (0..2)
            .map(|_| {
                let lease = Arc::clone(&record);
                thread::spawn(move || {
                    assert!((1..=2).contains(&in_flight(&lease)));
                    drop(lease);
                })
            })
            .collect();
        assert!(in_flight(&record) <= 2);
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        assert_eq!(in_flight(&record), 0);
    });
}

/// Readers see values whole, never go back, and end at the last.
#[test]
fn readers_go_forward_and_arrive() {
    loom::model(|| {
        let published = Arc::new(Published::new(StdArc::new((0, 0))));
        let reader = {
            let published = Arc::clone(&published);
            thread::spawn(move || {
                let mut cached = published.cached();
                let mut last = **cached.get(&published);
                for _ in 0..2 {
                    let now = **cached.get(&published);
                    assert_eq!(now.0, now.1, "half of one value and half of another");
                    assert!(now >= last, "went back from {last:?} to {now:?}");
                    last = now;
                }
                cached
            })
        };
        published.publish(StdArc::new((1, 1)));
        published.publish(StdArc::new((2, 2)));
        let mut cached = reader.join().unwrap();
        assert_eq!(**cached.get(&published), (2, 2));
    });
}

/// What a reader was told of by other means, it finds: a thread that learned of an update sees it.
#[test]
fn an_update_that_is_known_is_seen() {
    loom::model(|| {
        let published = Arc::new(Published::new(StdArc::new(0)));
        let told = Arc::new(AtomicU32::new(0));
        let mut cached = published.cached();
        let publisher = {
            let (published, told) = (Arc::clone(&published), Arc::clone(&told));
            thread::spawn(move || {
                published.publish(StdArc::new(1));
                told.store(1, Ordering::Release);
            })
        };
        if told.load(Ordering::Acquire) == 1 {
            assert_eq!(**cached.get(&published), 1);
        }
        publisher.join().unwrap();
    });
}

const FAILURE: Outcome = Outcome::Failure(Failure::Response(502));

/// Calls at runs of so many failures.
fn at(failures: u16) -> Runs {
    Runs { failures, ..Runs::default() }
}

/// Every outcome is in exactly one tally, and so is every latency, whoever takes when.
#[test]
fn an_outcome_is_in_exactly_one_tally() {
    loom::model(|| {
        let window = Arc::new(Window::new());
        let recorders: Vec<_> = [1, 2]
            .into_iter()
            .map(|nanos| {
                let window = Arc::clone(&window);
                thread::spawn(move || {
                    window.record(Outcome::Success, Duration::from_nanos(nanos), &at(0));
                    if nanos == 1 {
                        window.record(FAILURE, Duration::ZERO, &at(0));
                        window.record(Outcome::Failure(Failure::Connect), Duration::ZERO, &at(0));
                    }
                })
            })
            .collect();
        let mut tallies = vec![window.take()];
        recorders.into_iter().for_each(|recorder| recorder.join().unwrap());
        // A latency is left for whoever takes a success next: one more lets go of it.
        window.record(Outcome::Success, Duration::from_nanos(4), &at(0));
        tallies.push(window.take());
        let sum = |of: fn(&Tally) -> u32| tallies.iter().map(of).sum::<u32>();
        assert_eq!(sum(|tally| tally.successes), 3);
        assert_eq!(sum(|tally| tally.upstream_failures), 1);
        assert_eq!(sum(|tally| tally.local_failures), 1);
        let latency: Duration = tallies.iter().map(|tally| tally.latency).sum();
        assert_eq!(latency, Duration::from_nanos(7));
        assert_eq!(window.take(), Tally::default());
    });
}

/// Of failures that make a run long enough at the same time, one calls.
#[test]
fn a_run_at_its_threshold_calls_once() {
    loom::model(|| {
        let window = Arc::new(Window::new());
        let recorders: Vec<_> = (0..2)
            .map(|_| {
                let window = Arc::clone(&window);
                thread::spawn(move || u32::from(window.record(FAILURE, Duration::ZERO, &at(3))))
            })
            .collect();
        let mut calls = u32::from(window.record(FAILURE, Duration::ZERO, &at(3)));
        calls += recorders.into_iter().map(|recorder| recorder.join().unwrap()).sum::<u32>();
        assert_eq!((calls, window.runs().failures, window.runs().code), (1, 3, 502));
    });
}

/// A success among failures leaves the run that one of the three orders leaves, and that order
/// also says whether a failure called.
#[test]
fn a_success_among_failures_has_its_place_in_some_order() {
    loom::model(|| {
        let window = Arc::new(Window::new());
        let other = {
            let window = Arc::clone(&window);
            thread::spawn(move || {
                window.record(Outcome::Success, Duration::ZERO, &at(2));
            })
        };
        assert!(!window.record(FAILURE, Duration::ZERO, &at(2)));
        let called = window.record(FAILURE, Duration::ZERO, &at(2));
        other.join().unwrap();
        let outcome = (window.runs().failures, called);
        assert!([(2, true), (1, false), (0, true)].contains(&outcome), "{outcome:?}");
    });
}

/// Whoever looks only when woken learns of every failure that called, and looks at nobody twice.
#[test]
fn a_call_is_never_lost() {
    loom::model(|| {
        let id = BackendId::new(1);
        let woken = Arc::new(AtomicU32::new(0));
        let wake = {
            let woken = Arc::clone(&woken);
            // No plain store: loom would allow it to come before the swap that did not see it.
            move || _ = woken.swap(1, Ordering::AcqRel)
        };
        let watch = StdArc::new(Watch::new(at(1), Box::new(wake)));
        let watched = Arc::new(Watched::new(StdArc::clone(&watch)));
        let recorders: Vec<_> = (0..2)
            .map(|_| {
                let watched = Arc::clone(&watched);
                thread::spawn(move || watched.record(id, Pass::Free, FAILURE, Duration::ZERO))
            })
            .collect();
        let mut known = 0;
        let mut look = || {
            if woken.swap(0, Ordering::AcqRel) == 1 {
                let calls = watch.take_calls();
                assert!(calls.len() <= 1, "{calls:?}");
                for id in calls {
                    known = watched.answer(id).unwrap().runs.failures;
                }
            }
        };
        look();
        recorders.into_iter().for_each(|recorder| recorder.join().unwrap());
        look();
        assert_eq!(known, 2);
    });
}

/// Who learns of a verdict from a call sees it, and what the trial's request did before.
#[test]
fn the_verdict_of_a_trial_calls() {
    loom::model(|| {
        let id = BackendId::new(1);
        let watch = StdArc::new(Watch::new(at(2), Box::new(|| {})));
        let watched = Arc::new(Watched::new(StdArc::clone(&watch)));
        watched.gate.arm();
        let done = Arc::new(AtomicU32::new(0));
        let trial = {
            let (watched, done) = (Arc::clone(&watched), Arc::clone(&done));
            thread::spawn(move || {
                let pass = watched.gate.enter().unwrap();
                done.store(1, Ordering::Relaxed);
                watched.record(id, pass, FAILURE, Duration::ZERO);
                watched.gate.leave();
            })
        };
        let mut verdicts = 0;
        let mut look = || {
            for id in watch.take_calls() {
                assert_eq!(watched.answer(id).unwrap().trial, Some(false));
                assert_eq!(done.load(Ordering::Relaxed), 1);
                verdicts += 1;
            }
        };
        look();
        trial.join().unwrap();
        look();
        assert_eq!(verdicts, 1);
    });
}

/// Of requests that race for a trial exactly one passes, and when that is given up, another.
#[test]
fn one_request_passes_and_after_it_another() {
    loom::model(|| {
        let gate = Arc::new(Gate::new());
        gate.arm();
        let workers: Vec<_> = (0..2)
            .map(|_| {
                let gate = Arc::clone(&gate);
                thread::spawn(move || gate.enter())
            })
            .collect();
        let mut passes = vec![gate.enter()];
        passes.extend(workers.into_iter().map(|worker| worker.join().unwrap()));
        assert_eq!(passes.into_iter().flatten().collect::<Vec<_>>(), [Pass::Trial]);
        gate.leave();
        assert_eq!((gate.enter(), gate.enter()), (Some(Pass::Trial), None));
    });
}

/// There is never a second request on trial, whatever the control side does meanwhile; and when all
/// is quiet, the trial is decided, or the next request may try.
#[test]
fn there_is_never_a_second_trial_beside_the_first() {
    loom::model(|| {
        let gate = Arc::new(Gate::new());
        gate.arm();
        let inside = Arc::new(AtomicU32::new(0));
        let workers: Vec<_> = [true, false]
            .into_iter()
            .map(|decides| {
                let (gate, inside) = (Arc::clone(&gate), Arc::clone(&inside));
                thread::spawn(move || {
                    if gate.enter() == Some(Pass::Trial) {
                        assert_eq!(inside.fetch_add(1, Ordering::Relaxed), 0);
                        if decides {
                            gate.decide(true);
                        }
                        inside.fetch_sub(1, Ordering::Relaxed);
                        gate.leave();
                    }
                })
            })
            .collect();
        gate.shut();
        gate.open();
        gate.arm();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        match gate.verdict() {
            None => assert_eq!(gate.enter(), Some(Pass::Trial)),
            decided => assert_eq!((decided, gate.enter()), (Some(true), None)),
        }
    });
}

/// A verdict is that of the trial's own request, never of one that an earlier trial let through.
#[test]
fn a_verdict_is_of_the_trials_own_request() {
    loom::model(|| {
        let gate = Arc::new(Gate::new());
        gate.arm();
        assert_eq!(gate.enter(), Some(Pass::Trial));
        let earlier = {
            let gate = Arc::clone(&gate);
            thread::spawn(move || {
                gate.decide(false);
                gate.leave();
            })
        };
        let later = {
            let gate = Arc::clone(&gate);
            thread::spawn(move || {
                let pass = gate.enter();
                if pass == Some(Pass::Trial) {
                    assert!(gate.decide(true), "it is of this trial");
                    gate.leave();
                }
                pass
            })
        };
        gate.open();
        gate.arm();
        earlier.join().unwrap();
        let pass = later.join().unwrap();
        assert_eq!(gate.verdict(), (pass == Some(Pass::Trial)).then_some(true));
    });
}
