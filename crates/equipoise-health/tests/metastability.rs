//! No combination of retries, ejection, checks, panic and slow start does worse than a random pick
//! without any of them.
//!
//! A simulation in steps of a millisecond. Ten backends, each with one worker, 10 ms a request and
//! a queue of 100. A client waits 300 ms for an answer; then it is gone, but the backend works on
//! what it has: that is what makes overload last. The measure is goodput: clients that got a good
//! answer, over 5 s, an incident of 20 s, and 20 s after it. Both sides see the same arrivals, so
//! what differs by chance is who is picked: of 8,000 and more good answers, less than 1 % (the
//! standard deviation of such a count is its root, were all of it chance).
//!
//! What it found, and the tests hold on to:
//! * With a cap on requests in flight per backend that its time-out can bear, and with an ejected
//!   backend taking what nobody else has room for, nothing is lost in any combination.
//! * Without a cap, a backend that is overrun answers nobody. Ejection then can bring down a pool
//!   that only had a moment's trouble; the [`Guard`] bounds that.
//! * Panic gains nothing over a threshold of 0 as soon as the others have a cap, and loses much
//!   where the few that are well could carry the load.
//!
//! Checks, panic and slow start are models in a few lines, with the usual rules; ejection, guard,
//! cap and retry budget are the machines of this crate, with their defaults and the latency
//! detector on.

mod support;

use core::time::Duration;
use std::collections::VecDeque;

use equipoise_core::{Instant, Passive, Rng};
use equipoise_health::breaker::Permit;
use equipoise_health::outlier::{EjectionCause, Guard, may_eject};
use equipoise_health::{
    BreakerConfig, CircuitBreaker, OutlierConfig, RetryBudget, RetryBudgetConfig,
};
use support::{End, Pool};

const BACKENDS: usize = 10;
const SERVICE: u64 = 10;
const QUEUE: usize = 100;
const TIMEOUT: u64 = 300;
const CAPACITY: f64 = BACKENDS as f64 / SERVICE as f64;
const INCIDENT: core::ops::Range<u64> = 5_000..25_000;
const LENGTH: u64 = 45_000;

/// What is wrong with a backend during the incident.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Fault {
    /// Refuses connections.
    Dead,
    /// Answers 500 at once.
    Fails,
    /// Needs ten times as long.
    Slow,
}

#[derive(Clone, Copy, Debug)]
struct Scenario {
    name: &'static str,
    /// Of the capacity, before and after the incident.
    demand: f64,
    /// ... and during it.
    peak: f64,
    fault: Option<(Fault, usize)>,
    /// How long the fault lasts, in milliseconds from the start of the incident.
    lasts: u64,
    /// Whether somebody ejects a backend every 200 ms that has done nothing wrong.
    is_slandered: bool,
}

const fn overload(name: &'static str, demand: f64, peak: f64) -> Scenario {
    Scenario { name, demand, peak, fault: None, lasts: 0, is_slandered: false }
}

const fn broken(name: &'static str, demand: f64, fault: Fault, backends: usize) -> Scenario {
    let fault = Some((fault, backends));
    Scenario { name, demand, peak: demand, fault, lasts: 20_000, is_slandered: false }
}

const SCENARIOS: [Scenario; 20] = [
    overload("load 0.8", 0.8, 0.8),
    overload("load 0.7, then 1.0", 0.7, 1.0),
    overload("load 0.8, then 1.2", 0.8, 1.2),
    overload("load 0.8, then 1.5", 0.8, 1.5),
    overload("load 1.1 for ever", 1.1, 1.1),
    overload("load 1.5 for ever", 1.5, 1.5),
    broken("1 dead", 0.6, Fault::Dead, 1),
    broken("3 dead", 0.6, Fault::Dead, 3),
    broken("5 dead", 0.6, Fault::Dead, 5),
    broken("8 dead", 0.6, Fault::Dead, 8),
    broken("8 dead, load 0.3", 0.3, Fault::Dead, 8),
    broken("2 dead, load 0.9", 0.9, Fault::Dead, 2),
    broken("1 fails", 0.6, Fault::Fails, 1),
    broken("5 fail", 0.8, Fault::Fails, 5),
    broken("8 fail", 0.6, Fault::Fails, 8),
    broken("1 slow", 0.6, Fault::Slow, 1),
    broken("3 slow", 0.8, Fault::Slow, 3),
    Scenario { lasts: 5_000, ..broken("all dead for 5 s, load 0.9", 0.9, Fault::Dead, BACKENDS) },
    Scenario { lasts: 5_000, ..broken("all slow for 5 s, load 0.9", 0.9, Fault::Slow, BACKENDS) },
    Scenario { is_slandered: true, ..overload("false ejections, load 0.8", 0.8, 0.8) },
];

