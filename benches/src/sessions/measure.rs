//! The order in which things are measured.
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock and waits")]

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::ours::{Ours, OursFold};
use super::subject::{BACKENDS, Filled, Full, Lookups, NOW, SESSIONS, SessionTable, fill};
use crate::hash::keys::key;
use crate::hash::measure::Heap;
use crate::report::{Figures, Plan, measure_rows};

/// What came out for one table. What was not measured is `None`.
#[derive(Clone, Debug)]
pub struct Record {
    /// The table's name.
    pub name: &'static str,
    /// Whether it is ours, with SipHash.
    pub ours: bool,
    /// Whether it is of others.
    pub peer: bool,
    /// The heap, by session.
    pub bytes: f64,
    /// Nanoseconds to write a new session into a table that grows: the quickest fill.
    pub bind: f64,
    /// Lookups, in the order of [`Lookups::ALL`].
    pub lookups: Vec<Figures>,
    /// What expiry costs.
    pub expiry: Option<Expiry>,
    /// What a flood leaves.
    pub flood: Option<Flood>,
}

/// A million sessions expire at once, while another thread looks up those that live.
#[derive(Clone, Copy, Debug)]
pub struct Expiry {
    /// How long the sweep took.
    pub sweep: Duration,
    /// The longest lookup meanwhile: the smallest of the runs.
    pub longest: Duration,
    /// The 99.9th percentile of lookups meanwhile.
    pub p999: Duration,
    /// Sessions that are left; 1,000 live.
    pub left: usize,
}

/// Ten million sessions come to a table that may hold a million.
#[derive(Clone, Copy, Debug)]
pub struct Flood {
    /// Heap by session that it may hold when it is full.
    pub before: f64,
    /// The same after the flood.
    pub after: f64,
    /// Sessions that it holds then.
    pub held: usize,
}

/// A kind of table, before it is built.
#[derive(Clone, Copy, Debug)]
pub struct Subject {
    /// Its name.
    pub name: &'static str,
    build: fn(Heap) -> Built,
    expire: fn() -> Option<Expiry>,
    flood: fn(Heap) -> Option<Flood>,
}

/// All tables.
pub fn subjects() -> Vec<Subject> {
    #[allow(unused_mut, reason = "without the feature there are no peers")]
    let mut subjects = vec![subject::<Ours>(), subject::<OursFold>()];
    #[cfg(feature = "session-peers")]
    {
        use super::peers::{Dash, MiniMoka, Moka, MokaIdle, OneLock, Papaya, Quick, Scc};
        use crate::hash::keys::{Fold, Std};
        subjects.extend([
            subject::<Moka<Std>>(),
            subject::<Moka<Fold>>(),
            subject::<MokaIdle<Std>>(),
            subject::<MokaIdle<Fold>>(),
            subject::<MiniMoka<Std>>(),
            subject::<MiniMoka<Fold>>(),
            subject::<Dash<Std>>(),
            subject::<Dash<Fold>>(),
            subject::<Papaya<Std>>(),
            subject::<Papaya<Fold>>(),
            subject::<Scc<Std>>(),
            subject::<Scc<Fold>>(),
            subject::<Quick<Std>>(),
            subject::<Quick<Fold>>(),
            subject::<OneLock<Std>>(),
            subject::<OneLock<Fold>>(),
        ]);
    }
    subjects
}

fn subject<T: SessionTable>() -> Subject {
    Subject { name: T::NAME, build: build::<T>, expire: expire::<T>, flood: flood::<T> }
}

/// Measures the tables. Their lookups take turns; the rest is done one table after the other.
pub fn measure(subjects: &[Subject], plan: Plan, heap: Heap) -> Vec<Record> {
    NOW.store(0, Relaxed);
    let mut tables = Vec::new();
    let mut records = Vec::new();
    for subject in subjects {
        let Built { table, bytes, bind } = (subject.build)(heap);
        assert!(table.held() > 0, "{} is empty", subject.name);
        tables.push(table);
        let (name, lookups) = (subject.name, Vec::new());
        let ours = name == Ours::NAME;
        let peer = !ours && name != OursFold::NAME;
        records.push(Record { name, ours, peer, bytes, bind, lookups, expiry: None, flood: None });
    }
    for lookups in Lookups::ALL {
        let mut rows: Vec<_> = tables.iter().map(|table| table.lookups(lookups)).collect();
        let figures = measure_rows(&mut rows, SESSIONS as usize, plan);
        records.iter_mut().zip(figures).for_each(|(record, figures)| record.lookups.push(figures));
    }
    drop(tables);
    for (record, subject) in records.iter_mut().zip(subjects) {
        record.expiry = (subject.expire)();
        record.flood = (subject.flood)(heap);
    }
    records
}

