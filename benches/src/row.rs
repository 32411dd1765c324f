//! One row: a workload, and how its time is taken.
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::fmt;
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// One thread's part of a workload.
pub trait Worker: Send {
    /// Does the operation once. What it returns only keeps the work from being optimized away.
    fn step(&mut self) -> u64;
}

/// Operations before anything is measured: more than are in flight at once, and enough to fill the
/// caches.
const WARM_UP: u64 = 2_000;

/// A workload with a name.
pub struct Row {
    /// What the table and the filters call it.
    pub name: &'static str,
    run: Box<dyn FnMut(Mode, u64) -> Duration>,
}

/// What a row is run for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mode {
    /// To take the time.
    Time,
    /// To settle caches and averages; callgrind does not look.
    WarmUp,
}

impl Row {
    /// A row that runs each of `workers` on a thread of its own, or a single one on the caller's.
    pub fn new<W: Worker + 'static>(name: &'static str, mut workers: Vec<W>) -> Self {
        Self { name, run: Box::new(move |mode, times| run(&mut workers, mode, times)) }
    }

    /// Does the operation `times` times on each thread, and returns the time that the slowest
    /// thread took.
    pub fn run(&mut self, times: u64) -> Duration {
        (self.run)(Mode::Time, times)
    }

    /// Runs it once for an instrument that counts: a warm-up outside [`operations`], then `times`
    /// operations inside.
    pub fn count(&mut self, times: u64) {
        (self.run)(Mode::WarmUp, WARM_UP);
        (self.run)(Mode::Time, times);
    }

    /// How many operations take about `batch`: an even number, since some operations come in pairs.
    pub fn calibrate(&mut self, batch: Duration) -> u64 {
        let mut times = 2;
        loop {
            let took = self.run(times);
            // What is fast runs often enough here to warm up too.
            if took * 4 > batch {
                let per = took.as_secs_f64() / times as f64;
                return (((batch.as_secs_f64() / per) as u64) & !1).max(2);
            }
            times *= 2;
        }
    }
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Row").field("name", &self.name).finish_non_exhaustive()
    }
}

fn run<W: Worker>(workers: &mut [W], mode: Mode, times: u64) -> Duration {
    if mode == Mode::WarmUp {
        for worker in workers {
            (0..times).for_each(|_| {
                black_box(worker.step());
            });
        }
        return Duration::ZERO;
    }
    if let [alone] = workers {
        return time(alone, times);
    }
    // Threads spin until all have come: a parked one would start late, and the others would for a
    // while be measured without its company.
    let absent = AtomicUsize::new(workers.len());
    std::thread::scope(|scope| {
        let threads: Vec<_> = workers
            .iter_mut()
            .map(|worker| {
                scope.spawn(|| {
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
