//! The monitor: whatever happens, it keeps its limits, and everybody who is well comes back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use equipoise_core::{
    Admin, Admission, BackendId, Condition, Drain, Finding, Health, Instant, Passive, Runs, Tally,
    Weight,
};
use equipoise_health::monitor::{Monitor, MonitorConfig, Notice, Operator, State};
use equipoise_health::{
    CheckConfig, InitialHealth, OutlierConfig, PanicConfig, PanicMode, SlowStart, Verdict,
};
use proptest::prelude::*;

const MS: Duration = Duration::from_millis(1);

fn id(n: u8) -> BackendId {
    BackendId::new(u64::from(n))
}

fn check() -> CheckConfig {
    CheckConfig::builder().initial(InitialHealth::Up).build().unwrap()
}

/// A monitor and, beside it, what a pool would know.
struct World {
    monitor: Monitor,
    now: Instant,
    published: BTreeMap<BackendId, Finding>,
    /// What each backend's check says: `None` for no answer.
    answers: BTreeMap<BackendId, Option<Verdict>>,
    notices: Vec<Notice>,
}

impl World {
    fn new(config: MonitorConfig) -> Self {
        Self {
            monitor: Monitor::new(config, 7),
            now: Instant::from_nanos(1),
            published: BTreeMap::new(),
            answers: BTreeMap::new(),
            notices: Vec::new(),
        }
    }

    fn of(config: MonitorConfig, n: u8) -> Self {
        let mut world = Self::new(config);
        (0..n).for_each(|n| world.insert(n, Operator::default()));
        world
    }

    fn insert(&mut self, n: u8, operator: Operator) {
        let finding = self.monitor.insert(self.now, id(n), operator);
        self.published.insert(id(n), finding);
        self.settle();
    }

    fn settle(&mut self) {
        for (id, finding) in self.monitor.take_changes() {
            let known =
                self.published.get_mut(&id).expect("a change is of a backend that is there");
            *known = finding;
        }
        self.notices.extend(self.monitor.take_notices());
    }

    /// Lets time pass, in steps at which a driver would act, and answers probes.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            let due = self.monitor.deadline().unwrap_or(end).max(self.now + MS).min(end);
            self.now = due;
            let mut orders = Vec::new();
            self.monitor.poll(self.now, 8, |_| true, &mut orders);
            for order in orders {
                let answer = self.answers.get(&order.id).copied().unwrap_or(Some(Verdict::Pass));
                if let Some(verdict) = answer {
                    let words = Arc::from("GET /health answered 503");
                    self.monitor.on_probe(self.now, order.id, order.token, verdict, Some(words));
                }
            }
            self.monitor.on_tallies(self.now, &[]);
            self.settle();
        }
    }

    fn alarm(&mut self, n: u8, runs: Runs, trial: Option<bool>) {
        self.monitor.on_alarm(self.now, id(n), &runs, trial);
        self.settle();
    }

    fn state(&self, n: u8) -> State {
        self.monitor.report(self.now, id(n)).unwrap().state
    }

    fn reason(&self, n: u8) -> String {
        self.monitor.report(self.now, id(n)).unwrap().reason
    }
}

fn runs(failures: u16, code: u16) -> Runs {
    let gateway = if (502..=504).contains(&code) { failures } else { 0 };
    let local = if code == 0 { failures } else { 0 };
    Runs { failures, gateway, local, code }
}

fn with_all(percent: u8, panic: PanicConfig) -> MonitorConfig {
    MonitorConfig {
        check: Some(check()),
        outlier: Some(OutlierConfig::builder().max_ejection_percent(percent).build().unwrap()),
        slow_start: Some(SlowStart::new(Duration::from_secs(2)).unwrap()),
        panic,
        drain_limit: None,
    }
}

