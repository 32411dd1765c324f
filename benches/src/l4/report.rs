//! The page.

use std::fmt::Write as _;

use crate::l4::additions::BASE;
use crate::l4::proxies::OURS;
use crate::l4::rounds::Row;
use crate::l4::scenario::{Scenario, Target};
use crate::l4::turn::Sample;
use crate::report::Figures;

/// What was left out, and why.
fn failures(rows: &[Row]) -> String {
    let mut text = String::new();
    for row in rows {
        if let Some(failure) = &row.failure {
            let _ = writeln!(text, "\n{}, after {} turns: {failure}.", row.name, row.samples.len());
        }
    }
    text
}

/// How busy others were.
fn others(rows: &[Row]) -> String {
    let most = rows.iter().map(|row| row.most(|sample| sample.others)).fold(0.0, f64::max);
    let all: Vec<f64> = rows.iter().flat_map(|row| &row.samples).map(|one| one.others).collect();
    let median = if all.is_empty() { 0.0 } else { Figures::of(all).median };
    format!(
        "\nOther processes took {:.0} % of the machine (median of the turns), {:.0} % at most.\n",
        median * 100.0,
        most * 100.0
    )
}

fn micros(sample: &Sample) -> f64 {
    sample.micros
}

fn errors(row: &Row) -> String {
    let errors: Vec<_> = row.samples.iter().map(|one| one.outcome.errors.to_string()).collect();
    errors.join(", ")
}

/// The rows that have figures, and the least CPU time of a peer.
fn measured(rows: &[Row]) -> (Vec<&Row>, Option<(&Row, f64)>) {
    let measured: Vec<_> = rows.iter().filter(|row| !row.samples.is_empty()).collect();
    let peers = measured.iter().filter(|row| row.name != OURS);
    let peers = peers.map(|&row| (row, row.figures(micros).median));
    let best = peers.min_by(|(_, one), (_, other)| one.total_cmp(other));
    (measured, best)
}

/// One scenario's table.
pub fn table(scenario: Scenario, rows: &[Row]) -> String {
    let (measured, best) = measured(rows);
    let (title, unit) = (scenario.title(), scenario.unit());
    let mut text = format!("## {title}\n\n");
    text += &match scenario {
        Scenario::Idle => "| proxy | connections | KiB each (Pss) | 10 % - 90 % | KiB each (Rss) | CPU µs each, to open and ask once | errors |\n|---|---:|---:|---:|---:|---:|---|\n".to_owned(),
        Scenario::Kill => "| proxy | errors of each run | connections a run | slowest, ms | CPU µs / connection |\n|---|---|---:|---:|---:|\n".to_owned(),
        _ => format!("| proxy | CPU µs / {unit} | 10 % - 90 % | / best peer | {unit}s a second | p50 µs | p99 µs | errors |\n|---|---:|---:|---:|---:|---:|---:|---|\n"),
    };
    for row in measured {
        let Figures { median, spread: (low, high) } = row.figures(micros);
        let count = row.figures(|one| one.outcome.count).median;
        let (name, errors) = (&row.name, errors(row));
        let _ = match scenario {
            Scenario::Idle => {
                let pss = row.figures(|one| one.memory.unwrap_or_default().pss);
                let rss = row.figures(|one| one.memory.unwrap_or_default().rss).median;
                let (each, (low, high)) = (pss.median, pss.spread);
                writeln!(
                    text,
                    "| {name} | {count:.0} | {each:.1} | {low:.1} - {high:.1} | {rss:.1} | {median:.0} | {errors} |"
                )
            }
            Scenario::Kill => {
                let slowest = row.most(|one| one.outcome.max) / 1000.0;
                writeln!(text, "| {name} | {errors} | {count:.0} | {slowest:.0} | {median:.1} |")
            }
            _ => {
                let rate = row.figures(|one| one.outcome.count / one.outcome.seconds).median;
                let latency = |of: fn(&Sample) -> f64| match row.figures(of).median {
                    0.0 => String::new(),
                    micros => format!("{micros:.0}"),
                };
                let (p50, p99) = (latency(|one| one.outcome.p50), latency(|one| one.outcome.p99));
                let ratio = best.map_or(String::new(), |(_, best)| format!("{:.2}", median / best));
                writeln!(
                    text,
                    "| {name} | {median:.1} | {low:.1} - {high:.1} | {ratio} | {rate:.0} | {p50} | {p99} | {errors} |"
                )
            }
        };
    }
    text + &others(rows) + &failures(rows) + "\n"
}

/// A line of the table of targets, if ours has been measured.
pub fn verdict(scenario: Scenario, rows: &[Row]) -> Option<String> {
    let (measured, best) = measured(rows);
    let ours = measured.into_iter().find(|row| row.name == OURS)?;
    let (wanted, found, is_met) = match scenario.target() {
        Target::Best(times) => {
            let (peer, best) = best?;
            let ratio = ours.figures(micros).median / best;
            let wanted =
                format!("CPU time <= {times} x the best peer ({}, {best:.1} µs)", peer.name);
            (wanted, format!("{ratio:.2} x"), ratio <= times)
        }
        Target::Kibibytes(most) => {
            let each = ours.figures(|one| one.memory.unwrap_or_default().pss).median;
            (format!("<= {most} KiB each"), format!("{each:.1} KiB"), each <= most)
        }
        Target::Errors(most) => {
            let worst = ours.most(|one| one.outcome.errors as f64);
            (format!("<= {most} error a run"), format!("{worst} at most"), worst <= most as f64)
        }
    };
    let verdict = if is_met { "met" } else { "**missed**" };
    Some(format!("| {} | {wanted} | {found} | {verdict} |\n", scenario.title()))
}

/// What backends or policies add, beside one backend: the target is that it can't be measured.
pub fn additions(title: &str, rows: &[Row]) -> String {
    let mut text = format!(
        "## {title}\n\n| pool | CPU µs / connection | 10 % - 90 % | / {BASE} | connections a second | p50 µs | p99 µs | errors | |\n|---|---:|---:|---:|---:|---:|---:|---|---|\n"
    );
    let base = rows.iter().find(|row| row.name == BASE && !row.samples.is_empty());
    let base = base.map(|row| row.figures(micros));
    for row in rows.iter().filter(|row| !row.samples.is_empty()) {
        let Figures { median, spread: (low, high) } = row.figures(micros);
        let ratio = base.map_or(String::new(), |base| format!("{:.2}", median / base.median));
        let rate = row.figures(|one| one.outcome.count / one.outcome.seconds).median;
        let (p50, p99) = (row.figures(|one| one.outcome.p50), row.figures(|one| one.outcome.p99));
        let verdict = match base {
            _ if row.name == BASE => "",
            Some(base) if low <= base.spread.1 => "within the spread",
            _ => "**measurable**",
        };
        let _ = writeln!(
            text,
            "| {} | {median:.1} | {low:.1} - {high:.1} | {ratio} | {rate:.0} | {:.0} | {:.0} | {} | {verdict} |",
            row.name,
            p50.median,
            p99.median,
            errors(row)
        );
    }
    text + &others(rows) + &failures(rows) + "\n"
}