/// What is in use.
#[derive(Clone, Copy, Debug)]
struct Means {
    retries: Retries,
    ejects: bool,
    max_ejection_percent: u8,
    checks: bool,
    /// All backends are used if fewer than so many percent could be.
    panic_percent: usize,
    slow_start: bool,
    guarded: bool,
    /// Requests in flight that one backend may have.
    cap: Option<u32>,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Retries {
    None,
    Budget,
    /// Two for each request, whatever happens: what everybody is warned of.
    Unlimited,
}

const NOTHING: Means = Means {
    retries: Retries::None,
    ejects: false,
    max_ejection_percent: 0,
    checks: false,
    panic_percent: 0,
    slow_start: false,
    guarded: false,
    cap: None,
};

/// A try of a request at a backend.
#[derive(Clone, Copy)]
struct Try {
    client: u32,
    backend: u8,
    is_trial: bool,
    /// The client has its answer, or is gone.
    is_over: bool,
    sent: u64,
    retries: u8,
}

struct Server {
    queue: VecDeque<u32>,
    /// Which try is worked on, and when it is done.
    working: Option<(u32, u64)>,
    is_trying: bool,
    breaker: CircuitBreaker,
    /// Its active check: whether it is up, and results in a row that say otherwise.
    is_up: bool,
    against: u8,
    /// When it came back last.
    back: Option<u64>,
}

struct Simulation {
    scenario: Scenario,
    means: Means,
    now: u64,
    pool: Pool,
    guard: Guard,
    budget: RetryBudget,
    breaker: BreakerConfig,
    permits: Vec<Option<Permit>>,
    servers: Vec<Server>,
    tries: Vec<Try>,
    /// In the order of being sent, and so of timing out.
    waiting: VecDeque<u32>,
    good: u64,
    rng: Rng,
}

impl Simulation {
    fn new(scenario: Scenario, means: Means, seed: u64) -> Self {
        let config = OutlierConfig::builder()
            .max_ejection_percent(means.max_ejection_percent)
            .latency_factor(3.0)
            .build()
            .expect("in range");
        let server = || Server {
            queue: VecDeque::new(),
            working: None,
            is_trying: false,
            breaker: CircuitBreaker::new(),
            is_up: true,
            against: 0,
            back: None,
        };
        Self {
            scenario,
            means,
            now: 0,
            pool: Pool::new(config, BACKENDS),
            guard: Guard::new(),
            breaker: BreakerConfig::builder()
                .consecutive(0)
                .failure_percentage(0)
                .max_in_flight(means.cap.unwrap_or(u32::MAX))
                .build()
                .expect("in range"),
            permits: Vec::new(),
            budget: RetryBudget::new(RetryBudgetConfig::default()),
            servers: (0..BACKENDS).map(|_| server()).collect(),
            tries: Vec::new(),
            waiting: VecDeque::new(),
            good: 0,
            rng: Rng::seeded(seed ^ 0x5eed),
        }
    }

    /// How many clients got a good answer.
    fn run(mut self, seed: u64) -> u64 {
        let mut arrivals = Rng::seeded(seed);
        let mut client = 0;
        for now in 0..LENGTH {
            self.now = now;
            self.control();
            let demand =
                if INCIDENT.contains(&now) { self.scenario.peak } else { self.scenario.demand };
            // Four draws a step: nearly a Poisson process.
            for _ in 0..4 {
                let chance = demand * CAPACITY / 4.0;
                if (arrivals.next_u64() >> 11) as f64 / (1_u64 << 53) as f64 <= chance {
                    self.budget.deposit(instant(now));
                    self.send(client, 0, None);
                    client += 1;
                }
            }
            self.work();
            while let Some(&first) = self.waiting.front()
                && now - self.tries[first as usize].sent >= TIMEOUT
            {
                self.waiting.pop_front();
                self.end(first, End::Local);
            }
        }
        self.good
    }

