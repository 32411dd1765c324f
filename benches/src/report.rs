//! From times to a Markdown table.

use std::fmt::Write as _;
use std::time::Duration;

use crate::row::Row;
use crate::rows::{FETCH_ADD, FETCH_ADD_OWN_LINE, Group};
use crate::target::{Target, targets};

/// How the rows of a group are run.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How often each row gets its turn.
    pub rounds: usize,
    /// How long a turn lasts, about.
    pub batch: Duration,
}

/// What came out for one row, in nanoseconds an operation.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// The median over the rounds.
    pub median: f64,
    /// The first and the ninth decile.
    pub spread: (f64, f64),
}

impl Figures {
    /// Of one sample each round, of which there is at least one.
    pub fn of(mut samples: Vec<f64>) -> Self {
        samples.sort_by(f64::total_cmp);
        let at = |part: f64| samples[((samples.len() - 1) as f64 * part).round() as usize];
        Self { median: at(0.5), spread: (at(0.1), at(0.9)) }
    }
}

/// Runs the rows in turn: a batch of each, then a batch of each again, and so on.
pub fn measure(group: &mut Group, plan: Plan) -> Vec<Figures> {
    measure_rows(&mut group.rows, group.backends, plan)
}

/// The same for rows of any kind, over so many backends.
pub fn measure_rows(rows: &mut [Row], backends: usize, plan: Plan) -> Vec<Figures> {
    let turns: Vec<_> = rows.iter_mut().map(|row| row.calibrate(plan.batch, backends)).collect();
    let mut samples = vec![Vec::with_capacity(plan.rounds); rows.len()];
    for _ in 0..plan.rounds {
        for ((row, &turn), samples) in rows.iter_mut().zip(&turns).zip(&mut samples) {
            samples.push(row.run(turn).as_nanos() as f64 / turn.times as f64);
        }
    }
    samples.into_iter().map(Figures::of).collect()
}

/// The first two lines of the table.
pub const HEADER: &str = "\
| operation | row | N | threads | median ns | 10 % - 90 % | / floor | peer / it | target | |
|---|---|---:|---:|---:|---:|---:|---:|---|---|
";

/// The lines of one group.
pub fn lines(group: &Group, figures: &[Figures]) -> String {
    let median = |name: &str| {
        let index = group.rows.iter().position(|row| row.name == name)?;
        Some(figures[index].median)
    };
    // What threads do not share is held against a counter that they do not share.
    let floor = median(if group.threads == 1 { FETCH_ADD } else { FETCH_ADD_OWN_LINE });
    let mut text = String::new();
    for (row, Figures { median: own, spread: (low, high) }) in group.rows.iter().zip(figures) {
        let peer = group.peer_of(row.name).and_then(|peer| median(peer.name));
        let (wanted, verdicts): (Vec<_>, Vec<_>) =
            targets(group, row.name).into_iter().map(|target| judge(target, *own, median)).unzip();
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} - {} | {} | {} | {} | {} |",
            group.operation,
            row.name,
            group.backends,
            group.threads,
            number(*own),
            number(*low),
            number(*high),
            floor.map_or("".into(), |floor| format!("{:.2}", own / floor)),
            peer.map_or("".into(), |peer| format!("{:.1}", peer / own)),
            wanted.join("; "),
            verdicts.join("; "),
        );
    }
    text
}

fn judge(target: Target, own: f64, median: impl Fn(&str) -> Option<f64>) -> (String, &'static str) {
    let (text, bound) = match target {
        Target::Within(times, floor) => {
            let text = format!("<= {times} x {}", floor.trim_start_matches("floor: "));
            (text, median(floor).map(|floor| times * floor))
        }
        Target::FasterThan(times, peer) => {
            (format!("{times} x faster than {peer}"), median(peer).map(|peer| peer / times))
        }
        Target::Nanos(nanos) => (format!("<= {} ns", number(nanos)), Some(nanos)),
    };
    let verdict = match bound {
        Some(bound) if own <= bound => "met",
        Some(_) => "**missed**",
        None => "not run",
    };
    (text, verdict)
}

/// As many digits as mean something.
fn number(nanos: f64) -> String {
    if nanos < 100.0 { format!("{nanos:.2}") } else { format!("{nanos:.0}") }
}
