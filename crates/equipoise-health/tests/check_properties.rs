//! What holds for the active check whatever the settings, the backend and the driver do.

use std::time::Duration;

use equipoise_core::{Health, Instant, Rng};
use equipoise_health::{
    Check, CheckConfig, InitialHealth, Late, Poll, Progress, Token, Transition, Verdict,
};
use proptest::collection::vec;
use proptest::prelude::*;

const MS: fn(u64) -> Duration = Duration::from_millis;

fn initial() -> impl Strategy<Value = InitialHealth> {
    prop_oneof![
        Just(InitialHealth::Up),
        Just(InitialHealth::Down),
        Just(InitialHealth::FirstCheck),
        (1_u16..5).prop_map(InitialHealth::FirstN),
    ]
}

fn config() -> impl Strategy<Value = CheckConfig> {
    let counts = (1_u16..5, 1_u16..5);
    let intervals = (20_u64..3000, 20_u64..3000, 20_u64..3000, proptest::option::of(0_u64..9000));
    (counts, intervals, 0.0..=0.5, 0.0..=1.0, any::<bool>(), initial()).prop_map(
        |((rise, fall), (up, going_down, down, more), jitter, timeout, spread, initial)| {
            let shortest = up.min(going_down).min(down);
            CheckConfig::builder()
                .rise(rise)
                .fall(fall)
                .up(MS(up))
                .going_down(MS(going_down))
                .down(MS(down))
                .no_traffic(more.map(|more| MS(up + more)))
                .timeout(MS(1 + (timeout * (shortest - 1) as f64) as u64))
                .jitter(jitter)
                .spread(spread)
                .initial(initial)
                .build()
                .expect("every such setting is valid")
        },
    )
}

fn longest_interval(config: &CheckConfig) -> Duration {
    let steady = config.up().max(config.no_traffic().unwrap_or_default());
    steady.max(config.going_down()).max(config.down()).mul_f64(1.0 + config.jitter())
}

fn shortest_interval(config: &CheckConfig) -> Duration {
    config.up().min(config.going_down()).min(config.down()).mul_f64(1.0 - config.jitter())
}

/// Does what is due, and answers a probe at once.
fn step(
    check: &mut Check,
    config: &CheckConfig,
    now: Instant,
    verdict: Verdict,
    rng: &mut Rng,
) -> Option<Transition> {
    match check.poll(config, now, true, rng) {
        Poll::Idle => None,
        Poll::TimedOut { transition, .. } => transition,
        Poll::Probe { token, .. } => check.on_result(config, token, verdict, rng).unwrap(),
    }
}

/// A backend that dies and comes back, and how it answers.
#[derive(Clone, Debug)]
struct World {
    dies: Instant,
    returns: Instant,
    /// A dead one refuses at once; or it lets the probe wait.
    refuses: bool,
    /// How long a live one takes for its answer, in parts of the time-out.
    latency: f64,
    /// Requests go to it from its death on, the worst moment; or now and then.
    busy: bool,
}

impl World {
    fn is_alive(&self, at: Instant) -> bool {
        at < self.dies || at >= self.returns
    }

    fn has_traffic(&self, at: Instant, rng: &mut Rng) -> bool {
        if self.busy { at >= self.dies } else { rng.below(2) == 0 }
    }

    /// When a probe is answered and how; `None` if it never is. The backend makes up its mind at the
    /// start.
    fn answer(&self, config: &CheckConfig, began: Instant) -> Option<(Instant, Verdict)> {
        if self.is_alive(began) {
            Some((began + config.timeout().mul_f64(self.latency), Verdict::Pass))
        } else {
            self.refuses.then_some((began, Verdict::Fail))
        }
    }
}

