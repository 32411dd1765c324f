//! Loom models of what threads share: every interleaving of a few steps, checked.
//!
//! `RUSTFLAGS="--cfg equipoise_loom" cargo test --release -p equipoise-pool --lib`

use std::sync::Arc as StdArc;

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU32, Ordering};
use loom::thread;

use crate::places::{Entry, Places};
use crate::publish::Published;

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
