//! Loom models of the table that threads share: every interleaving of a few calls, checked.
//!
//! `RUSTFLAGS="--cfg equipoise_loom" cargo test --release -p equipoise-sticky --features std --lib models`

use core::time::Duration;

use equipoise_core::{BackendId, Instant};
use loom::sync::Arc;
use loom::thread;

use crate::{SessionKey, ShardedTable, TableBuilder, TableConfig};

const KEY: SessionKey = SessionKey::from_bytes([1; 8]);
const OTHER: SessionKey = SessionKey::from_bytes([0xf0; 8]);
const START: Instant = Instant::from_nanos(1 << 50);

fn ids<const N: usize>() -> [BackendId; N] {
    core::array::from_fn(|number| BackendId::new(number as u64))
}

fn table(settings: fn(TableBuilder) -> TableBuilder) -> Arc<ShardedTable> {
    let config =
        TableConfig::builder().idle(Duration::from_secs(60)).max_backends(2).max_sessions(4);
    Arc::new(ShardedTable::new(&settings(config).build().unwrap()))
}

/// Runs it on a thread of its own.
fn spawn<R: 'static>(
    table: &Arc<ShardedTable>,
    run: impl FnOnce(&ShardedTable) -> R + 'static,
) -> thread::JoinHandle<R> {
    let table = Arc::clone(table);
    thread::spawn(move || run(&table))
}

/// What a table says of its sessions is what it has.
fn adds_up(table: &ShardedTable, now: Instant) {
    table.sweep(now, usize::MAX);
    let sessions: std::vec::Vec<_> = table.iter(now).collect();
    assert_eq!(table.len(), sessions.len());
    for id in ids::<2>() {
        let count = sessions.iter().filter(|session| session.backend == id).count();
        assert_eq!(table.sessions_of(id), count);
    }
}

#[test]
fn all_who_bind_hear_of_the_same_winner() {
    loom::model(|| {
        let table = table(|builder| builder);
        let [a, b] = ids();
        let other = spawn(&table, move |table| table.bind(&KEY, b, START));
        let here = table.bind(&KEY, a, START);
        let winner = table.lookup(&KEY, START);
        assert_eq!((other.join().unwrap(), Some(here)), (here, winner));
        adds_up(&table, START);
    });
}

#[test]
fn of_two_moves_from_one_backend_one_is_made() {
    loom::model(|| {
        let table = table(|builder| builder.max_backends(3));
        let [a, b, c] = ids();
        table.bind(&KEY, a, START);
        let other = spawn(&table, move |table| table.rebind(&KEY, a, c, START));
        let here = table.rebind(&KEY, a, b, START);
        let there = other.join().unwrap();
        assert!(here == there && here != a, "{here} {there}");
        assert_eq!((table.counters().rebound, table.counters().lost), (1, 1));
        assert_eq!(table.lookup(&KEY, START), Some(here));
    });
}

#[test]
fn a_session_is_bound_before_its_backend_is_unbound_or_after() {
    loom::model(|| {
        let table = table(|builder| builder.deltas(8));
        let [a] = ids();
        table.bind(&OTHER, a, START);
        let other = spawn(&table, move |table| table.bind(&KEY, a, START));
        let ended = table.unbind_backend(a);
        assert_eq!(other.join().unwrap(), a);
        let found = table.lookup(&KEY, START);
        assert_eq!(found, if ended == 2 { None } else { Some(a) });
        assert_eq!(table.lookup(&OTHER, START), None);
        // Who follows the changes comes to the same.
        let changes = table.take_deltas().changes;
        let last = changes.last().unwrap();
        let is_bound = matches!(last, crate::Delta::Bound { key: KEY, .. });
        assert_eq!(is_bound, found.is_some(), "{changes:?}");
        adds_up(&table, START);
    });
}

#[test]
fn a_session_that_is_bound_while_it_ends_is_there_or_is_not() {
    loom::model(|| {
        let table = table(|builder| builder);
        let [a, b] = ids();
        table.bind(&KEY, a, START);
        let other = spawn(&table, |table| table.unbind_session(&KEY, START));
        let winner = table.rebind(&KEY, a, b, START);
        let ended = other.join().unwrap();
        assert_eq!(winner, b);
        // If the end came last it was the end of what had moved.
        match ended {
            Some(id) if id == b => assert_eq!(table.lookup(&KEY, START), None),
            ended => assert_eq!((ended, table.lookup(&KEY, START)), (Some(a), Some(b))),
        }
        adds_up(&table, START);
    });
}

#[test]
fn a_session_that_is_refreshed_in_time_does_not_expire() {
    loom::model(|| {
        let table = table(|builder| builder);
        let [a] = ids();
        table.bind(&KEY, a, START);
        let (in_time, later) = (START + Duration::from_secs(50), START + Duration::from_secs(70));
        let other = spawn(&table, move |table| table.lookup(&KEY, in_time));
        let swept = table.sweep(later, usize::MAX).removed;
        let found = other.join().unwrap();
        // Either the lookup came first, and the session lives, or it came too late.
        assert_eq!(swept, usize::from(found.is_none()));
        assert_eq!(table.lookup(&KEY, later), found);
        adds_up(&table, later);
    });
}

#[test]
fn a_refresh_never_takes_a_later_one_back() {
    loom::model(|| {
        let table = table(|builder| builder);
        let [a] = ids();
        table.bind(&KEY, a, START);
        let times = [20, 50].map(|seconds| START + Duration::from_secs(seconds));
        let other = spawn(&table, move |table| table.lookup(&KEY, times[0]));
        assert_eq!(table.lookup(&KEY, times[1]), Some(a));
        assert_eq!(other.join().unwrap(), Some(a));
        assert_eq!(table.lookup(&KEY, START + Duration::from_secs(105)), Some(a));
    });
}

#[test]
fn two_who_bind_at_once_do_not_pass_the_cap() {
    loom::model(|| {
        let table = table(|builder| builder.max_sessions(1));
        let [a, b] = ids();
        let other = spawn(&table, move |table| {
            let winner = table.bind(&OTHER, b, START);
            assert!(table.len() <= 1);
            winner
        });
        assert_eq!(table.bind(&KEY, a, START), a);
        assert!(table.len() <= 1);
        assert_eq!(other.join().unwrap(), b);
        assert_eq!((table.len(), table.counters().evicted, table.counters().refused), (1, 1, 0));
        adds_up(&table, START);
    });
}
