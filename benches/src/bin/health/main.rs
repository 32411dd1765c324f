//! Measures what minding a pool's health costs. `health --help` says how.
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

mod fleet;
mod monitor;
mod process;

use std::hint::black_box;
use std::process::ExitCode;
use std::time::Duration;

use equipoise_algorithms::RoundRobin;
use equipoise_benches::floors::FetchAdd;
use equipoise_benches::report::{Figures, Plan, measure_rows};
use equipoise_benches::row::{Row, Worker};
use equipoise_core::{BackendId, Failure, Instant, Outcome, Rng, Runs, Tally};
use equipoise_health::OutlierConfig;
use equipoise_health::outlier::{EjectionCause, Host, Sweeper};
use equipoise_pool::{Lease, Pool, Reader, Request, Spec};

const HELP: &str = "\
usage: health [--rounds R]             batches of each row [41]
       health fleet [BACKENDS [SECONDS]]
                                       checks as many real listeners on the loopback device by TCP
                                       connect, for so long [10000 20]; takes twice as many files
                                       as backends in all, see `ulimit -n`";

/// How many backends a control task has to mind.
const MANY: usize = 10_000;

const FAILURE: Outcome = Outcome::Failure(Failure::Response(500));

type BackendPool = Pool<u64, RoundRobin>;

fn pool(is_watched: bool, backends: usize) -> BackendPool {
    let thresholds = Runs { failures: 5, local: 5, ..Runs::default() };
    let pool = if is_watched {
        Pool::watched(RoundRobin, 7, thresholds, || {})
    } else {
        Pool::new(RoundRobin, 7)
    };
    let specs = (0..backends as u64).map(|i| Spec::new(BackendId::new(i), i));
    pool.update(specs).expect("ids differ");
    pool
}

/// Records an outcome, of one lease after the other.
struct Record {
    leases: Vec<Lease<u64>>,
    next: usize,
    now: u64,
    outcome: Outcome,
}

impl Record {
    fn new(pool: &BackendPool, outcome: Outcome) -> Self {
        let mut reader = pool.reader();
        let request = Request::new().at(Instant::from_nanos(1));
        let leases = (0..64).map(|_| reader.pick(&request).expect("all are up")).collect();
        Self { leases, next: 0, now: 1, outcome }
    }
}

impl Worker for Record {
    fn step(&mut self) -> u64 {
        self.now += 1_000;
        self.next = (self.next + 1) % 64;
        self.leases[self.next].sample(Instant::from_nanos(self.now), self.outcome);
        self.now
    }
}

/// A whole request.
struct Whole {
    reader: Reader<u64, RoundRobin>,
    now: u64,
}

impl Worker for Whole {
    fn step(&mut self) -> u64 {
        self.now += 1_000;
        let request = Request::new().at(Instant::from_nanos(self.now));
        let lease = self.reader.pick(&request).expect("all are up");
        lease.finish(Instant::from_nanos(self.now + 500), Outcome::Success);
        self.now
    }
}

/// A comparison of all backends, all detectors on.
struct Sweep {
    sweeper: Sweeper,
    config: OutlierConfig,
    hosts: Vec<Host>,
    ejected: Vec<(usize, EjectionCause)>,
}

impl Sweep {
    fn new() -> Self {
        let config = OutlierConfig::builder().latency_factor(5.0).build().expect("allowed");
        Self { sweeper: Sweeper::new(), config, hosts: hosts(), ejected: Vec::new() }
    }
}

impl Worker for Sweep {
    fn step(&mut self) -> u64 {
        self.sweeper.sweep(&self.config, &self.hosts, &mut self.ejected);
        self.ejected.len() as u64
    }
}

/// Of a hundred backends one fails half the time, and one is ten times as slow.
fn hosts() -> Vec<Host> {
    let mut rng = Rng::seeded(7);
    let mut tally = |i: usize| {
        let failures = if i.is_multiple_of(100) { 150 } else { rng.below(5) };
        let successes = 300 - failures;
        let slow = if i % 100 == 1 { 10 } else { 1 };
        let mean = Duration::from_micros(slow * (900 + u64::from(rng.below(200))));
        Tally {
            successes,
            upstream_failures: failures / 2,
            local_failures: failures - failures / 2,
            latency: mean * successes,
        }
    };
    let host = |i| Host { tally: tally(i), is_out: false, is_countable: true };
    (0..MANY).map(host).collect()
}

