//! The published rules of HAProxy and Envoy for active checks, as numbered cases: inputs over time and
//! the states and intervals that they lead to.
//!
//! Sources:
//! * HAProxy 2.6, configuration.txt: `rise`, `fall`, `inter`, `fastinter`, `downinter` (with the
//!   table of intervals by server state), `http-check disable-on-404`; src/check.c,
//!   `set_server_check_status`.
//! * HAProxy 3.1, `init-state`, as its author describes it (haproxy@formilux.org, "Allow the user to
//!   set the initial state of a server"); the proposal haproxy#3405.
//! * Envoy, health_check.proto (v3) and health_checker_base_impl.cc: `handleSuccess`, `setUnhealthy`,
//!   `interval`.

use std::time::Duration;

use equipoise_core::{Health, Instant, Rng};
use equipoise_health::{
    Check, CheckConfig, CheckConfigBuilder,
    InitialHealth::{self, Down, FirstCheck, FirstN, Up},
    Poll, Verdict,
};

/// In milliseconds, and different enough to be told apart.
const UP: u64 = 1000;
const FAST: u64 = 300;
const DOWN: u64 = 700;
const IDLE: u64 = 2500;

fn config(rise: u16, fall: u16, initial: InitialHealth) -> CheckConfigBuilder {
    let ms = Duration::from_millis;
    let builder = CheckConfig::builder().rise(rise).fall(fall).initial(initial);
    builder
        .up(ms(UP))
        .going_down(ms(FAST))
        .down(ms(DOWN))
        .timeout(ms(200))
        .jitter(0.0)
        .spread(false)
}

/// * a name;
/// * the settings;
/// * for each check the answer: p(ass), d(rain), f(ail) at once, t(ime-out); i and j are p and f of a
///   backend that had no traffic before;
/// * the health before the first check and after each: U(p), D(own), P(ending), in lower case where
///   the backend drains;
/// * the interval from each check to the next one: U(p), F(ast: going down), D(own), I(dle: no traffic).
type Case = (&'static str, CheckConfigBuilder, &'static str, &'static str, &'static str);

#[rustfmt::skip]
fn cases() -> Vec<Case> {
    let idle = Some(Duration::from_millis(IDLE));
    vec![
        ("HAProxy 1: fall 3 means dead after three unsuccessful checks in a row", config(2, 3, Up), "pfff", "UUUUD", "UFFD"),
        ("HAProxy 2: a success between failures starts their count anew (health is set to its top)", config(2, 3, Up), "ffpffpfff", "UUUUUUUUUD", "FFUFFUFFD"),
        ("HAProxy 3: rise 2 means operational after two successful checks in a row", config(2, 3, Down), "fpp", "DDDU", "DFU"),
        ("HAProxy 4: a failure between successes starts their count anew (health is set to 0)", config(3, 3, Down), "ppfppfppp", "DDDDDDDDDU", "FFDFFDFFU"),
        ("HAProxy 5: UP 100 % is checked by inter", config(2, 3, Up), "ppp", "UUUU", "UUU"),
        ("HAProxy 6: transitionally UP and transitionally DOWN are checked by fastinter", config(3, 3, Up), "fffppp", "UUUDDDU", "FFDFFU"),
        ("HAProxy 7: DOWN 100 % is checked by downinter", config(2, 1, Up), "fff", "UDDD", "DDD"),
        ("HAProxy 8: rise 1 and fall 1 change at every other answer", config(1, 1, Up), "fpfp", "UDUDU", "DUDU"),
        ("HAProxy 9: a check that times out (L4TOUT, L7TOUT) has failed", config(2, 3, Up), "ttt", "UUUD", "FFD"),
        ("HAProxy 10: init-state fully-up goes down when all (fall) checks fail", config(2, 3, Up), "fff", "UUUD", "FFD"),
        ("HAProxy 11: init-state fully-down goes up when all (rise) checks succeed", config(2, 3, Down), "pp", "DDU", "FU"),
        ("HAProxy 12: init-state down goes up immediately if the first check succeeds", config(3, 3, FirstCheck), "p", "PU", "U"),
        ("HAProxy 13: init-state down needs rise successes once the first check has failed", config(2, 3, FirstCheck), "fpp", "PDDU", "DFU"),
        ("HAProxy 14: disable-on-404 keeps a running server for its persistent connections", config(2, 3, Up), "pddp", "UUuuU", "UUUU"),
        ("HAProxy 15: after a 404, 2xx reinserts the server immediately, without rise", config(3, 3, Up), "dp", "UuU", "UU"),
        ("HAProxy 16: a 404 is a conditional pass: it starts the count of failures anew", config(2, 3, Up), "ffdff", "UUUuuu", "FFUFF"),
        ("HAProxy 17, where we differ: a stopped server that replies 404s comes up, draining (there it stays stopped)", config(2, 3, Down), "ddp", "DduU", "FUU"),
        ("haproxy#3405 a: OK is up at once", config(2, 2, FirstN(3)), "p", "PU", "U"),
        ("haproxy#3405 b: TOUT, OK is up at once", config(2, 2, FirstN(3)), "tp", "PPU", "FU"),
        ("haproxy#3405 c: TOUT, TOUT, OK is up at once", config(2, 2, FirstN(3)), "ttp", "PPPU", "FFU"),
        ("haproxy#3405 d: TOUT, TOUT, TOUT is down", config(2, 2, FirstN(3)), "ttt", "PPPD", "FFD"),
        ("haproxy#3405 e, f: after three TOUT one OK is still down, a second one is up", config(2, 2, FirstN(3)), "tttpp", "PPPDDU", "FFDFU"),
        ("Envoy 1: at start-up one success is enough, whatever the healthy threshold", config(5, 3, FirstCheck), "p", "PU", "U"),
        ("Envoy 2: once the first check has failed, the healthy threshold applies", config(3, 3, FirstCheck), "fppp", "PDDDU", "DFFU"),
        ("Envoy 3: unhealthy after unhealthy-threshold network failures in a row", config(2, 4, FirstCheck), "pffff", "PUUUUD", "UFFFD"),
        ("Envoy 4: a success resets the count of failures, a failure that of successes", config(2, 2, FirstCheck), "pfpffpfpp", "PUUUUDDDDU", "UFUFDFDFU"),
        ("Envoy 5: the example in interval(): healthy threshold 3, edge intervals in between", config(3, 3, Down), "fpppp", "DDDDUU", "DFFUU"),
        ("Envoy 6: without traffic a healthy host is checked by the no-traffic interval", config(2, 3, Up).no_traffic(idle), "iiii", "UUUUU", "IIII"),
        ("Envoy 7: with traffic, by the standard interval", config(2, 3, Up).no_traffic(idle), "pppp", "UUUUU", "UUUU"),
        ("Envoy 8, where we differ: without traffic a failing host is still checked by the edge interval (there the no-traffic interval takes precedence over any other)", config(2, 3, Up).no_traffic(idle), "jjj", "UUUD", "FFD"),
    ]
}

