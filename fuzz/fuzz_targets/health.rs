//! Whatever happens to the backends of a monitor, its limits hold, and those that are well come back.
#![no_main]

use std::collections::BTreeMap;
use std::time::Duration;

use arbitrary::Arbitrary;
use equipoise_core::{
    Admin, Admission, BackendId, Condition, Drain, Finding, Health, Instant, Passive, Runs, Tally,
    Weight,
};
use equipoise_health::monitor::{Monitor, MonitorConfig, Operator};
use equipoise_health::{
    CheckConfig, InitialHealth, OutlierConfig, PanicConfig, PanicMode, SlowStart, Verdict,
};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Settings {
    check: Option<Check>,
    max_ejection_percent: u8,
    may_eject_last: bool,
    slow_start_ms: Option<u16>,
    panic_mode: u8,
    panic_threshold: u8,
    places: u8,
}

#[derive(Arbitrary, Debug)]
struct Check {
    rise: u8,
    fall: u8,
    up_ms: u16,
    going_down_ms: u16,
    down_ms: u16,
    timeout_ms: u16,
    no_traffic_ms: Option<u16>,
    initial: u8,
    spread: bool,
}

#[derive(Arbitrary, Debug)]
enum Op {
    Insert(u8),
    Remove(u8),
    Operate {
        id: u8,
        admin: u8,
        drain: bool,
        weight: u16,
    },
    /// What its check says from now on: nothing, without one of these.
    Answer {
        id: u8,
        verdict: Option<u8>,
    },
    Alarm {
        id: u8,
        failures: u8,
        code: u16,
        trial: Option<bool>,
    },
    Tally {
        id: u8,
        successes: u16,
        upstream: u16,
        local: u16,
        latency_ms: u16,
    },
    Pass {
        ms: u16,
    },
}

fn config(settings: &Settings) -> Option<MonitorConfig> {
    let ms = |ms: u16| Duration::from_millis(ms.into());
    let check = match &settings.check {
        None => None,
        Some(check) => {
            let initial = match check.initial % 4 {
                0 => InitialHealth::Up,
                1 => InitialHealth::Down,
                2 => InitialHealth::FirstCheck,
                _ => InitialHealth::FirstN(u16::from(check.initial) / 4),
            };
            let builder = CheckConfig::builder()
                .rise(check.rise.min(5).into())
                .fall(check.fall.min(5).into())
                .up(ms(check.up_ms))
                .going_down(ms(check.going_down_ms))
                .down(ms(check.down_ms))
                .timeout(ms(check.timeout_ms))
                .no_traffic(check.no_traffic_ms.map(ms))
                .initial(initial)
                .spread(check.spread);
            Some(builder.build().ok()?)
        }
    };
    let outlier = OutlierConfig::builder()
        .max_ejection_percent(settings.max_ejection_percent)
        .may_eject_last(settings.may_eject_last)
        .latency_factor(5.0)
        .build()
        .ok()?;
    let slow_start = match settings.slow_start_ms {
        None => None,
        Some(time) => Some(SlowStart::new(ms(time)).ok()?),
    };
    let modes = [PanicMode::FailOpen, PanicMode::FailClosed, PanicMode::LastGood];
    let mode = modes[usize::from(settings.panic_mode) % 3];
    let panic = PanicConfig::new(mode, settings.panic_threshold).ok()?;
    Some(MonitorConfig { check, outlier: Some(outlier), slow_start, panic, drain_limit: None })
}

struct World {
    monitor: Monitor,
    now: Instant,
    places: usize,
    published: BTreeMap<BackendId, Finding>,
    answers: BTreeMap<BackendId, Option<Verdict>>,
    /// Probes under way that nobody will answer, by when they end.
    silent: Vec<Instant>,
}

impl World {
    fn settle(&mut self) {
        for (id, finding) in self.monitor.take_changes() {
            let known = self.published.get_mut(&id).expect("a change is of one that is there");
            *known = finding;
        }
        self.monitor.take_notices();
    }

    /// Lets time pass, at most so many steps of it, as a driver would.
    fn pass(&mut self, time: Duration, most_steps: usize) {
        let end = self.now + time;
        for _ in 0..most_steps {
            if self.now >= end {
                break;
            }
            let due = self.monitor.deadline().unwrap_or(end);
            self.now = due.max(self.now + Duration::from_millis(1)).min(end);
            self.silent.retain(|&end| end > self.now);
            let room = self.places - self.silent.len();
            let mut orders = Vec::new();
            self.monitor.poll(self.now, room, |_| true, &mut orders);
            assert!(orders.len() <= room);
            for order in orders {
                match self.answers.get(&order.id).copied().unwrap_or(Some(Verdict::Pass)) {
                    Some(verdict) => {
                        let heard = self.monitor.on_probe(
                            self.now,
                            order.id,
                            order.token,
                            verdict,
                            Some("it says no".into()),
                        );
                        assert!(heard, "an answer in time is heard");
                        let (id, token) = (order.id, order.token);
                        assert!(!self.monitor.on_probe(self.now, id, token, verdict, None));
                    }
                    None => self.silent.push(self.now + order.timeout),
                }
            }
            self.monitor.on_tallies(self.now, &[]);
            self.settle();
        }
    }