    fn fault(&self, backend: usize) -> Option<Fault> {
        let (fault, backends) = self.scenario.fault?;
        let during = INCIDENT.start..INCIDENT.start + self.scenario.lasts;
        (backend < backends && during.contains(&self.now)).then_some(fault)
    }

    fn control(&mut self) {
        let before = self.pool.states();
        if self.means.guarded {
            self.guard();
        }
        if self.means.ejects {
            self.pool.advance_to(instant(self.now));
            if self.now % 10_000 == 9_999 && !self.guard.is_general() {
                self.pool.sweep();
            }
            if self.scenario.is_slandered
                && self.now.is_multiple_of(200)
                && INCIDENT.contains(&self.now)
            {
                let (index, out) = (self.rng.below(BACKENDS as u32) as usize, self.pool.out());
                let pool = &mut self.pool;
                if may_eject(&pool.config, out, BACKENDS) && !self.guard.is_general() {
                    let cause = EjectionCause::Consecutive { count: 5, code: 0 };
                    let now = instant(self.now);
                    pool.backends[index].ejection.eject(&pool.config, now, cause, &mut pool.rng);
                }
            }
        }
        let states = self.pool.states();
        for index in 0..BACKENDS {
            let was_up = self.servers[index].is_up;
            if self.means.checks && self.now % 500 == 50 * index as u64 {
                self.check(index);
            }
            let server = &mut self.servers[index];
            let (old, new) = (before.as_bytes()[index], states.as_bytes()[index]);
            if new == b'T' && old != b'T' {
                server.is_trying = false;
            }
            if (old != b'-' && new == b'-') || (!was_up && server.is_up) {
                server.back = Some(self.now);
            }
        }
    }

    /// Where failing is general, all are let in.
    fn guard(&mut self) {
        let now = instant(self.now);
        if self.guard.poll(&self.pool.config, now, &mut self.rng) {
            for backend in &mut self.pool.backends {
                backend.ejection.clear();
            }
        }
    }

    /// A check every half second asks the application, and waits in its queue: rise 2, fall 3.
    fn check(&mut self, index: usize) {
        let fault = self.fault(index);
        let service = if fault == Some(Fault::Slow) { SERVICE * 10 } else { SERVICE };
        let server = &mut self.servers[index];
        let in_time = server.queue.len() as u64 * service < TIMEOUT;
        let passes = in_time && !matches!(fault, Some(Fault::Dead | Fault::Fails));
        server.against = if passes == server.is_up { 0 } else { server.against + 1 };
        if server.against >= if server.is_up { 3 } else { 2 } {
            server.is_up = !server.is_up;
            server.against = 0;
        }
        if passes && server.is_up && self.means.ejects {
            self.pool.active_pass(index);
        }
    }

    /// A random backend that has room and may have the request: of all, if `all` says so, or in
    /// panic.
    fn pick(&mut self, not: Option<usize>, all: bool) -> Option<usize> {
        let may = |s: &Self, index: usize| match s.pool.backends[index].ejection.passive() {
            Passive::Clear => s.servers[index].is_up,
            Passive::Trial => s.servers[index].is_up && !s.servers[index].is_trying,
            Passive::Ejected => false,
        };
        let available = (0..BACKENDS)
            .filter(|&i| {
                self.servers[i].is_up && self.pool.backends[i].ejection.passive() == Passive::Clear
            })
            .count();
        let panics =
            self.guard.is_general() || available * 100 < self.means.panic_percent * BACKENDS;
        let mut weights = [0_u32; BACKENDS];
        for (index, weight) in weights.iter_mut().enumerate() {
            let is_full =
                self.means.cap.is_some_and(|cap| self.servers[index].breaker.in_flight() >= cap);
            if !is_full && (all || panics || may(self, index)) {
                *weight = 100;
                if self.means.slow_start
                    && let Some(back) = self.servers[index].back
                {
                    // From a tenth to all of it in 5 s.
                    *weight = ((self.now - back) / 50).clamp(10, 100) as u32;
                }
            }
        }
        if let Some(not) = not
            && weights.iter().enumerate().any(|(i, &w)| w > 0 && i != not)
        {
            weights[not] = 0;
        }
        let mut drawn = self.rng.below(weights.iter().sum());
        weights.iter().position(|&weight| {
            let hit = drawn < weight;
            drawn = drawn.wrapping_sub(weight);
            hit
        })
    }