fn letter(check: &Check) -> char {
    let letter = match check.health() {
        Health::Up => 'U',
        Health::Pending => 'P',
        Health::Down => 'D',
    };
    if check.drain() { letter.to_ascii_lowercase() } else { letter }
}

/// The health before and after each check, and when each one began, in milliseconds.
fn run(config: &CheckConfig, answers: &str) -> (String, Vec<u64>) {
    let rng = &mut Rng::seeded(1);
    let mut now = Instant::from_nanos(5_000_000_000);
    let mut check = Check::new(config, now, rng);
    let (mut health, mut begins) = (String::from(letter(&check)), Vec::new());
    let mut left = answers.chars().peekable();
    while let Some(&answer) = left.peek() {
        now = now.max(check.deadline());
        let before = letter(&check);
        let change = match check.poll(config, now, !matches!(answer, 'i' | 'j'), rng) {
            Poll::Idle => continue,
            Poll::TimedOut { transition, .. } => transition,
            Poll::Probe { token, .. } => {
                begins.push(now.as_nanos() / 1_000_000);
                let verdict = match answer {
                    't' => continue,
                    'f' | 'j' => Verdict::Fail,
                    'd' => Verdict::Drain,
                    _ => Verdict::Pass,
                };
                check.on_result(config, token, verdict, rng).unwrap()
            }
        };
        assert_eq!(change.is_some(), before != letter(&check));
        assert!(change.is_none_or(|change| change.to == check.standing()));
        health.push(letter(&check));
        left.next();
    }
    (health, begins)
}

#[test]
fn the_published_rules_hold() {
    for (name, config, answers, want_health, want_intervals) in cases() {
        // One more check of the last kind, to measure the last interval.
        let more = &answers[answers.len() - 1..];
        let (health, begins) = run(&config.build().unwrap(), &[answers, more].concat());
        let intervals: String = begins
            .windows(2)
            .map(|pair| match pair[1] - pair[0] {
                UP => 'U',
                FAST => 'F',
                DOWN => 'D',
                IDLE => 'I',
                other => panic!("{name}: an interval of {other} ms"),
            })
            .collect();
        assert_eq!(health[..=answers.len()], *want_health, "{name}");
        assert_eq!(intervals, want_intervals, "{name}");
    }
}

#[test]
fn traffic_ends_the_wait_of_an_idle_backend_within_one_interval() {
    // envoy#16724: there, a host that gets its first request is checked when the long wait is over.
    let idle = Some(Duration::from_secs(60));
    let config = config(2, 3, Up).no_traffic(idle).build().unwrap();
    let rng = &mut Rng::seeded(1);
    let mut check = Check::new(&config, Instant::ZERO, rng);
    let Poll::Probe { token, .. } = check.poll(&config, Instant::ZERO, false, rng) else {
        panic!("the first check does not wait for traffic")
    };
    check.on_result(&config, token, Verdict::Pass, rng).unwrap();
    for _ in 0..20 {
        assert_eq!(check.poll(&config, check.deadline(), false, rng), Poll::Idle);
    }
    let before = check.deadline();
    assert_eq!(check.poll(&config, before, false, rng), Poll::Idle);
    assert_eq!(check.deadline().since(before), Duration::from_millis(UP));
    assert!(matches!(check.poll(&config, check.deadline(), true, rng), Poll::Probe { .. }));
}