#[test]
fn the_words_say_what_is_wrong_and_what_comes_next() {
    let mut world = World::of(with_all(50, PanicConfig::default()), 3);
    assert_eq!(world.reason(0), "up");
    world.answers.insert(id(0), Some(Verdict::Fail));
    world.pass(Duration::from_secs(5));
    assert!(world.reason(0).starts_with("down: GET /health answered 503 "), "{}", world.reason(0));
    world.answers.insert(id(0), None);
    world.pass(Duration::from_secs(3));
    assert!(world.reason(0).starts_with("down: no answer in time"), "{}", world.reason(0));
    while world.reason(0) != "down: no answer in time twice" {
        world.pass(10 * MS);
    }
    world.answers.remove(&id(0));
    while world.reason(0).starts_with("down") {
        world.pass(10 * MS);
    }
    assert_eq!(world.reason(0), "up in 1 check; before: no answer in time twice");
    world.alarm(1, runs(5, 502), None);
    assert!(world.reason(1).starts_with("ejected for 1 s: 5 consecutive 502; back in "));
    let operator = Operator { admin: Admin::Draining, ..Operator::default() };
    world.monitor.set_operator(world.now, id(2), operator);
    assert_eq!(world.reason(2), "draining: the operator wants it");
}

#[test]
fn only_failures_in_a_row_are_counted_in_words() {
    let mut world = World::of(with_all(50, PanicConfig::default()), 1);
    for _ in 0..3 {
        world.answers.insert(id(0), Some(Verdict::Fail));
        while world.reason(0) == "up" {
            world.pass(10 * MS);
        }
        let reason = "up: GET /health answered 503; down after 2 more failures";
        assert_eq!(world.reason(0), reason, "whatever was before its last pass");
        world.answers.remove(&id(0));
        while world.reason(0) != "up" {
            world.pass(10 * MS);
        }
    }
}

#[test]
fn failing_requests_call_for_one_check_and_not_for_fall_of_them_at_once() {
    let mut world = World::of(with_all(0, PanicConfig::default()), 2);
    world.answers.insert(id(0), Some(Verdict::Fail));
    // `fall` checks that are fast take two of their intervals of 450 ms at least.
    for _ in 0..85 {
        world.alarm(0, runs(5, 502), None);
        world.pass(10 * MS);
    }
    let called = world.reason(0).starts_with("up: GET /health answered 503");
    assert!(called, "a fault of 0.85 s is seen, and takes nobody down: {}", world.reason(0));
    world.answers.remove(&id(0));
    world.pass(Duration::from_secs(1));
    assert_eq!(world.reason(0), "up");
}

/// Requests that fail are no reason to ask the application more often than checks that are fast.
#[test]
fn alarms_make_no_storm_of_checks() {
    let mut world = World::of(with_all(0, PanicConfig::default()), 2);
    let (mut asked, mut orders) = (0, Vec::new());
    for _ in 0..500 {
        world.now = world.now + 10 * MS;
        world.alarm(0, runs(5, 500), None);
        world.monitor.poll(world.now, 8, |_| true, &mut orders);
        for order in orders.drain(..) {
            asked += u32::from(order.id == id(0));
            world.monitor.on_probe(world.now, order.id, order.token, Verdict::Pass, None);
        }
    }
    assert!((8..=11).contains(&asked), "{asked} checks in 5 s");
}

#[test]
fn an_active_pass_un_ejects() {
    let mut world = World::of(with_all(50, PanicConfig::default()), 3);
    world.pass(Duration::from_secs(3));
    world.alarm(0, runs(5, 500), None);
    assert_eq!(world.state(0), State::Ejected);
    // No request comes to try it; the next regular check does.
    world.pass(Duration::from_millis(2_300));
    assert_eq!(world.state(0), State::Up);
    assert!(world.notices.iter().any(|n| matches!(n, Notice::Cleared { .. })));
}

#[test]
fn the_check_that_an_ejection_calls_for_does_not_end_it() {
    let mut world = World::of(with_all(50, PanicConfig::default()), 3);
    world.pass(Duration::from_secs(5));
    // Its check passes, as one does that asks for less than clients do.
    world.alarm(0, runs(5, 500), None);
    world.pass(50 * MS);
    assert_eq!(world.state(0), State::Ejected, "{}", world.reason(0));
}