    fn send(&mut self, client: u32, retries: u8, not: Option<usize>) {
        // With nobody to pick, the client has its failure.
        let Some(index) = self.pick(not, false).or_else(|| self.pick(not, true)) else { return };
        let permit = self.servers[index].breaker.try_acquire(&self.breaker, instant(self.now));
        self.permits.push(permit.ok());
        let is_trial = self.pool.backends[index].ejection.passive() == Passive::Trial
            && !self.servers[index].is_trying;
        self.servers[index].is_trying |= is_trial;
        let id = self.tries.len() as u32;
        let backend = index as u8;
        self.tries.push(Try { client, backend, is_trial, is_over: false, sent: self.now, retries });
        self.waiting.push_back(id);
        match self.fault(index) {
            Some(Fault::Dead) => self.end(id, End::Local),
            Some(Fault::Fails) => self.end(id, End::Answered(500)),
            _ if self.servers[index].queue.len() >= QUEUE => self.end(id, End::Answered(503)),
            _ => self.servers[index].queue.push_back(id),
        }
    }

    fn work(&mut self) {
        for index in 0..BACKENDS {
            let fault = self.fault(index);
            if let Some((id, done)) = self.servers[index].working
                && done <= self.now
            {
                self.servers[index].working = None;
                let latency = Duration::from_millis(self.now - self.tries[id as usize].sent);
                self.end(id, End::Good { latency });
            }
            let server = &mut self.servers[index];
            if server.working.is_none() && !matches!(fault, Some(Fault::Dead | Fault::Fails)) {
                let time = if fault == Some(Fault::Slow) { SERVICE * 10 } else { SERVICE };
                server.working = server.queue.pop_front().map(|id| (id, self.now + time));
            }
        }
    }

