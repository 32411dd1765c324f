//! From figures to Markdown.

use std::fmt::Write as _;
use std::time::Duration;

use super::measure::Record;
use super::subject::Lookups;
use crate::hash::report::{human, number};

/// Everything.
pub fn page(records: &[Record]) -> String {
    let mut text = String::from(
        "# Targets\n\n| target, same run | best peer | measured | |\n|---|---|---|---|\n",
    );
    targets(records, &mut text);
    text.push_str(
        "\n# 10^6 sessions\n\n\
        | table | bytes a session | bind ns | hit ns | 10 % - 90 % | chained ns | miss ns | 2 threads | 8 hot keys | 90:10 |\n\
        |---|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for record in records {
        let median = |lookups| number(median(record, lookups));
        let spread = record.lookups.first().map_or((0.0, 0.0), |figures| figures.spread);
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} - {} | {} | {} | {} | {} | {} |",
            record.name,
            number(record.bytes),
            number(record.bind),
            median(Lookups::Hit),
            number(spread.0),
            number(spread.1),
            median(Lookups::Chained),
            median(Lookups::Miss),
            median(Lookups::Shared),
            median(Lookups::Hot),
            median(Lookups::Mixed),
        );
    }
    text.push_str(
        "\n# Expiry and flood\n\n\
        | table | sweep of 10^6 | longest lookup meanwhile | 99.9 % | left | bytes a session at the cap | after 10^7 more | held |\n\
        |---|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for record in records {
        let time = |time: Duration| human(time.as_nanos() as f64);
        let expiry = record.expiry.map(|expiry| {
            [time(expiry.sweep), time(expiry.longest), time(expiry.p999), expiry.left.to_string()]
        });
        let flood = record
            .flood
            .map(|flood| [number(flood.before), number(flood.after), flood.held.to_string()]);
        let _ = writeln!(
            text,
            "| {} | {} | {} |",
            record.name,
            expiry.unwrap_or_default().join(" | "),
            flood.unwrap_or_default().join(" | "),
        );
    }
    text
}

fn median(record: &Record, lookups: Lookups) -> f64 {
    let at = Lookups::ALL.iter().position(|&one| one == lookups);
    at.and_then(|at| record.lookups.get(at)).map_or(f64::NAN, |figures| figures.median)
}

fn targets(records: &[Record], text: &mut String) {
    let Some(ours) = records.iter().find(|record| record.ours) else { return };
    let best = |of: &dyn Fn(&Record) -> f64, whose: &dyn Fn(&Record) -> bool| {
        let peers = records.iter().filter(|record| record.peer && whose(record));
        let best = peers.filter(|peer| of(peer).is_finite()).min_by(|a, b| of(a).total_cmp(&of(b)));
        best.map(|best| (of(best), best.name))
    };
    // Whoever knows foldhash's seeds can choose ids that meet.
    let is_flood_safe = |record: &Record| !record.name.ends_with(", foldhash");
    type Of<'a> = &'a dyn Fn(&Record) -> f64;
    type Whose<'a> = &'a dyn Fn(&Record) -> bool;
    let mut line = |target: &str, share: f64, of: Of<'_>, whose: Whose<'_>| {
        let unit = "ns";
        let (peer, verdict) = match best(of, whose) {
            None => (String::new(), "not run"),
            Some((peer, name)) => {
                let verdict = if of(ours) <= share * peer { "met" } else { "**missed**" };
                (format!("{} {unit} ({name})", number(peer)), verdict)
            }
        };
        let _ = writeln!(text, "| {target} | {peer} | {} {unit} | {verdict} |", number(of(ours)));
    };
    let (hit, bind): (Of<'_>, Of<'_>) = (&|r| median(r, Lookups::Hit), &|r| r.bind);
    let shared: Of<'_> = &|record| median(record, Lookups::Shared);
    line("hit <= best that is safe from floods", 1.0, hit, &is_flood_safe);
    line("two threads <= 0.75x best", 0.75, shared, &|_| true);
    line("two threads <= 0.75x best that is safe from floods", 0.75, shared, &is_flood_safe);
    line("bind <= best", 1.0, bind, &|_| true);
    line("bind <= best that is safe from floods", 1.0, bind, &is_flood_safe);
    let mut fixed = |target: &str, own: f64, limit: f64, shown: String| {
        let verdict = if own <= limit { "met" } else { "**missed**" };
        let _ = writeln!(text, "| {target} | | {shown} | {verdict} |");
    };
    fixed("bytes a session <= 40", ours.bytes, 40.0, number(ours.bytes));
    if let Some(expiry) = ours.expiry {
        let longest = expiry.longest.as_nanos() as f64;
        fixed("longest lookup meanwhile <= 50 µs", longest, 50_000.0, human(longest));
    }
    if let Some(flood) = ours.flood {
        let shown = format!("{} and {}", number(flood.before), number(flood.after));
        fixed("bytes a session after the flood: flat", flood.after, 1.01 * flood.before, shown);
    }
}
