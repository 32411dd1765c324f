//! Picks from a pool by key, and what it costs to bound the loads.

use std::sync::Arc;

use equipoise_algorithms::{BoundedLoad, Hashed, LoadFactor};
use equipoise_core::Policy;
use equipoise_hash::RendezvousTable;
use equipoise_pool::{Pool, Reader, Request};

use super::keys::{Fold, KeyHash as _, key};
use super::record::Record;
use super::subject::{Scope, Side, Structure};
use crate::ours::{Backend, Weights, pool};
use crate::report::{Plan, measure_rows};
use crate::row::{Row, Worker};
use crate::rows::Only;

/// The plain policy.
pub const HASHED: &str = "pool Hashed";
/// The one that bounds loads.
pub const BOUNDED: &str = "pool BoundedLoad c = 1.25";

/// The rows, by name, with one thread and with two.
pub fn rows(size: usize, only: &Only) -> Vec<Row> {
    let hashed = Hashed::<RendezvousTable>::default;
    let bounded = || BoundedLoad::new(hashed(), LoadFactor::default());
    let mut rows = Vec::new();
    if only.lets_in(HASHED) {
        rows.push(row(HASHED, hashed(), size, 1));
    }
    if only.lets_in(BOUNDED) {
        rows.push(row(BOUNDED, bounded(), size, 1));
    }
    if only.lets_in("pool Hashed 2 threads") {
        rows.push(row("pool Hashed 2 threads", hashed(), size, 2));
    }
    if only.lets_in("pool BoundedLoad c = 1.25 2 threads") {
        rows.push(row("pool BoundedLoad c = 1.25 2 threads", bounded(), size, 2));
    }
    rows
}

fn row<P: Policy + 'static>(name: &'static str, policy: P, size: usize, threads: u64) -> Row {
    let pool = Arc::new(pool(policy, size, Weights::Equal));
    let worker = |thread| Picks {
        reader: pool.reader(),
        hash: Fold::default(),
        // Keys that other threads don't have.
        number: thread << 40,
        _pool: Arc::clone(&pool),
    };
    Row::new(name, (0..threads).map(worker).collect())
}

/// A key is made and hashed, a backend is picked, and its lease is dropped: so nobody is full.
struct Picks<P: Policy> {
    reader: Reader<Backend, P>,
    hash: Fold,
    number: u64,
    _pool: Arc<Pool<Backend, P>>,
}

impl<P: Policy> Worker for Picks<P> {
    #[inline]
    fn step(&mut self) -> u64 {
        self.number += 1;
        let request = Request::new().with_key(self.hash.hash(&key(self.number)));
        self.reader.pick(&request).map_or(0, |lease| u64::from(*lease))
    }
}

/// Times the rows in turns.
pub(crate) fn measure(size: usize, plan: Plan, only: &Only) -> Vec<Record> {
    let mut rows = rows(size, only);
    let figures = measure_rows(&mut rows, size, plan);
    let record = |(row, figures): (&Row, _)| Record {
        lookup: Some(figures),
        ..Record::new(row.name, Side::Ours, Structure::RendezvousTable, Scope::Pool, size)
    };
    rows.iter().zip(figures).map(record).collect()
}