/// Runs a check against the world by a driver that is always in time: the changes, and when they were.
fn simulate(
    config: &CheckConfig,
    world: &World,
    start: Instant,
    end: Instant,
    rng: &mut Rng,
) -> (Health, Vec<(Instant, Transition)>) {
    let mut check = Check::new(config, start, rng);
    let first = check.health();
    let mut changes = Vec::new();
    let mut answer: Option<(Instant, Verdict, Token)> = None;
    loop {
        let now = check.deadline().min(answer.map_or(end, |(at, ..)| at));
        if now >= end {
            return (first, changes);
        }
        let change = match answer.take_if(|(at, ..)| *at <= now) {
            Some((_, verdict, token)) => check.on_result(config, token, verdict, rng).unwrap(),
            None => match check.poll(config, now, world.has_traffic(now, rng), rng) {
                Poll::Idle => None,
                Poll::TimedOut { transition, .. } => {
                    answer = None;
                    transition
                }
                Poll::Probe { token, timeout } => {
                    assert_eq!(timeout, config.timeout());
                    answer = world.answer(config, now).map(|(at, verdict)| (at, verdict, token));
                    None
                }
            },
        };
        changes.extend(change.map(|change| (now, change)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_schedule_exceeds_the_bounds(
        config in config(),
        dies in 0.0..1.0,
        lives_for in 0_u64..30_000,
        refuses in any::<bool>(),
        latency in 0.0..1.0,
        busy in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let start = Instant::from_nanos(1);
        // At any moment, also that of a probe.
        let dies = start + MS(lives_for) + MS(1).mul_f64(dies);
        let detection = config.detection_bound();
        let returns = dies + detection + detection.mul_f64(latency);
        let world = World { dies, returns, refuses, latency, busy };
        let end = returns + config.recovery_bound() + Duration::from_nanos(2);
        let (first, changes) = simulate(&config, &world, start, end, &mut Rng::seeded(seed));

        let health_at = |time| {
            let before = changes.iter().take_while(|(at, _)| *at < time).last();
            before.map_or(first, |(_, change)| change.to.health)
        };
        let next = |from, health| {
            let mut after = changes.iter().filter(|(at, change)| *at >= from && change.to.health == health);
            after.next().map(|(at, _)| at.since(from))
        };
        if health_at(dies) == Health::Up {
            let took = next(dies, Health::Down);
            // In use, it is found as if there were no `no_traffic`; a microsecond is for rounding.
            let more = config.no_traffic().map_or(Duration::ZERO, |long| long - config.up());
            let saved = more.mul_f64(1.0 + config.jitter()).saturating_sub(Duration::from_micros(1));
            let bound = if busy { detection - saved } else { detection };
            prop_assert!(took.is_some_and(|took| took <= bound), "{took:?} {bound:?}");
        }
        if health_at(returns) == Health::Down {
            let (took, bound) = (next(returns, Health::Up), config.recovery_bound());
            prop_assert!(took.is_some_and(|took| took <= bound), "{took:?} {bound:?}");
        }
    }
}

#[test]
fn the_bounds_are_the_documented_formulas_and_tight() {
    let config = CheckConfig::builder()
        .rise(4)
        .fall(3)
        .up(MS(1000))
        .going_down(MS(300))
        .down(MS(700))
        .timeout(MS(200))
        .jitter(0.5)
        .build()
        .unwrap();
    assert_eq!(config.detection_bound(), MS(1500 + 2 * 450 + 200));
    assert_eq!(config.recovery_bound(), MS(1050 + 3 * 450 + 200));
    let exact = CheckConfig::builder().jitter(0.0).initial(InitialHealth::FirstCheck).spread(false);
    let exact = exact.build().unwrap();
    // It answers the first check, and is dead a nanosecond later.
    let start = Instant::from_nanos(1);
    let dies = Instant::from_nanos(2);
    let returns = dies + exact.detection_bound();
    let world = World { dies, returns, refuses: false, latency: 0.0, busy: false };
    let (_, changes) = simulate(&exact, &world, start, returns, &mut Rng::seeded(1));
    let down = changes.iter().find(|(_, change)| change.to.health == Health::Down).unwrap().0;
    assert_eq!(down.since(start), exact.detection_bound());
}

#[derive(Clone, Debug)]
enum Op {
    /// Time goes on, by parts of the time to the deadline.
    Advance(f64),
    Poll(bool),
    /// With the token of so many probes ago.
    Answer(Verdict, usize),
    CheckNow,
    Configure(CheckConfig),
}

fn op() -> impl Strategy<Value = Op> {
    let verdict = prop_oneof![Just(Verdict::Pass), Just(Verdict::Drain), Just(Verdict::Fail)];
    prop_oneof![
        4 => prop_oneof![Just(1.0), 0.0..2.0].prop_map(Op::Advance),
        4 => any::<bool>().prop_map(Op::Poll),
        4 => (verdict, prop_oneof![4 => Just(0_usize), 1 => 0_usize..3])
            .prop_map(|(verdict, age)| Op::Answer(verdict, age)),
        1 => Just(Op::CheckNow),
        1 => config().prop_map(Op::Configure),
    ]
}

/// The rules, as simply as they can be said: a list of all answers since the last change.
struct Naive {
    health: Health,
    drain: bool,
    answers: Vec<bool>,
}

impl Naive {
    fn in_a_row(&self, kind: bool) -> u16 {
        self.answers.iter().rev().take_while(|answer| **answer == kind).count() as u16
    }

    fn hear(&mut self, config: &CheckConfig, verdict: Verdict) {
        self.answers.push(verdict != Verdict::Fail);
        if verdict != Verdict::Fail {
            self.drain = verdict == Verdict::Drain;
        }
        let tries = if let InitialHealth::FirstN(n) = config.initial() { n } else { 1 };
        let (passes, failures) = (self.in_a_row(true), self.in_a_row(false));
        let health = match self.health {
            Health::Up if failures >= config.fall() => Health::Down,
            Health::Down if passes >= config.rise() => Health::Up,
            Health::Pending if passes >= 1 => Health::Up,
            Health::Pending if failures >= tries => Health::Down,
            same => same,
        };
        if health != self.health {
            self.health = health;
            self.answers.clear();
        }
    }

    fn progress(&self, config: &CheckConfig) -> Progress {
        let tries = if let InitialHealth::FirstN(n) = config.initial() { n } else { 1 };
        let (passes, failures) = (self.in_a_row(true), self.in_a_row(false));
        let needed = |of: u16, run: u16| if of > run { of - run } else { 1 };
        match self.health {
            Health::Up => Progress::Up { failures, needed: needed(config.fall(), failures) },
            Health::Down => Progress::Down { passes, needed: needed(config.rise(), passes) },
            Health::Pending => Progress::Pending { failures, needed: needed(tries, failures) },
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_inputs_do_what_the_rules_say_and_leave_no_stuck_state(
        first in config(),
        start in prop_oneof![Just(0), any::<u64>()],
        ops in vec(op(), 0..150),
        seed in any::<u64>(),
    ) {
        let rng = &mut Rng::seeded(seed);
        let mut config = first;
        let mut now = Instant::from_nanos(start);
        let mut check = Check::new(&config, now, rng);
        let mut naive = Naive { health: check.health(), drain: false, answers: Vec::new() };
        let mut tokens: Vec<Token> = Vec::new();
        // The token, when it was sent, and until when it may take.
        let mut in_flight: Option<(Token, Instant, Instant)> = None;

        for op in ops {
            let before = check.standing();
            let debug = format!("{check:?}");
            let mut change = None;
            match op {
                Op::Advance(parts) => now = now + check.deadline().since(now).mul_f64(parts),
                Op::Poll(traffic) => {
                    let due = now >= check.deadline();
                    match check.poll(&config, now, traffic, rng) {
                        // What is not due changes nothing.
                        Poll::Idle if !due => prop_assert_eq!(debug, format!("{:?}", check)),
                        Poll::Idle => prop_assert!(!traffic && config.no_traffic().is_some()),
                        Poll::Probe { token, .. } => {
                            prop_assert!(due && in_flight.is_none(), "one probe at a time");
                            prop_assert!(!tokens.contains(&token));
                            tokens.push(token);
                            in_flight = Some((token, now, now + config.timeout()));
                        }
                        Poll::TimedOut { token, transition } => {
                            let (flying, _, limit) = in_flight.take().unwrap();
                            prop_assert_eq!(token, flying);
                            prop_assert!(now >= limit, "no probe is cut short");
                            naive.hear(&config, Verdict::Fail);
                            change = transition;
                        }
                    }
                }
                Op::Answer(verdict, age) => {
                    let Some(&token) = tokens.iter().rev().nth(age) else { continue };
                    let answer = check.on_result(&config, token, verdict, rng);
                    if in_flight.is_some_and(|(flying, ..)| flying == token) {
                        in_flight = None;
                        naive.hear(&config, verdict);
                        change = answer.unwrap();
                    } else {
                        prop_assert_eq!(answer, Err(Late));
                        prop_assert_eq!(debug, format!("{:?}", check), "a late answer changes nothing");
                    }
                }
                Op::CheckNow => {
                    check.check_now(&config, now);
                    prop_assert!(in_flight.is_some() || check.deadline() <= now + config.going_down());
                }
                Op::Configure(other) => {
                    config = other;
                    check.on_config(&config, now, rng);
                    if let Some((_, began, limit)) = &mut in_flight {
                        *limit = (*limit).min(*began + config.timeout());
                    }
                }
            }
            prop_assert_eq!(check.is_probing(), in_flight.is_some());
            prop_assert_eq!((check.health(), check.drain()), (naive.health, naive.drain));
            prop_assert_eq!(check.progress(&config), naive.progress(&config));
            let to = check.standing();
            prop_assert_eq!(change, (before != to).then_some(Transition { from: before, to }));
            let latest = longest_interval(&config).max(config.timeout()) + Duration::from_nanos(1);
            prop_assert!(check.deadline() <= now + latest, "{:?} {:?}", check, now);
        }

        // Whatever came before: passes bring it up, failures take it down, in as many as configured.
        let tries = if let InitialHealth::FirstN(n) = config.initial() { n } else { 1 };
        for (verdict, health, most) in [
            (Verdict::Pass, Health::Up, config.rise()),
            (Verdict::Fail, Health::Down, config.fall()),
            (Verdict::Pass, Health::Up, config.rise()),
        ] {
            // One probe may be in flight, and times out.
            for _ in 0..=most.max(tries) + 1 {
                now = now.max(check.deadline());
                step(&mut check, &config, now, verdict, rng);
            }
            prop_assert_eq!(check.health(), health);
        }
    }

    #[test]
    fn transitions_per_minute_are_bounded(config in config(), seed in any::<u64>()) {
        // The worst backend: it always says what speaks for a change.
        let rng = &mut Rng::seeded(seed);
        let end = Instant::ZERO + MS(60_000);
        let mut check = Check::new(&config, Instant::ZERO, rng);
        let mut transitions = 0;
        while check.deadline() < end {
            let verdict = if check.health() == Health::Up { Verdict::Fail } else { Verdict::Pass };
            let now = check.deadline();
            transitions += u32::from(step(&mut check, &config, now, verdict, rng).is_some());
        }
        let probes = MS(60_000).div_duration_f64(shortest_interval(&config)).ceil() + 1.0;
        let most = 2.0 * probes / f64::from(config.rise() + config.fall()) + 1.0;
        prop_assert!(f64::from(transitions) <= most, "{} {}", transitions, most);
    }
}

/// How many of 1,000 first checks fall into each tenth of the time that they are spread over.
fn first_checks(initial: InitialHealth, over: Duration) -> [u32; 10] {
    let config = CheckConfig::builder().initial(initial).build().unwrap();
    let rng = &mut Rng::seeded(7);
    let mut tenths = [0; 10];
    for _ in 0..1000 {
        let first = Check::new(&config, Instant::ZERO, rng).deadline().since(Instant::ZERO);
        tenths[(first.div_duration_f64(over) * 10.0) as usize] += 1;
    }
    tenths
}

#[test]
fn the_first_checks_of_a_thousand_backends_are_spread_evenly() {
    for (initial, over) in [
        (InitialHealth::Up, MS(2000)),
        (InitialHealth::Down, MS(2000)),
        (InitialHealth::FirstCheck, MS(200)),
        (InitialHealth::FirstN(3), MS(200)),
    ] {
        let tenths = first_checks(initial, over);
        // 100 in each, with a standard deviation of 9.5: five of those for a failure in 200,000 seeds.
        assert!(tenths.iter().all(|n| (53..=147).contains(n)), "{initial:?} {tenths:?}");
    }
}

#[test]
fn later_checks_of_backends_that_began_together_drift_apart() {
    let config = CheckConfig::builder().spread(false).initial(InitialHealth::Up).build().unwrap();
    let rng = &mut Rng::seeded(3);
    let mut checks: Vec<_> = (0..1000).map(|_| Check::new(&config, Instant::ZERO, rng)).collect();
    for check in &mut checks {
        step(check, &config, Instant::ZERO, Verdict::Pass, rng);
    }
    let mut tenths = [0; 10];
    for check in &checks {
        // 1.8 s to 2.2 s.
        let since = check.deadline().since(Instant::ZERO + MS(1800));
        tenths[(since.as_micros() / 40_001) as usize] += 1;
    }
    assert!(tenths.iter().all(|n| (53..=147).contains(n)), "{tenths:?}");
}