/// Runs lookups of one kind, for an instrument that counts for itself.
pub fn count(subject: &Subject, lookups: Lookups, times: u64) {
    let none: Heap = |run| {
        run();
        0
    };
    let mut row = (subject.build)(none).table.lookups(lookups);
    row.run(crate::row::Turn { warm_up: times.min(2_000), times });
}

const LONG: Duration = Duration::from_secs(3_600);

/// A filled table.
struct Built {
    table: Box<dyn Filled>,
    /// Its bytes a session.
    bytes: f64,
    /// The nanoseconds that a new session took.
    bind: f64,
}

fn build<T: SessionTable>(heap: Heap) -> Built {
    let fills = (0..5).map(|_| {
        let table = T::new(2 * SESSIONS as usize, LONG);
        let start = Instant::now();
        fill(&table);
        start.elapsed().as_nanos() as f64 / SESSIONS as f64
    });
    let bind = fills.fold(f64::MAX, f64::min);
    let mut table = None;
    let bytes = heap(&mut || {
        let full = T::new(2 * SESSIONS as usize, LONG);
        fill(&full);
        settle(&full);
        table = Some(full);
    });
    let table = table.expect("it was built");
    let bytes = bytes as f64 / table.count() as f64;
    Built { table: Box::new(Full(Arc::new(table))), bytes, bind }
}

/// Lets a table finish what it has put off.
fn settle<T: SessionTable>(table: &T) {
    if T::REAL_CLOCK {
        (0..50).for_each(|_| table.sweep());
    }
}

const LIVE: u64 = 1_000;
/// Sessions that live have keys from here on.
const FRESH: u64 = 1 << 50;

fn expire<T: SessionTable>() -> Option<Expiry> {
    T::EXPIRES.then(|| {
        let runs = if T::REAL_CLOCK { 1 } else { 5 };
        let runs = (0..runs).map(|_| expire_once::<T>());
        runs.min_by_key(|run| run.longest).expect("there is a run")
    })
}

fn expire_once<T: SessionTable>() -> Expiry {
    let second = 1_000_000_000;
    NOW.store(0, Relaxed);
    let ttl = Duration::from_millis(if T::REAL_CLOCK { 2_500 } else { 100_000 });
    let table = T::new(2 * SESSIONS as usize, ttl);
    fill(&table);
    settle(&table);
    if T::REAL_CLOCK {
        std::thread::sleep(ttl + Duration::from_millis(100));
    }
    NOW.store(99 * second, Relaxed);
    (0..LIVE).for_each(|number| table.put(&key(FRESH | number), (number % BACKENDS) as u32));
    NOW.store(150 * second, Relaxed);
    let done = AtomicBool::new(false);
    let mut times: Vec<u64> = Vec::with_capacity(20_000_000);
    let sweep = std::thread::scope(|scope| {
        let (table, done) = (&table, &done);
        let sweeper = scope.spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            let start = Instant::now();
            // Some work in batches: they are called until nothing more goes.
            let mut before = usize::MAX;
            loop {
                table.sweep();
                let now = table.count();
                if now >= before || now <= LIVE as usize {
                    break;
                }
                before = now;
            }
            let took = start.elapsed();
            done.store(true, Relaxed);
            took
        });
        let mut number = 0;
        while !done.load(Relaxed) && times.len() < times.capacity() {
            let start = Instant::now();
            black_box(table.get(&key(FRESH | (number % LIVE))));
            times.push(start.elapsed().as_nanos() as u64);
            number += 1;
        }
        sweeper.join().expect("the sweep panicked")
    });
    times.sort_unstable();
    let at = |part: f64| times.get(((times.len() as f64 - 1.0) * part) as usize).copied();
    Expiry {
        sweep,
        longest: Duration::from_nanos(at(1.0).unwrap_or(0)),
        p999: Duration::from_nanos(at(0.999).unwrap_or(0)),
        left: table.count(),
    }
}

fn flood<T: SessionTable>(heap: Heap) -> Option<Flood> {
    T::CAPPED.then(|| {
        NOW.store(0, Relaxed);
        let mut table = None;
        let before = heap(&mut || {
            let full = T::new(SESSIONS as usize, LONG);
            fill(&full);
            settle(&full);
            table = Some(full);
        });
        let table = table.expect("it was built");
        let more = heap(&mut || {
            for number in 0..10 * SESSIONS {
                table.put(&key(FRESH | number), (number % BACKENDS) as u32);
            }
            settle(&table);
        });
        let a_session = |bytes: i64| bytes as f64 / SESSIONS as f64;
        Flood { before: a_session(before), after: a_session(before + more), held: table.count() }
    })
}
