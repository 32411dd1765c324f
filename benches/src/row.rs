//! One row: a workload, and how its time is taken.
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::fmt;
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam_utils::CachePadded;

/// One thread's part of a workload.
pub trait Worker: Send {
    /// Does the operation once. What it returns only keeps the work from being optimized away.
    fn step(&mut self) -> u64;
}

/// A workload with a name.
pub struct Row {
    /// What the table and the filters call it.
    pub name: &'static str,
    run: Box<dyn FnMut(u64, u64) -> Duration>,
}

impl Row {
    /// A row that runs each of `workers` on a thread of its own, or a single one on the caller's.
    pub fn new<W: Worker + 'static>(name: &'static str, workers: Vec<W>) -> Self {
        // Each worker's own state stays on its own cache lines, as on a thread's own stack.
        let mut workers: Vec<_> = workers.into_iter().map(CachePadded::new).collect();
        Self { name, run: Box::new(move |warm_up, times| run(&mut workers, warm_up, times)) }
    }

    /// Does the operation `turn.times` times on each thread, after an untimed warm-up, and returns
    /// the time that the slowest thread took.
    pub fn run(&mut self, turn: Turn) -> Duration {
        (self.run)(turn.warm_up, turn.times)
    }

    /// A turn that takes about `batch`, on so many backends.
    ///
    /// Between two turns other rows evict this one's data, so each turn starts with a warm-up in
    /// which every backend is met a few times, as far as that takes no longer than some batches.
    pub fn calibrate(&mut self, batch: Duration, backends: usize) -> Turn {
        // The first operations may set something up that later ones find done.
        (self.run)(2, 0);
        let mut times = 2;
        let mut took = self.quickest(times);
        while took * 4 < batch {
            times *= 2;
            took = self.quickest(times);
        }
        let in_a_batch = batch.as_secs_f64() / (took.as_secs_f64() / times as f64);
        let warm_up = (2_000.0 + 4.0 * backends as f64).min(8.0 * in_a_batch);
        // Even numbers, since some operations come in pairs.
        let even = |number: f64| (number as u64 & !1).max(2);
        Turn { warm_up: even(warm_up), times: even(in_a_batch) }
    }

    /// The quickest of three runs: one that was interrupted says nothing about the row.
    pub fn quickest(&mut self, times: u64) -> Duration {
        (0..3).map(|_| (self.run)(0, times)).min().unwrap_or_default()
    }
}

/// How long a row runs at a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Turn {
    /// Operations that are not timed. They come before the others, outside of [`operations`].
    pub warm_up: u64,
    /// Operations that are.
    pub times: u64,
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Row").field("name", &self.name).finish_non_exhaustive()
    }
}

fn run<W: Worker>(workers: &mut [CachePadded<W>], warm_up: u64, times: u64) -> Duration {
    if let [alone] = workers {
        warm(&mut **alone, warm_up);
        return time(&mut **alone, times);
    }
    // Threads spin until all have come: a parked one would start late, and the others would for a
    // while be measured without its company.
    let absent = AtomicUsize::new(workers.len());
    std::thread::scope(|scope| {
        let threads: Vec<_> = workers
            .iter_mut()
            .map(|worker| {
                scope.spawn(|| {
                    let worker = &mut **worker;
                    warm(worker, warm_up);
                    absent.fetch_sub(1, Ordering::AcqRel);
                    while absent.load(Ordering::Acquire) != 0 {
                        std::hint::spin_loop();
                    }
                    time(worker, times)
                })
            })
            .collect();
        let times = threads.into_iter().map(|thread| thread.join().expect("a worker panicked"));
        times.max().unwrap_or_default()
    })
}

fn warm<W: Worker>(worker: &mut W, times: u64) {
    for _ in 0..times {
        black_box(worker.step());
    }
}

fn time<W: Worker>(worker: &mut W, times: u64) -> Duration {
    let start = Instant::now();
    operations(worker, times);
    start.elapsed()
}

/// The measured loop. A function of its own, so that callgrind can be told to count only in here.
#[inline(never)]
pub fn operations<W: Worker>(worker: &mut W, times: u64) {
    let mut sum = 0;
    for _ in 0..times {
        sum ^= worker.step();
    }
    black_box(sum);
}
