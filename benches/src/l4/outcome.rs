//! What a load generator has seen, and how it tells.

use std::fmt;
use std::time::{Duration, Instant};

/// What a load generator says when its warm-up is over, before anything is counted.
pub const BEGIN: &str = "begin";

/// What came of a load.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outcome {
    /// Operations that were done.
    pub count: f64,
    /// In so many seconds.
    pub seconds: f64,
    /// Operations that failed.
    pub errors: u64,
    /// Microseconds that an operation took: the median.
    pub p50: f64,
    /// The 99th percentile.
    pub p99: f64,
    /// The slowest.
    pub max: f64,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { count, seconds, errors, p50, p99, max } = self;
        write!(f, "{count} {seconds} {errors} {p50} {p99} {max}")
    }
}

impl Outcome {
    /// From the line that [`Display`](fmt::Display) makes.
    pub fn parse(line: &str) -> Option<Self> {
        let mut numbers = line.split_whitespace();
        let mut next = || numbers.next()?.parse::<f64>().ok();
        let (count, seconds, errors) = (next()?, next()?, next()? as u64);
        Some(Self { count, seconds, errors, p50: next()?, p99: next()?, max: next()? })
    }
}

/// Counts what is done after a warm-up, until the time is over.
#[derive(Debug)]
pub struct Meter {
    begins: Instant,
    has_begun: bool,
    time: Duration,
    latencies: Vec<u32>,
    amount: f64,
    errors: u64,
}

impl Meter {
    /// Of so long, from after the warm-up.
    pub fn new(warm_up: Duration, time: Duration) -> Self {
        Self {
            begins: Instant::now() + warm_up,
            has_begun: false,
            time,
            latencies: Vec::new(),
            amount: 0.0,
            errors: 0,
        }
    }

    /// An operation has taken so long.
    pub fn done(&mut self, took: Duration) {
        self.latencies.push(u32::try_from(took.as_nanos() / 100).unwrap_or(u32::MAX));
        self.amount += 1.0;
    }

    /// So much was done, whose parts have no time of their own.
    pub fn add(&mut self, amount: f64) {
        self.amount += amount;
    }

    /// So many operations failed.
    pub fn failed(&mut self, count: u64) {
        self.errors += count;
    }

    /// Whether the time is over. At the end of the warm-up it says [`BEGIN`], and forgets what was.
    pub fn is_over(&mut self, now: Instant) -> bool {
        if !self.has_begun && now >= self.begins {
            println!("{BEGIN}");
            self.has_begun = true;
            self.begins = Instant::now();
            self.latencies.clear();
            (self.amount, self.errors) = (0.0, 0);
        }
        self.has_begun && now >= self.begins + self.time
    }

    /// The sum.
    pub fn outcome(mut self) -> Outcome {
        let seconds = self.begins.elapsed().as_secs_f64();
        self.latencies.sort_unstable();
        let last = self.latencies.len().saturating_sub(1) as f64;
        let at = |part: f64| {
            let tenth = self.latencies.get((last * part).round() as usize);
            tenth.map_or(0.0, |&tenth| f64::from(tenth) / 10.0)
        };
        let (p50, p99, max) = (at(0.5), at(0.99), at(1.0));
        Outcome { count: self.amount, seconds, errors: self.errors, p50, p99, max }
    }
}
