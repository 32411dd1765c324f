//! What a monitor of many backends costs by itself.

use std::hint::black_box;
use std::time::Duration;

use equipoise_benches::report::Figures;
use equipoise_core::{BackendId, Instant, Rng, Tally};
use equipoise_health::monitor::{Monitor, MonitorConfig, Operator};
use equipoise_health::{CheckConfig, OutlierConfig, Verdict};

use crate::{MANY, hosts, process};

const STEP: Duration = Duration::from_millis(1);

/// Of backends that are checked every 2 s, and watched.
struct Monitored {
    monitor: Monitor,
    now: Instant,
}

impl Monitored {
    fn new(backends: usize) -> Self {
        // All detectors on.
        let outlier = OutlierConfig::builder().latency_factor(5.0).build().expect("allowed");
        let (check, outlier) = (Some(CheckConfig::default()), Some(outlier));
        let config = MonitorConfig { check, outlier, ..MonitorConfig::default() };
        let mut monitor = Monitor::new(config, 7);
        let now = Instant::from_nanos(1);
        for id in ids(backends) {
            monitor.insert(now, id, Operator::default());
        }
        let mut this = Self { monitor, now };
        this.pass(Duration::from_secs(3));
        this
    }

    /// Lets time pass in steps of the runtime's timer. All probes pass at once.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        let mut orders = Vec::new();
        while self.now < end {
            self.now = self.now + STEP;
            self.monitor.poll(self.now, usize::MAX, |_| true, &mut orders);
            for order in orders.drain(..) {
                self.monitor.on_probe(self.now, order.id, order.token, Verdict::Pass, None);
            }
            black_box((self.monitor.take_changes(), self.monitor.take_notices()));
        }
    }
}

/// As they come from names: spread over all numbers.
fn ids(backends: usize) -> impl Iterator<Item = BackendId> {
    let mut rng = Rng::seeded(1);
    (0..backends).map(move |_| BackendId::new(rng.next_u64()))
}

fn timed(run: impl FnOnce()) -> f64 {
    let start = std::time::Instant::now();
    run();
    start.elapsed().as_nanos() as f64
}

/// `on_tallies` with requests of every backend, 1 % of them an outlier: in an interval, and at its end
/// when it has heard of them.
pub(crate) fn tallies(rounds: usize) -> [Figures; 2] {
    let mut monitored = Monitored::new(MANY);
    let tallies: Vec<(BackendId, Tally)> =
        ids(MANY).zip(hosts()).map(|(id, host)| (id, host.tally)).collect();
    let mut samples = [Vec::new(), Vec::new()];
    for round in 0..=rounds {
        // Who was ejected is let in by its check.
        monitored.pass(Duration::from_secs(12));
        monitored.monitor.on_tallies(monitored.now, &[]);
        let heard = timed(|| monitored.monitor.on_tallies(monitored.now, &tallies));
        monitored.now = monitored.now + Duration::from_secs(10);
        let swept = timed(|| monitored.monitor.on_tallies(monitored.now, &[]));
        assert!(monitored.monitor.ejected().0 >= 100, "it has swept");
        // The first is a warm-up.
        if round > 0 {
            samples[0].push(heard);
            samples[1].push(swept);
        }
    }
    samples.map(Figures::of)
}

/// All calls of a second of checks in which nothing happens.
pub(crate) fn steady_second(rounds: usize) -> Figures {
    let mut monitored = Monitored::new(MANY);
    let mut sample = || timed(|| monitored.pass(Duration::from_secs(1)));
    Figures::of((0..rounds).map(|_| sample()).collect())
}

pub(crate) fn bytes_per_backend() -> u64 {
    const VERY_MANY: usize = 20 * MANY;
    let before = process::resident();
    let monitored = black_box(Monitored::new(VERY_MANY));
    let bytes = process::resident().saturating_sub(before) * 1024 / VERY_MANY as u64;
    drop(monitored);
    bytes
}
