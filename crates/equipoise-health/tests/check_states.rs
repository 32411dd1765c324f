//! The table of docs/health-states.md is what the code does: every row is run, and no row is missing.

use std::collections::BTreeSet;
use std::time::Duration;

use equipoise_core::{Health, Instant, Rng};
use equipoise_health::{
    Check, CheckConfig, InitialHealth, Late, Poll, Progress, Token, Transition, Verdict,
};

const STATES: [&str; 5] = ["pending", "up", "falling", "down", "rising"];
const INPUTS: [&str; 6] = ["pass", "drain", "fail", "timeout", "late", "early"];

struct Row<'a> {
    state: &'a str,
    input: &'a str,
    last: &'a str,
    next: &'a str,
    health: &'a str,
    drain: &'a str,
    interval: &'a str,
}

fn document() -> String {
    // Read at run time: the file is not part of the package.
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/health-states.md");
    std::fs::read_to_string(path).expect("the documentation is beside the crates")
}

fn rows(document: &str) -> Vec<Row<'_>> {
    let table = document.split("## Transitions").nth(1).expect("the table has a heading");
    let lines = table.lines().skip_while(|line| !line.starts_with('|'));
    lines
        .take_while(|line| line.starts_with('|'))
        .skip(2)
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let [state, input, last, next, health, drain, interval] = cells[..] else {
                panic!("seven columns: {line}")
            };
            Row { state, input, last, next, health, drain, interval }
        })
        .collect()
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A configuration in which the input is the last one needed (or needs company), in this state.
fn config(state: &str, last: bool) -> CheckConfig {
    // One answer has gone before in the states between.
    let needed = match (state, last) {
        ("falling" | "rising", true) => 2,
        (_, true) => 1,
        (_, false) => 4,
    };
    let initial = match state {
        "pending" => InitialHealth::FirstN(needed),
        "up" | "falling" => InitialHealth::Up,
        _ => InitialHealth::Down,
    };
    let builder = CheckConfig::builder().rise(needed).fall(needed).initial(initial);
    builder
        .up(ms(1000))
        .going_down(ms(300))
        .down(ms(700))
        .timeout(ms(200))
        .jitter(0.0)
        .build()
        .unwrap()
}

fn state(check: &Check, config: &CheckConfig) -> &'static str {
    match check.progress(config) {
        Progress::Pending { .. } => "pending",
        Progress::Up { failures: 0, .. } => "up",
        Progress::Up { .. } => "falling",
        Progress::Down { passes: 0, .. } => "down",
        Progress::Down { .. } => "rising",
    }
}

/// Sends the next probe; returns its token and when it began.
fn probe(check: &mut Check, config: &CheckConfig, rng: &mut Rng) -> (Token, Instant) {
    let now = check.deadline();
    match check.poll(config, now, true, rng) {
        Poll::Probe { token, .. } => (token, now),
        other => panic!("{other:?}"),
    }
}

/// Brings a new check into the state, draining or not.
fn reach(name: &str, drain: bool, config: &CheckConfig, rng: &mut Rng) -> Option<Check> {
    let mut check = Check::new(config, Instant::from_nanos(1), rng);
    if drain {
        // Only an answer sets the flag, and it counts: from a state that it does not leave.
        if !matches!(name, "up" | "falling" | "rising") {
            return None;
        }
        let (token, _) = probe(&mut check, config, rng);
        check.on_result(config, token, Verdict::Drain, rng).unwrap();
    }
    let verdict = match name {
        "falling" => Some(Verdict::Fail),
        "rising" if !drain => Some(Verdict::Pass),
        _ => None,
    };
    if let Some(verdict) = verdict {
        let (token, _) = probe(&mut check, config, rng);
        check.on_result(config, token, verdict, rng).unwrap();
    }
    assert_eq!((state(&check, config), check.drain()), (name, drain));
    Some(check)
}