    fn end(&mut self, id: u32, end: End) {
        let it = self.tries[id as usize];
        if core::mem::replace(&mut self.tries[id as usize].is_over, true) {
            return;
        }
        let index = usize::from(it.backend);
        if let Some(permit) = self.permits[id as usize].take() {
            let breaker = &mut self.servers[index].breaker;
            breaker.release(&self.breaker, instant(self.now), permit, None, &mut self.rng);
        }
        if !it.is_trial {
            let failed = !matches!(end, End::Good { .. });
            self.guard.on_outcomes(instant(self.now), 1, failed.into());
        }
        if self.means.ejects {
            let was = self.pool.backends[index].ejection.passive();
            if it.is_trial && was == Passive::Trial {
                self.servers[index].is_trying = false;
            }
            if it.is_trial || was == Passive::Clear {
                // Where failing is general, outcomes count, but nobody is ejected for them.
                self.pool.may_eject = !self.guard.is_general();
                self.pool.request(index, end);
                let is = self.pool.backends[index].ejection.passive();
                if was != Passive::Clear && is == Passive::Clear {
                    self.servers[index].back = Some(self.now);
                }
            }
        }
        if matches!(end, End::Good { .. }) {
            self.good += 1;
            return;
        }
        let may = it.retries < 2
            && !self.guard.is_general()
            && match self.means.retries {
                Retries::None => false,
                Retries::Budget => self.budget.try_withdraw(instant(self.now)),
                Retries::Unlimited => true,
            };
        if may {
            self.send(it.client, it.retries + 1, Some(index));
        }
    }
}

fn instant(millis: u64) -> Instant {
    Instant::from_nanos(millis * 1_000_000)
}

fn goodput(scenario: Scenario, means: Means) -> f64 {
    const SEED: u64 = 1;
    Simulation::new(scenario, means, SEED).run(SEED) as f64
}

/// Goodput in parts of that of `base`, by scenario.
fn compare(means: Means, base: Means) -> impl Iterator<Item = (&'static str, f64)> {
    SCENARIOS
        .into_iter()
        .map(move |scenario| (scenario.name, goodput(scenario, means) / goodput(scenario, base)))
}

/// Of the requests that a backend does in 250 ms, less than clients wait.
const CAPPED: Means = Means { cap: Some(25), ..NOTHING };
const ALL: Means = Means {
    retries: Retries::Budget,
    ejects: true,
    max_ejection_percent: 50,
    checks: true,
    panic_percent: 0,
    slow_start: true,
    guarded: true,
    cap: Some(25),
};
const MARGIN: f64 = 0.01;

#[test]
fn with_a_cap_no_combination_does_worse_than_random() {
    let mut combinations = Vec::new();
    for retries in [Retries::None, Retries::Budget] {
        for (ejects, max_ejection_percent) in [(false, 0), (true, 50), (true, 100)] {
            for checks in [false, true] {
                for (panic_percent, slow_start) in [(0, false), (30, true), (50, true)] {
                    combinations.push(Means {
                        retries,
                        ejects,
                        max_ejection_percent,
                        checks,
                        panic_percent,
                        slow_start,
                        ..ALL
                    });
                }
            }
        }
    }
    for scenario in SCENARIOS {
        // Against a random pick without a cap, and against one that has the cap too.
        let base = goodput(scenario, NOTHING).max(goodput(scenario, CAPPED));
        for means in &combinations {
            let part = goodput(scenario, *means) / base;
            assert!(part >= 1.0 - MARGIN, "{}: {part:.3} with {means:?}", scenario.name);
        }
    }
}

#[test]
fn where_some_can_be_left_out_it_does_better() {
    for (name, part) in compare(ALL, CAPPED) {
        let least = match name {
            "1 dead" | "1 fails" | "1 slow" | "2 dead, load 0.9" => 1.04,
            "3 dead" | "5 dead" => 1.15,
            "8 dead, load 0.3" => 1.3,
            _ => continue,
        };
        assert!(part >= least, "{name}: {part:.3}");
    }
}

#[test]
fn a_panic_threshold_loses_where_the_few_that_are_well_could_carry_the_load() {
    for panic_percent in [30, 50] {
        let panicking = compare(Means { panic_percent, ..ALL }, ALL);
        for (name, part) in panicking {
            assert!(part <= 1.0 + MARGIN, "{name}: at {panic_percent} % {part:.3} of that at 0");
            if name == "8 dead, load 0.3" {
                assert!(part < 0.85, "{name}: at {panic_percent} % {part:.3} of that at 0");
            }
        }
    }
}

#[test]
fn without_a_cap_the_guard_bounds_what_ejection_loses() {
    let uncapped = Means { checks: false, cap: None, ..ALL };
    let least = |means| compare(means, NOTHING).map(|(_, part)| part).fold(f64::MAX, f64::min);
    let guarded = least(uncapped);
    let unguarded = least(Means { guarded: false, ..uncapped });
    // Checks that share the queue with the requests fail with it, and the guard rules over ejection.
    let checked = least(Means { checks: true, ..uncapped });
    println!("at worst {guarded:.3} of random with the guard, {unguarded:.3} without");
    println!("with checks {checked:.3}");
    assert!(checked >= 0.4, "{checked:.3}");
    assert!(guarded >= 0.8, "{guarded:.3}");
    assert!(unguarded < 0.5, "{unguarded:.3}: then the guard is for nothing");
}

#[test]
fn retries_without_a_budget_make_overload_worse() {
    let unlimited = Means { retries: Retries::Unlimited, ..NOTHING };
    let worst = compare(unlimited, NOTHING).map(|(_, part)| part).fold(f64::MAX, f64::min);
    assert!(worst < 0.6, "{worst:.3}: then the simulation has no overload that lasts");
}
