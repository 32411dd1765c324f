//! What the shared table adds to the other: shards, caps over all of them, and threads.
#![cfg(feature = "std")]

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use equipoise_core::{BackendId, Instant, Sessions};
use equipoise_sticky::{Delta, SessionHasher, SessionKey, ShardedTable, TableBuilder, TableConfig};

const MINUTE: Duration = Duration::from_secs(60);

fn table(settings: impl Fn(TableBuilder) -> TableBuilder) -> ShardedTable {
    ShardedTable::new(&settings(TableConfig::builder().idle(MINUTE)).build().unwrap())
}

fn key(number: u64) -> SessionKey {
    SessionHasher::new([3; 16]).key(&number.to_le_bytes()).unwrap()
}

fn backend(number: u64) -> BackendId {
    BackendId::new(number)
}

fn at(seconds: u64) -> Instant {
    Instant::from_nanos(seconds * 1_000_000_000)
}

#[test]
fn the_verbs_are_those_of_the_trait() {
    fn pinned<S: Sessions<Key = SessionKey>>(sessions: &S) -> [Option<BackendId>; 4] {
        let [a, b] = [1, 2].map(backend);
        let before = sessions.lookup(&key(1), at(0));
        let bound = sessions.bind(&key(1), a, at(0));
        let moved = sessions.rebind(&key(1), a, b, at(0));
        [before, Some(bound), Some(moved), sessions.lookup(&key(1), at(0))]
    }
    let [a, b] = [1, 2].map(backend);
    assert_eq!(pinned(&table(|builder| builder)), [None, Some(a), Some(b), Some(b)]);
}

#[test]
fn a_sweep_goes_round_all_shards_and_ends() {
    let table = table(|builder| builder.max_sessions(20_000));
    for number in 0..10_000 {
        table.bind(&key(number), backend(number % 10), at(0));
    }
    assert_eq!(table.sweep(at(1), usize::MAX).removed, 0);
    // Whatever the budget is, as many sweeps as it takes see everything.
    for budget in [1_000, 77, 1] {
        let part = table.sweep(at(1), budget);
        assert_eq!((part.seen, part.removed), (budget, 0));
    }
    let (mut removed, mut sweeps) = (0, 0);
    while removed < 10_000 {
        let swept = table.sweep(at(100), 1_000);
        assert!(swept.seen <= 1_000);
        removed += swept.removed;
        sweeps += 1;
        assert!(sweeps <= 40, "{removed}");
    }
    assert!(table.is_empty());
    assert!((0..10).all(|number| table.sessions_of(backend(number)) == 0));
}

#[test]
fn every_cap_is_kept_and_nobody_is_refused() {
    for cap in [1, 2, 3, 10, 100, 1_000, 5_000] {
        let table = table(|builder| builder.max_sessions(cap));
        for number in 0..4 * cap as u64 {
            assert_eq!(table.bind(&key(number), backend(number % 3), at(0)), backend(number % 3));
            assert_eq!(
                table.lookup(&key(number), at(0)),
                Some(backend(number % 3)),
                "{number} of {cap}"
            );
            assert!(table.len() <= cap);
        }
        assert_eq!((table.len(), table.counters().refused), (cap, 0));
        assert_eq!(table.iter(at(0)).count(), cap);
        assert_eq!((0..3).map(|number| table.sessions_of(backend(number))).sum::<usize>(), cap);
    }
}

#[test]
fn a_cap_in_bytes_holds_through_floods_and_turnover() {
    for cap in [200_000, 1_000_000, 5_000_000] {
        let table = table(|builder| builder.max_bytes(cap).max_backends(16));
        for number in 0..300_000_u64 {
            let now = at(number / 3_000);
            table.bind(&key(number), backend(number % 3), now);
            if number % 100 == 0 {
                assert!(table.bytes() <= cap);
                assert!(table.lookup(&key(number), now).is_some());
            }
        }
        assert_eq!(table.counters().refused, 0);
        // It makes use of what it has.
        assert!(table.len() > cap / 80, "{} in {cap}", table.len());
    }
}

#[test]
fn a_full_table_has_few_bytes_a_session_and_a_flood_changes_nothing() {
    let table = table(|builder| builder.max_sessions(100_000));
    for number in 0..100_000 {
        table.bind(&key(number), backend(0), at(0));
    }
    let full = table.bytes();
    let of_sessions = full - 64 * 1_024;
    assert!(of_sessions < 40 * 100_000, "{of_sessions}");
    for number in 100_000..1_100_000 {
        table.bind(&key(number), backend(0), at(number / 100_000));
    }
    assert_eq!((table.bytes(), table.len()), (full, 100_000));
}

