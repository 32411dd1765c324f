//! The tables of `docs/ejection-states.md`, row by row through the machines.

use core::time::Duration;
use std::collections::BTreeSet;

use equipoise_core::{Failure, Instant, Outcome, Passive, Rng};
use equipoise_health::breaker::{BreakerState, Permit};
use equipoise_health::outlier::{EjectionChange, Recovery};
use equipoise_health::{BreakerConfig, CircuitBreaker, Ejection, EjectionCause, OutlierConfig};

const CAUSE: EjectionCause = EjectionCause::Consecutive { count: 5, code: 500 };
const FAILED: Outcome = Outcome::Failure(Failure::Response(500));

/// The rows of the n-th table: state, input, state.
fn rows(table: usize) -> Vec<[String; 3]> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/ejection-states.md");
    let text = std::fs::read_to_string(path).expect(path);
    let tables = text.split("| state | input | state |\n|---|---|---|\n");
    let table = tables.skip(1).nth(table).expect("a table");
    let rows = table.lines().take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let cells: Vec<String> =
            row.trim_matches('|').split('|').map(|cell| cell.trim().to_string()).collect();
        cells.try_into().expect("three cells")
    })
    .collect()
}

/// Every state has every input once, and nothing else is in the table.
fn assert_complete(rows: &[[String; 3]], wanted: &[(&str, &[&str])]) {
    let mut found = BTreeSet::new();
    for [state, input, _] in rows {
        assert!(found.insert((state.as_str(), input.as_str())), "double: {state}, {input}");
    }
    let wanted: BTreeSet<_> = wanted
        .iter()
        .flat_map(|(state, inputs)| inputs.iter().map(move |input| (*state, *input)))
        .collect();
    assert_eq!(found, wanted);
}

#[test]
fn each_row_of_ejection_holds_and_none_is_missing() {
    let inputs = [
        "eject",
        "poll early",
        "poll late, half-open",
        "poll late, full",
        "trial passes",
        "trial fails",
        "active check passes",
        "active check passes, ignored",
        "sweep",
        "clear",
    ];
    let rows = rows(0);
    assert_complete(&rows, &[("Clear", &inputs), ("Ejected", &inputs), ("Trial", &inputs)]);

    let half = OutlierConfig::default();
    let full = OutlierConfig::builder().recovery(Recovery::Full).build().unwrap();
    let ignoring = OutlierConfig::builder().active_pass_unejects(false).build().unwrap();
    let (early, late) = (Instant::ZERO, Instant::from_nanos(10_000_000_000));
    let mut rng = Rng::seeded(1);
    for [state, input, next] in rows {
        let mut machine = Ejection::new();
        if state != "Clear" {
            machine.eject(&half, early, CAUSE, &mut rng);
        }
        if state == "Trial" {
            machine.poll(&half, late);
        }
        let before = machine;
        assert_eq!(name(&before), state);
        let change = match input.as_str() {
            "eject" => machine.eject(&half, early, CAUSE, &mut rng),
            "poll early" => machine.poll(&half, early),
            "poll late, half-open" => machine.poll(&half, late),
            "poll late, full" => machine.poll(&full, late),
            "trial passes" => machine.on_trial(&half, late, true, &mut rng),
            "trial fails" => machine.on_trial(&half, late, false, &mut rng),
            "active check passes" => machine.on_active_pass(&half),
            "active check passes, ignored" => machine.on_active_pass(&ignoring),
            "sweep" => {
                machine.on_sweep();
                None
            }
            "clear" => machine.clear(),
            other => panic!("{other}"),
        };
        assert_eq!(name(&machine), next, "{state}, {input}");
        // What is reported is what happened, and nothing is reported where nothing did.
        let reported = change.map(|change| match change {
            EjectionChange::Ejected { until } => {
                assert_eq!(machine.deadline(), Some(until));
                "Ejected"
            }
            EjectionChange::Trial => "Trial",
            EjectionChange::Cleared => "Clear",
        });
        assert_eq!(reported, (state != next).then_some(next.as_str()), "{state}, {input}");
        if state == next {
            assert_eq!(machine, before, "a spurious {input} in {state} changes nothing");
        }
        assert_eq!(machine.cause().is_some(), next != "Clear");
        assert_eq!(machine.deadline().is_some(), next == "Ejected");
    }
}

fn name(machine: &Ejection) -> &'static str {
    match machine.passive() {
        Passive::Clear => "Clear",
        Passive::Ejected => "Ejected",
        Passive::Trial => "Trial",
    }
}

#[test]
fn each_row_of_the_breaker_holds_and_none_is_missing() {
    let all =
        ["ask early", "ask late", "success", "failure", "given up", "late success", "late failure"];
    let open = ["ask early", "ask late", "late success", "late failure"];
    let rows = rows(1);
    assert_complete(&rows, &[("Closed", &all), ("Open", &open), ("HalfOpen", &all)]);

    let config = BreakerConfig::builder()
        .consecutive(1)
        .open_time(Duration::from_secs(1))
        .max_open_time(Duration::from_secs(1))
        .open_time_jitter(0.0)
        .build()
        .unwrap();
    let (early, late) = (Instant::ZERO, Instant::from_nanos(1_000_000_000));
    let mut rng = Rng::seeded(1);
    for [state, input, next] in rows {
        let mut machine = CircuitBreaker::new();
        // One request begins in the first period and is still in flight in the state in question.
        let straggler = machine.try_acquire(&config, early).unwrap();
        let mut own: Option<Permit> = None;
        let opener = machine.try_acquire(&config, early).unwrap();
        machine.release(&config, early, opener, Some(FAILED), &mut rng);
        if state != "Open" {
            own = Some(machine.try_acquire(&config, late).unwrap());
            assert!(own.as_ref().unwrap().is_trial());
        }
        if state == "Closed" {
            let trial = own.take().unwrap();
            machine.release(&config, late, trial, Some(Outcome::Success), &mut rng);
            own = Some(machine.try_acquire(&config, late).unwrap());
        }
        assert_eq!(breaker_name(&machine), state);
        let in_flight = machine.in_flight();
        let (permit, outcome) = match input.as_str() {
            "success" => (own.take(), Some(Outcome::Success)),
            "failure" => (own.take(), Some(FAILED)),
            "given up" => (own.take(), None),
            "late success" => (Some(straggler), Some(Outcome::Success)),
            "late failure" => (Some(straggler), Some(FAILED)),
            _ => {
                let now = if input == "ask early" { early } else { late };
                let is_admitted = machine.try_acquire(&config, now).is_ok();
                let wanted = state == "Closed" || (state == "Open" && input == "ask late");
                assert_eq!(is_admitted, wanted, "{state}, {input}");
                assert_eq!(breaker_name(&machine), next, "{state}, {input}");
                continue;
            }
        };
        let permit = permit.expect("a request of its own");
        let change = machine.release(&config, late, permit, outcome, &mut rng);
        assert_eq!(breaker_name(&machine), next, "{state}, {input}");
        assert_eq!(change, (state != next).then(|| machine.state()), "{state}, {input}");
        assert_eq!(machine.in_flight(), in_flight - 1, "the place is given back in any case");
    }
}

fn breaker_name(machine: &CircuitBreaker) -> &'static str {
    match machine.state() {
        BreakerState::Closed => "Closed",
        BreakerState::Open { .. } => "Open",
        BreakerState::HalfOpen => "HalfOpen",
    }
}
