//! Measures session tables, ours and the peers'. `sessions --help` says how.
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::alloc::System;
use std::process::ExitCode;
use std::time::Duration;

use equipoise_benches::report::Plan;
use equipoise_benches::rows::Only;
use equipoise_benches::sessions::measure::{count, measure, subjects};
use equipoise_benches::sessions::report::page;
use equipoise_benches::sessions::subject::Lookups;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

/// Counts bytes, at the price of two atomic additions for each allocation. Lookups do not allocate.
#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const HELP: &str = "\
usage: sessions [options]
  --only TEXT       only tables whose name contains it; may be given several times
  --row NAME        only that table, the same
  --rounds R        batches of each row [21]
  --batch-us T      the length of a batch in microseconds [10000]
  --out FILE        write the tables there too
  --op OPERATION    with --count: hit, chained or miss [hit]
  --count TIMES     so many lookups after a warm-up, untimed: for callgrind";

#[derive(Debug)]
struct Options {
    only: Vec<Only>,
    plan: Plan,
    out: Option<String>,
    lookups: Lookups,
    count: Option<u64>,
}

impl Options {
    fn parse(mut args: impl Iterator<Item = String>) -> Option<Self> {
        let mut options = Self {
            only: Vec::new(),
            plan: Plan { rounds: 21, batch: Duration::from_millis(10) },
            out: None,
            lookups: Lookups::Hit,
            count: None,
        };
        while let Some(option) = args.next() {
            let value = args.next()?;
            match option.as_str() {
                "--only" => options.only.push(Only::Containing(value)),
                "--row" => options.only.push(Only::Named(value)),
                "--rounds" => options.plan.rounds = value.parse().ok().filter(|&r| r > 0)?,
                "--batch-us" => options.plan.batch = Duration::from_micros(value.parse().ok()?),
                "--out" => options.out = Some(value),
                "--op" => {
                    options.lookups = match value.as_str() {
                        "hit" => Lookups::Hit,
                        "chained" => Lookups::Chained,
                        "miss" => Lookups::Miss,
                        _ => return None,
                    }
                }
                "--count" => options.count = Some(value.parse().ok()?),
                _ => return None,
            }
        }
        Some(options)
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
    let mut subjects = subjects();
    let only = &options.only;
    subjects
        .retain(|subject| only.is_empty() || only.iter().any(|only| only.lets_in(subject.name)));
    if let Some(times) = options.count {
        subjects.iter().for_each(|subject| count(subject, options.lookups, times));
        return ExitCode::SUCCESS;
    }
    let page = page(&measure(&subjects, options.plan, heap));
    print!("{page}");
    if let Some(Err(error)) = options.out.map(|file| std::fs::write(file, page)) {
        eprintln!("{error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