fn records(threads: usize, backends: usize) -> Vec<Row> {
    let record = |name, is_watched, outcome| {
        let pool = pool(is_watched, backends);
        Row::new(name, (0..threads).map(|_| Record::new(&pool, outcome)).collect())
    };
    let whole = |name, is_watched| {
        let pool = pool(is_watched, backends);
        let workers = (0..threads).map(|_| Whole { reader: pool.reader(), now: 1 });
        Row::new(name, workers.collect())
    };
    vec![
        Row::new("floor: fetch_add, own line", (0..threads).map(|_| FetchAdd::default()).collect()),
        record("outcome, unwatched", false, Outcome::Success),
        record("success recorded", true, Outcome::Success),
        record("failure recorded", true, FAILURE),
        whole("request and finish, unwatched", false),
        whole("request and finish, watched", true),
    ]
}

/// The time of taking all tallies, after as many requests.
fn take_tallies(rounds: usize, requests: usize) -> Figures {
    let pool = pool(true, MANY);
    let mut reader = pool.reader();
    let mut tallies = Vec::new();
    let mut sample = || {
        for now in 0..requests as u64 {
            let lease = reader.pick(&Request::new().at(Instant::from_nanos(1 + now)));
            lease.expect("all are up").finish(Instant::from_nanos(500 + now), Outcome::Success);
        }
        tallies.clear();
        let start = std::time::Instant::now();
        pool.take_tallies(&mut tallies);
        let took = start.elapsed().as_nanos() as f64;
        black_box(&tallies);
        took
    };
    sample();
    Figures::of((0..rounds).map(|_| sample()).collect())
}

fn print(name: &str, backends: usize, threads: usize, figures: Figures) {
    let Figures { median, spread: (low, high) } = figures;
    let digits = if median < 100.0 { 1 } else { 0 };
    println!(
        "| {name} | {backends} | {threads} | {median:.digits$} | {low:.digits$} - {high:.digits$} |"
    );
}

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args().skip(1).collect();
    if let Some(done) = fleet::command(&args) {
        return done;
    }
    let rounds = match &args[..] {
        [] => Some(41),
        [option, rounds] if option == "--rounds" => rounds.parse().ok().filter(|&r| r > 0),
        _ => None,
    };
    let Some(rounds) = rounds else {
        eprintln!("{HELP}");
        return ExitCode::FAILURE;
    };
    let plan = Plan { rounds, batch: Duration::from_micros(1_500) };
    println!("| row | backends | threads | median ns | 10 % - 90 % |");
    println!("|---|---:|---:|---:|---:|");
    for (threads, backends) in [(1, 1), (1, 1_000), (2, 1), (2, 1_000)] {
        let mut rows = records(threads, backends);
        let figures = measure_rows(&mut rows, backends, plan);
        for (row, figures) in rows.iter().zip(figures) {
            print(row.name, backends, threads, figures);
        }
    }
    for (name, requests) in [("take_tallies, idle", 0), ("take_tallies, all had requests", MANY)] {
        print(name, MANY, 1, take_tallies(rounds, requests));
    }
    let mut sweep = [Row::new("sweep, all detectors", vec![Sweep::new()])];
    let figures = measure_rows(&mut sweep, MANY, plan);
    for (row, figures) in sweep.iter().zip(figures) {
        print(row.name, MANY, 1, figures);
    }
    let [heard, swept] = monitor::tallies(rounds);
    print("Monitor::on_tallies, all had requests", MANY, 1, heard);
    print("Monitor::on_tallies, end of an interval", MANY, 1, swept);
    print("Monitor::poll and on_probe, in 1 s", MANY, 1, monitor::steady_second(rounds));
    let bytes = monitor::bytes_per_backend();
    println!("\nA `Monitor` takes {bytes} bytes a backend.");
    ExitCode::SUCCESS
}