#[test]
fn without_a_check_one_request_at_a_time_decides() {
    let config = MonitorConfig { check: None, ..with_all(50, PanicConfig::default()) };
    let mut world = World::of(config, 3);
    world.alarm(0, runs(5, 0), None);
    assert_eq!(world.published[&id(0)].passive, Passive::Ejected);
    world.pass(Duration::from_millis(1_250));
    assert_eq!(world.published[&id(0)].passive, Passive::Trial);
    world.alarm(0, runs(6, 0), Some(false));
    assert_eq!(world.published[&id(0)].passive, Passive::Ejected);
    world.pass(Duration::from_millis(2_450));
    assert_eq!(world.published[&id(0)].passive, Passive::Trial);
    world.alarm(0, runs(0, 0), Some(true));
    assert_eq!(world.published[&id(0)].passive, Passive::Clear);
}

#[test]
fn whoever_comes_back_starts_slowly_beside_others_and_at_once_alone() {
    let mut world = World::of(with_all(50, PanicConfig::default()), 2);
    world.answers.insert(id(0), Some(Verdict::Fail));
    world.pass(Duration::from_secs(6));
    assert_eq!(world.state(0), State::Down);
    world.answers.remove(&id(0));
    while world.state(0) != State::Up {
        world.pass(10 * MS);
    }
    let mut last = world.published[&id(0)].share;
    assert!(last.get() <= 0.11, "{last:?}");
    while world.published[&id(0)].share.get() < 1.0 {
        world.pass(100 * MS);
        let share = world.published[&id(0)].share;
        assert!(share >= last, "a share does not fall");
        last = share;
    }
    // Alone, there is nobody to start slowly beside.
    let mut alone = World::of(with_all(50, PanicConfig::default()), 1);
    alone.answers.insert(id(0), Some(Verdict::Fail));
    alone.pass(Duration::from_secs(6));
    alone.answers.remove(&id(0));
    while alone.state(0) != State::Up {
        alone.pass(10 * MS);
    }
    assert_eq!(alone.published[&id(0)].share.get(), 1.0);
}

#[test]
fn where_all_have_just_begun_nobody_starts_slowly() {
    // With checks they are found one after the other, without they are there at once.
    let unchecked = MonitorConfig { check: None, ..with_all(50, PanicConfig::default()) };
    for config in [with_all(50, PanicConfig::default()), unchecked] {
        let mut world = World::of(config, 3);
        for _ in 0..300 {
            world.pass(10 * MS);
            for n in 0..3 {
                let share = world.published.get(&id(n)).map_or(1.0, |finding| finding.share.get());
                assert!((share - 1.0).abs() < f64::EPSILON, "{n}: {share}");
            }
        }
        assert!((0..3).all(|n| world.state(n) == State::Up));
    }
}

#[test]
fn panic_does_what_its_name_says_and_is_told() {
    for (mode, want) in [
        (PanicMode::FailOpen, [Health::Up, Health::Up]),
        (PanicMode::FailClosed, [Health::Down, Health::Down]),
        (PanicMode::LastGood, [Health::Up, Health::Down]),
    ] {
        let mut world = World::of(with_all(50, PanicConfig::new(mode, 0).unwrap()), 2);
        world.pass(Duration::from_secs(3));
        // First number 1 goes, and when it has long been down number 0 does.
        for n in [1, 0] {
            world.answers.insert(id(n), Some(Verdict::Fail));
            world.pass(Duration::from_secs(6));
        }
        let health = [0, 1].map(|n| world.published[&id(n)].health);
        assert_eq!(health, want, "{mode}");
        assert!(world.notices.iter().any(|n| matches!(n, Notice::Panic(_))), "{mode}");
        assert_eq!(world.state(0), State::Down, "{mode}: the words stay true");
        let overruled = world.reason(0).contains("requests go there all the same");
        assert_eq!(overruled, want[0] == Health::Up, "{}", world.reason(0));
        world.answers.clear();
        world.pass(Duration::from_secs(6));
        assert!(!world.monitor.is_panicking());
    }
}