#[test]
fn sessions_that_come_and_go_leave_no_marks_behind() {
    // The table holds three in four of what it may, and all of them are replaced again and again.
    let table = table(|builder| builder.max_sessions(20_000));
    for number in 0..15_000 {
        table.bind(&key(number), backend(0), at(0));
    }
    let full = table.bytes();
    for number in 15_000..300_000 {
        assert_eq!(table.unbind_session(&key(number - 15_000), at(0)), Some(backend(0)));
        table.bind(&key(number), backend(0), at(0));
    }
    assert_eq!(table.len(), 15_000);
    assert!(table.bytes() <= full * 3 / 2, "{} from {full}", table.bytes());
    assert_eq!(table.counters().evicted, 0);
}

#[test]
fn a_million_sessions_take_23_bytes_each() {
    for cap in [1_000_000, 2_000_000] {
        let table = table(|builder| builder.max_sessions(cap));
        for number in 0..1_000_000 {
            table.bind(&key(number), backend(number % 100), at(0));
        }
        let bytes = table.bytes() as f64 / 1e6;
        assert!((20.0..24.0).contains(&bytes), "{bytes}");
        assert_eq!((table.len(), table.counters().evicted), (1_000_000, 0));
    }
}

#[test]
fn threads_that_bind_hear_of_the_same_winner() {
    let table = table(|builder| builder.max_sessions(10_000));
    let heard: Vec<Vec<BackendId>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|thread| {
                let table = &table;
                scope.spawn(move || {
                    (0..5_000)
                        .map(|number| table.bind(&key(number), backend(thread), at(0)))
                        .collect()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for number in 0..5_000 {
        let winner = table.lookup(&key(number as u64), at(0)).unwrap();
        assert!(heard.iter().all(|heard| heard[number] == winner), "{number}");
    }
    assert_eq!(table.len(), 5_000);
    let counters = table.counters();
    assert_eq!((counters.bound, counters.kept), (5_000, 15_000));
}

/// Threads do what they like; after that all the sums are right, and the cap was never passed.
#[test]
fn threads_leave_a_table_that_adds_up() {
    for cap in [7, 300, 3_000] {
        let table = table(|builder| builder.max_sessions(cap).max_backends(8).deltas(1 << 20));
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let watcher = scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    assert!(table.len() <= cap);
                }
            });
            let threads: Vec<_> = (0..4)
                .map(|thread| {
                    let table = &table;
                    scope.spawn(move || work(table, thread))
                })
                .collect();
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            done.store(true, Ordering::Relaxed);
            watcher.join().unwrap();
        });
        let now = at(20);
        let sessions: HashMap<_, _> = table.iter(now).map(|s| (s.key, s.backend)).collect();
        assert!(sessions.len() <= table.len() && table.len() <= cap);
        assert_eq!(followed(&table), sessions, "who follows the deltas has the same sessions");
        while table.sweep(now, usize::MAX).removed > 0 {}
        assert_eq!(table.len(), sessions.len());
        for number in 0..12 {
            let count = sessions.values().filter(|&&id| id == backend(number)).count();
            assert_eq!(table.sessions_of(backend(number)), count);
        }
    }
}

/// Ten thousand verbs, at times that end at second 20.
fn work(table: &ShardedTable, thread: u64) {
    let mut rng = equipoise_core::Rng::seeded(thread);
    for step in 0..10_000_u64 {
        let now = at(step / 500);
        let key = key(rng.below(6_000).into());
        let [a, b] = [(); 2].map(|()| backend(rng.below(12).into()));
        match rng.below(40) {
            0..16 => drop(table.lookup(&key, now)),
            16..30 => drop(table.bind(&key, a, now)),
            30..36 => drop(table.rebind(&key, a, b, now)),
            36..38 => drop(table.unbind_session(&key, now)),
            38 => drop(table.sweep(now, 200)),
            _ if step % 50 == 0 => drop(table.unbind_backend(a)),
            _ => drop(table.counters()),
        }
    }
}

/// What one has who knows the deltas alone. All times are so short that nothing expires.
fn followed(table: &ShardedTable) -> HashMap<SessionKey, BackendId> {
    let deltas = table.take_deltas();
    assert_eq!(deltas.lost, 0);
    let mut sessions = HashMap::new();
    for delta in deltas.changes {
        match delta {
            Delta::Bound { key, backend } => drop(sessions.insert(key, backend)),
            Delta::Rebound { key, from, to } => {
                assert_eq!(sessions.insert(key, to), Some(from));
            }
            Delta::Removed { key, .. } => drop(sessions.remove(&key)),
            Delta::BackendUnbound { backend } => sessions.retain(|_, id| *id != backend),
            _ => {}
        }
    }
    sessions
}