fn run(row: &Row<'_>, last: bool, draining: bool) {
    let name = format!("{} + {}, last: {}, draining: {draining}", row.state, row.input, row.last);
    let config = config(row.state, last);
    let rng = &mut Rng::seeded(1);
    let Some(mut check) = reach(row.state, draining, &config, rng) else { return };
    let before = check.standing();
    let due = check.deadline();

    let (began, change) = match row.input {
        "early" => {
            let early = Instant::from_nanos(check.deadline().as_nanos() - 1);
            assert_eq!(check.poll(&config, early, true, rng), Poll::Idle, "{name}");
            (early, None)
        }
        "late" => {
            // A token that another check gave out for its hundredth probe.
            let mut other = Check::new(&config, Instant::ZERO, rng);
            let mut token = None;
            for _ in 0..100 {
                let (given, _) = probe(&mut other, &config, rng);
                other.on_result(&config, given, Verdict::Pass, rng).unwrap();
                token = Some(given);
            }
            let answer = check.on_result(&config, token.unwrap(), Verdict::Fail, rng);
            assert_eq!(answer, Err(Late), "{name}");
            (due, None)
        }
        "timeout" => {
            let (token, began) = probe(&mut check, &config, rng);
            let Poll::TimedOut { token: over, transition } =
                check.poll(&config, began + config.timeout(), true, rng)
            else {
                panic!("{name}")
            };
            assert_eq!(over, token);
            let answer = check.clone().on_result(&config, token, Verdict::Pass, rng);
            assert_eq!(answer, Err(Late), "{name}");
            (began, transition)
        }
        verdict => {
            let verdict = match verdict {
                "pass" => Verdict::Pass,
                "drain" => Verdict::Drain,
                _ => Verdict::Fail,
            };
            let (token, began) = probe(&mut check, &config, rng);
            (began, check.on_result(&config, token, verdict, rng).unwrap())
        }
    };

    assert_eq!(state(&check, &config), row.next, "{name}");
    let health = match row.health {
        "up" => Health::Up,
        "down" => Health::Down,
        "same" => before.health,
        other => panic!("{name}: {other}"),
    };
    let drain = match row.drain {
        "set" => true,
        "clear" => false,
        "same" => before.drain,
        other => panic!("{name}: {other}"),
    };
    let to = check.standing();
    assert_eq!((to.health, to.drain), (health, drain), "{name}");
    assert_eq!(row.health != "same", before.health != health, "{name}: a change is named");
    assert_eq!(change, (before != to).then_some(Transition { from: before, to }), "{name}");
    let next = match row.interval {
        "up" => began + config.up(),
        "going_down" => began + config.going_down(),
        "down" => began + config.down(),
        "same" => due,
        other => panic!("{name}: {other}"),
    };
    assert_eq!(check.deadline(), next, "{name}");
}

#[test]
fn every_row_of_the_documented_table_is_what_the_code_does() {
    let document = document();
    for row in rows(&document) {
        let lasts: &[bool] = match row.last {
            "yes" => &[true],
            "no" => &[false],
            "-" => &[true, false],
            other => panic!("{other}"),
        };
        for &last in lasts {
            for draining in [false, true] {
                run(&row, last, draining);
            }
        }
    }
}

#[test]
fn the_documented_table_has_every_state_with_every_input_once() {
    let document = document();
    let mut seen = BTreeSet::new();
    for row in rows(&document) {
        for last in ["yes", "no"] {
            if row.last == "-" || row.last == last {
                assert!(seen.insert((row.state, row.input, last)), "{} {}", row.state, row.input);
            }
        }
    }
    let all = STATES.iter().flat_map(|s| INPUTS.iter().map(move |i| (*s, *i)));
    let all = all.flat_map(|(s, i)| [(s, i, "yes"), (s, i, "no")]);
    assert_eq!(seen, all.collect());
}

#[test]
fn the_documented_bounds_are_those_of_the_defaults() {
    let config = CheckConfig::default();
    assert_eq!(config.detection_bound(), ms(3800));
    assert_eq!(config.recovery_bound(), ms(3250));
    let document = document();
    assert!(
        document
            .contains("2.2 s + 2 × 0.55 s + 0.5 s = 3.8 s, and 2.2 s + 0.55 s + 0.5 s = 3.25 s")
    );
}
