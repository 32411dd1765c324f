//! What it costs to make and to open a token. `tokens [--rounds R]`, 41 rounds unless told.
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use equipoise_core::BackendId;
use equipoise_sticky::affinity::token::Tokens;

const NOW: u64 = 1_800_000_000;
const BATCH: u32 = 2_000;

/// Nanoseconds for one of `work`: the median over the rounds.
fn median(rounds: usize, mut work: impl FnMut(u64)) -> f64 {
    let mut times: Vec<f64> = (0..rounds)
        .map(|_| {
            let start = Instant::now();
            (0..u64::from(BATCH)).for_each(&mut work);
            start.elapsed().as_nanos() as f64 / f64::from(BATCH)
        })
        .collect();
    times.sort_unstable_by(f64::total_cmp);
    times[times.len() / 2]
}

fn main() {
    let rounds = std::env::args().nth(2).and_then(|n| n.parse().ok()).unwrap_or(41);
    let idle = Duration::from_secs(1800);
    let tokens = Tokens::new("web", &[7; 16], idle).expect("the settings are good");
    let sealed: Vec<_> =
        (0..64).map(|n| tokens.issue(BackendId::new(n), NOW, None).0.as_str().to_owned()).collect();
    let mut forged = sealed[0].clone();
    forged.replace_range(40..41, if &forged[40..41] == "A" { "B" } else { "A" });
    let make = median(rounds, |n| _ = black_box(tokens.issue(BackendId::new(n), NOW + n, None)));
    let open = median(rounds, |n| {
        let text = sealed[n as usize % sealed.len()].as_bytes();
        assert!(black_box(tokens.open(text, NOW)).is_ok());
    });
    let refuse = median(rounds, |_| {
        assert!(black_box(tokens.open(forged.as_bytes(), NOW)).is_err());
    });
    println!("| token | ns |\n|---|---|");
    println!("| make | {make:.0} |\n| open | {open:.0} |\n| refuse a forged one | {refuse:.0} |");
}