#[test]
fn the_first_to_fail_its_first_check_is_no_reason_to_panic() {
    let check = CheckConfig::builder().initial(InitialHealth::FirstCheck).build().unwrap();
    let mut world = World::of(MonitorConfig { check: Some(check), ..MonitorConfig::default() }, 3);
    world.now = world.now + Duration::from_secs(1);
    let mut orders = Vec::new();
    world.monitor.poll(world.now, 8, |_| true, &mut orders);
    for (order, verdict) in orders.iter().zip([Verdict::Fail, Verdict::Pass, Verdict::Pass]) {
        world.monitor.on_probe(world.now, order.id, order.token, verdict, None);
        world.settle();
    }
    assert_eq!(world.monitor.census().healthy, 2);
    assert!(!world.notices.iter().any(|n| matches!(n, Notice::Panic(_))), "{:?}", world.notices);
}

#[test]
fn no_more_probes_start_than_there_is_room_for_and_none_is_forgotten() {
    let mut world = World::of(with_all(50, PanicConfig::default()), 200);
    let mut orders = Vec::new();
    world.now = world.now + Duration::from_secs(10);
    world.monitor.poll(world.now, 8, |_| true, &mut orders);
    assert_eq!(orders.len(), 8);
    let mut asked = std::collections::BTreeSet::new();
    for _ in 0..100 {
        for order in orders.drain(..) {
            asked.insert(order.id);
            world.monitor.on_probe(world.now, order.id, order.token, Verdict::Pass, None);
        }
        world.now = world.now + 50 * MS;
        world.monitor.poll(world.now, 8, |_| true, &mut orders);
        assert!(orders.len() <= 8);
    }
    assert_eq!(asked.len(), 200);
}

#[test]
fn a_late_answer_changes_nothing() {
    let mut world = World::of(with_all(50, PanicConfig::default()), 1);
    world.now = world.now + Duration::from_secs(10);
    let mut orders = Vec::new();
    world.monitor.poll(world.now, 8, |_| true, &mut orders);
    let order = orders[0];
    world.now = world.now + order.timeout;
    world.monitor.poll(world.now, 8, |_| true, &mut Vec::new());
    assert!(!world.monitor.on_probe(world.now, order.id, order.token, Verdict::Pass, None));
    assert_eq!(world.reason(0), "up: no answer in time; down after 2 more failures");
}

#[derive(Clone, Debug)]
enum Op {
    Insert(u8),
    Remove(u8),
    Operate(u8, u8, bool, u16),
    Answer(u8, Option<u8>),
    Alarm(u8, u16, u16, Option<bool>),
    Tally(u8, u32, u32, u32),
    Pass(u16),
}