    fn trials_pass(&mut self) {
        let on_trial: Vec<_> =
            self.published.iter().filter(|(_, f)| f.passive == Passive::Trial).collect();
        for id in on_trial.into_iter().map(|(id, _)| *id).collect::<Vec<_>>() {
            self.monitor.on_alarm(self.now, id, &Runs::default(), Some(true));
            self.settle();
        }
    }
}

fuzz_target!(|input: (Settings, Vec<Op>)| {
    let (settings, ops) = input;
    let Some(config) = config(&settings) else { return };
    let mut world = World {
        monitor: Monitor::new(config, 7),
        now: Instant::from_nanos(1),
        places: usize::from(settings.places) % 8 + 1,
        published: BTreeMap::new(),
        answers: BTreeMap::new(),
        silent: Vec::new(),
    };
    let mut operators: BTreeMap<BackendId, Operator> = BTreeMap::new();
    let id = |n: u8| BackendId::new(u64::from(n % 8));
    for op in ops {
        match op {
            Op::Insert(n) => {
                let operator = *operators.entry(id(n)).or_default();
                let finding = world.monitor.insert(world.now, id(n), operator);
                world.published.insert(id(n), finding);
            }
            Op::Remove(n) => {
                operators.remove(&id(n));
                world.monitor.remove(world.now, id(n));
                world.published.remove(&id(n));
            }
            Op::Operate { id: n, admin, drain, weight } => {
                if let Some(operator) = operators.get_mut(&id(n)) {
                    let admins = [Admin::Enabled, Admin::Draining, Admin::Disabled];
                    let admin = admins[usize::from(admin) % 3];
                    *operator = Operator { admin, drain, weight: Weight::new(weight) };
                    world.monitor.set_operator(world.now, id(n), *operator);
                }
            }
            Op::Answer { id: n, verdict } => {
                let verdicts = [Verdict::Pass, Verdict::Drain, Verdict::Fail];
                world.answers.insert(id(n), verdict.map(|v| verdicts[usize::from(v) % 3]));
            }
            Op::Alarm { id: n, failures, code, trial } => {
                let failures = failures.into();
                let gateway = if (502..=504).contains(&code) { failures } else { 0 };
                let local = if code == 0 { failures } else { 0 };
                let runs = Runs { failures, gateway, local, code };
                world.monitor.on_alarm(world.now, id(n), &runs, trial);
            }
            Op::Tally { id: n, successes, upstream, local, latency_ms } => {
                let tally = Tally {
                    successes: successes.into(),
                    upstream_failures: upstream.into(),
                    local_failures: local.into(),
                    latency: Duration::from_millis(latency_ms.into()) * u32::from(successes),
                };
                world.monitor.on_tallies(world.now, &[(id(n), tally)]);
            }
            Op::Pass { ms } => world.pass(Duration::from_millis(ms.into()), 400),
        }
        world.settle();
        let (out, eligible) = world.monitor.ejected();
        assert!(out * 100 <= u32::from(settings.max_ejection_percent) * eligible);
        assert!(settings.may_eject_last || out == 0 || out < eligible, "the last one");
        for &id in operators.keys() {
            let report = world.monitor.report(world.now, id).expect("it is there");
            assert_eq!(report.finding, world.published[&id]);
        }
    }
    // All are well again.
    world.answers.clear();
    for _ in 0..40 {
        world.trials_pass();
        world.pass(Duration::from_secs(3_600), 400);
    }
    world.trials_pass();
    assert!(!world.monitor.is_panicking());
    for (id, operator) in &operators {
        let Finding { health, passive, drain, share } = world.published[id];
        let Operator { admin, weight, .. } = *operator;
        let condition = Condition { admin, health, passive, drain, weight };
        let well = Condition {
            health: Health::Up,
            passive: Passive::Clear,
            drain: if operator.drain { Drain::Wanted } else { Drain::No },
            ..condition
        };
        assert_eq!(Admission::of(&condition), Admission::of(&well));
        assert_eq!(share.get(), 1.0);
    }
});
