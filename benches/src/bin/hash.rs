//! Measures consistent hashing, ours and the peers'. `hash --help` says how.
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::alloc::System;
use std::process::ExitCode;
use std::time::Duration;

use equipoise_benches::hash::measure::measure;
use equipoise_benches::hash::pools;
use equipoise_benches::hash::record::to_csv;
use equipoise_benches::hash::report::page;
use equipoise_benches::hash::rows::entries;
use equipoise_benches::hash::servers::servers;
use equipoise_benches::hash::subject::{Entry, Scope};
use equipoise_benches::report::Plan;
use equipoise_benches::row::{Row, Turn};
use equipoise_benches::rows::Only;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

/// Counts bytes, at the price of two atomic additions for each allocation. Of the lookups only
/// pingora-load-balancing's allocate, once.
#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const HELP: &str = "\
usage: hash [options]
  --n 10,100        numbers of servers [10,100,1000,10000]
  --only TEXT       only rows whose name contains it
  --row NAME        only that row
  --rounds R        batches of each row [21]
  --batch-us T      the length of a batch in microseconds [1500]
  --out FILE        write the tables there too
  --csv FILE        write the figures there, for `plots`
  --op OPERATION    with --count: lookup, build or change [lookup]
  --count TIMES     run each row, so many operations after a warm-up, untimed: for callgrind";

#[derive(Debug)]
struct Options {
    sizes: Vec<usize>,
    only: Only,
    plan: Plan,
    out: Option<String>,
    csv: Option<String>,
    operation: Operation,
    count: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
enum Operation {
    Lookup,
    Build,
    Change,
}

impl Options {
    fn parse(mut args: impl Iterator<Item = String>) -> Option<Self> {
        let mut options = Self {
            sizes: vec![10, 100, 1_000, 10_000],
            only: Only::All,
            plan: Plan { rounds: 21, batch: Duration::from_micros(1_500) },
            out: None,
            csv: None,
            operation: Operation::Lookup,
            count: None,
        };
        while let Some(option) = args.next() {
            let value = args.next()?;
            match option.as_str() {
                "--n" => {
                    let numbers = value.split(',').map(|number| number.parse().ok());
                    options.sizes = numbers.map(|n| n.filter(|&n| n > 1)).collect::<Option<_>>()?;
                }
                "--only" => options.only = Only::Containing(value),
                "--row" => options.only = Only::Named(value),
                "--rounds" => options.plan.rounds = value.parse().ok().filter(|&r| r > 0)?,
                "--batch-us" => options.plan.batch = Duration::from_micros(value.parse().ok()?),
                "--out" => options.out = Some(value),
                "--csv" => options.csv = Some(value),
                "--op" => {
                    options.operation = match value.as_str() {
                        "lookup" => Operation::Lookup,
                        "build" => Operation::Build,
                        "change" => Operation::Change,
                        _ => return None,
                    }
                }
                "--count" => options.count = Some(value.parse().ok()?),
                _ => return None,
            }
        }
        Some(options)
    }

    fn entries(&self) -> Vec<Entry> {
        entries().into_iter().filter(|entry| self.only.lets_in(entry.name)).collect()
    }

    /// Runs the rows for an instrument that counts for itself.
    fn run(&self, times: u64) {
        let turn = Turn { warm_up: times.min(2_000), times };
        for &size in &self.sizes {
            for mut row in pools::rows(size, &self.only) {
                row.run(turn);
            }
        }
        for entry in self.entries() {
            for &size in self.sizes.iter().filter(|&&size| size <= entry.limit) {
                row(&entry, size, self.operation).run(turn);
            }
        }
    }
}

fn row(entry: &Entry, size: usize, operation: Operation) -> Row {
    let servers = servers(size, entry.weights);
    match operation {
        Operation::Lookup => entry.subject.lookups(entry.name, &servers).0,
        Operation::Build => entry.subject.builds(entry.name, &servers),
        Operation::Change => entry.subject.changes(entry.name, &servers),
    }
}

/// By how many bytes the heap grows.
fn heap(run: &mut dyn FnMut()) -> i64 {
    let live = || {
        let stats = ALLOCATOR.stats();
        stats.bytes_allocated as i64 - stats.bytes_deallocated as i64
    };
    let before = live();
    run();
    live() - before
}

fn main() -> ExitCode {
    let Some(options) = Options::parse(std::env::args().skip(1)) else {
        eprintln!("{HELP}");
        return ExitCode::FAILURE;
    };
    if let Some(times) = options.count {
        options.run(times);
        return ExitCode::SUCCESS;
    }
    let mut entries = options.entries();
    if options.csv.is_none() {
        // They are for the plots alone.
        entries.retain(|entry| entry.scope != Scope::Settings);
    }
    let start = std::time::Instant::now();
    let mut records = Vec::new();
    for &size in &options.sizes {
        records.extend(measure(&entries, &options.only, size, options.plan, heap));
        eprintln!("{size} servers: done after {} s", start.elapsed().as_secs());
    }
    let page = page(&records);
    print!("{page}");
    let write = |file: Option<String>, text: String| match file {
        Some(file) => std::fs::write(file, text),
        None => Ok(()),
    };
    if let Err(error) = write(options.out, page).and_then(|()| write(options.csv, to_csv(&records)))
    {
        eprintln!("{error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