fn op() -> impl Strategy<Value = Op> {
    let n = 0..6_u8;
    prop_oneof![
        n.clone().prop_map(Op::Insert),
        n.clone().prop_map(Op::Remove),
        (n.clone(), 0..3_u8, any::<bool>(), 0..3_u16)
            .prop_map(|(n, a, d, w)| Op::Operate(n, a, d, w)),
        (n.clone(), proptest::option::of(0..3_u8)).prop_map(|(n, a)| Op::Answer(n, a)),
        (
            n.clone(),
            0..20_u16,
            prop_oneof![Just(0_u16), Just(500), Just(502)],
            any::<Option<bool>>()
        )
            .prop_map(|(n, f, c, t)| Op::Alarm(n, f, c, t)),
        (n, 0..500_u32, 0..500_u32, 0..500_u32).prop_map(|(n, s, u, l)| Op::Tally(n, s, u, l)),
        (1..4_000_u16).prop_map(Op::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Nothing gets stuck, nobody is ejected past the limit, and the last one only if asked.
    #[test]
    fn whatever_happens_the_limits_hold_and_the_well_come_back(
        ops in prop::collection::vec(op(), 1..60),
        percent in 0..=100_u8,
        last in any::<bool>(),
        checked in any::<bool>(),
        mode in prop_oneof![
            Just(PanicMode::FailOpen), Just(PanicMode::FailClosed), Just(PanicMode::LastGood)
        ],
        threshold in 0..=100_u8,
    ) {
        let percent = if last { 100 } else { percent };
        let outlier = OutlierConfig::builder().max_ejection_percent(percent).may_eject_last(last);
        let mut world = World::new(MonitorConfig {
            check: checked.then(check),
            outlier: Some(outlier.build().unwrap()),
            ..with_all(percent, PanicConfig::new(mode, threshold).unwrap())
        });
        let mut operators: BTreeMap<u8, Operator> = BTreeMap::new();
        for op in ops {
            match op {
                Op::Insert(n) => {
                    let operator = *operators.entry(n).or_default();
                    world.insert(n, operator);
                }
                Op::Remove(n) => {
                    operators.remove(&n);
                    world.monitor.remove(world.now, id(n));
                    world.published.remove(&id(n));
                    world.settle();
                }
                Op::Operate(n, admin, drain, weight) => {
                    if let Some(operator) = operators.get_mut(&n) {
                        let admin = [Admin::Enabled, Admin::Draining, Admin::Disabled][usize::from(admin)];
                        *operator = Operator { admin, drain, weight: Weight::new(weight) };
                        world.monitor.set_operator(world.now, id(n), *operator);
                        world.settle();
                    }
                }
                Op::Answer(n, answer) => {
                    let verdicts = [Verdict::Pass, Verdict::Drain, Verdict::Fail];
                    world.answers.insert(id(n), answer.map(|a| verdicts[usize::from(a)]));
                }
                Op::Alarm(n, failures, code, trial) => world.alarm(n, runs(failures, code), trial),
                Op::Tally(n, successes, upstream_failures, local_failures) => {
                    let tally = Tally { successes, upstream_failures, local_failures, ..Tally::default() };
                    world.monitor.on_tallies(world.now, &[(id(n), tally)]);
                    world.settle();
                }
                Op::Pass(ms) => world.pass(Duration::from_millis(ms.into())),
            }
            let (out, eligible) = world.monitor.ejected();
            prop_assert!(out * 100 <= u32::from(percent) * eligible, "{out} of {eligible} at {percent} %");
            prop_assert!(last || out == 0 || out < eligible, "the last one");
            for &n in operators.keys() {
                prop_assert_eq!(world.monitor.report(world.now, id(n)).unwrap().finding, world.published[&id(n)]);
            }
        }
        // All are well again. Trials are decided by the first request that comes along.
        world.answers.clear();
        for _ in 0..100 {
            for &n in operators.keys() {
                if world.published[&id(n)].passive == Passive::Trial {
                    world.alarm(n, Runs::default(), Some(true));
                }
            }
            world.pass(Duration::from_secs(4));
        }
        prop_assert!(!world.monitor.is_panicking());
        for (&n, operator) in &operators {
            let Finding { health, passive, drain, share } = world.published[&id(n)];
            let Operator { admin, weight, .. } = *operator;
            let condition = Condition { admin, health, passive, drain, weight };
            let wanted = Condition { health: Health::Up, passive: Passive::Clear, drain: if operator.drain { Drain::Wanted } else { Drain::No }, ..condition };
            prop_assert_eq!(Admission::of(&condition), Admission::of(&wanted));
            prop_assert_eq!(share.get(), 1.0);
        }
    }
}

/// A driver with so many places for probes, each of which is taken for as long as it may be.
#[test]
fn with_too_few_places_for_all_everybody_is_still_asked_in_turn() {
    const PLACES: usize = 2;
    let check = CheckConfig::builder().up(10 * MS).going_down(10 * MS).down(10 * MS);
    let check = check.timeout(10 * MS).spread(false).build().unwrap();
    let config = MonitorConfig { check: Some(check), ..MonitorConfig::default() };
    let mut world = World::of(config, 100);
    let mut under_way: Vec<Instant> = Vec::new();
    let mut asked: BTreeMap<BackendId, u32> = BTreeMap::new();
    for _ in 0..10_000 {
        under_way.retain(|&end| end > world.now);
        let mut orders = Vec::new();
        world.monitor.poll(world.now, PLACES - under_way.len(), |_| true, &mut orders);
        for order in orders {
            *asked.entry(order.id).or_default() += 1;
            under_way.push(world.now + order.timeout);
        }
        assert!(under_way.len() <= PLACES);
        world.settle();
        world.now = world.now + MS;
    }
    // In 10 s there is time for 2,000 probes, twenty for each.
    let times = |n| asked.get(&id(n)).copied().unwrap_or(0);
    let (least, most) = ((0..100).map(times).min().unwrap(), (0..100).map(times).max().unwrap());
    assert!(least >= 15 && most <= 25, "{least} to {most}");
}

#[test]
fn an_answer_to_a_question_from_before_it_left_is_not_one_to_whoever_comes_back() {
    let mut world = World::of(with_all(50, PanicConfig::default()), 1);
    let ask = |world: &mut World| {
        world.now = world.now + Duration::from_secs(10);
        let mut orders = Vec::new();
        world.monitor.poll(world.now, 8, |_| true, &mut orders);
        orders[0]
    };
    let before = ask(&mut world);
    world.monitor.remove(world.now, id(0));
    world.insert(0, Operator::default());
    let after = ask(&mut world);
    assert!(!world.monitor.on_probe(world.now, id(0), before.token, Verdict::Fail, None));
    assert!(world.monitor.on_probe(world.now, id(0), after.token, Verdict::Pass, None));
}

#[test]
fn a_backend_drains_as_long_as_it_may_whoever_wants_it() {
    let limit = Duration::from_secs(30);
    let by_operator = Operator { admin: Admin::Draining, ..Operator::default() };
    let by_announcement = Operator { drain: true, ..Operator::default() };
    for wanted in [Some(by_operator), Some(by_announcement), None] {
        let config = MonitorConfig {
            drain_limit: Some(limit),
            check: Some(check()),
            ..MonitorConfig::default()
        };
        let mut world = World::of(config, 3);
        let drain = |world: &mut World, drains: bool| match wanted {
            Some(wanted) => {
                let operator = if drains { wanted } else { Operator::default() };
                world.monitor.set_operator(world.now, id(0), operator);
            }
            None => {
                let verdict = if drains { Verdict::Drain } else { Verdict::Pass };
                world.answers.insert(id(0), Some(verdict));
            }
        };
        let state = |world: &World| world.monitor.report(world.now, id(0)).unwrap().state;
        drain(&mut world, true);
        world.pass(Duration::from_secs(29));
        assert_eq!(state(&world), State::Draining, "{wanted:?}");
        assert_ne!(world.published[&id(0)].drain, Drain::Over);
        // A check may take a while to say so.
        world.pass(Duration::from_secs(4));
        assert_eq!(state(&world), State::Drained, "{wanted:?}");
        assert_eq!(world.published[&id(0)].drain, Drain::Over);
        assert!(world.reason(0).starts_with("drained for 30 s"), "{}", world.reason(0));
        let told = |notice: &&Notice| matches!(notice, Notice::Drained { .. });
        assert_eq!(world.notices.iter().filter(told).count(), 1);

        drain(&mut world, false);
        world.pass(Duration::from_secs(4));
        assert_eq!(state(&world), State::Up, "{wanted:?}");
        drain(&mut world, true);
        world.pass(Duration::from_secs(20));
        assert_eq!(state(&world), State::Draining, "the time begins anew");
    }
}
