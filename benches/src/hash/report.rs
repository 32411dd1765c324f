//! From figures to Markdown.

use std::fmt::Write as _;

use super::record::Record;
use super::subject::Scope;
use super::target;
use crate::report::Figures;

/// Everything.
pub fn page(records: &[Record]) -> String {
    let mut sizes: Vec<_> = records.iter().map(|record| record.servers).collect();
    sizes.dedup();
    let mut text = String::from("# Targets\n\n");
    text.push_str(&target::table(records));
    for size in sizes {
        let of_size = || records.iter().filter(|record| record.servers == size);
        let _ = write!(text, "\n# {size} servers\n\n{HEADER}");
        for record in of_size().filter(|record| record.scope != Scope::Settings) {
            text.push_str(&line(record));
        }
        if of_size().any(|record| record.fine.is_some()) {
            let _ = write!(text, "\n## Balance over more keys\n\n{FINE_HEADER}");
            for record in of_size() {
                text.push_str(&fine_line(record));
            }
        }
    }
    text
}

const HEADER: &str = "\
| row | lookup ns | 10 % - 90 % | chained ns | build | one change | bytes a server | peak | low | keys | needless, leave | needless, join |
|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|
";

fn line(record: &Record) -> String {
    let nanos = |figures: Option<Figures>| figures.map(|figures| number(figures.median));
    let spread = |figures: Figures| {
        let (low, high) = figures.spread;
        format!("{} - {}", number(low), number(high))
    };
    let time = |figures: Option<Figures>| figures.map(|figures| human(figures.median));
    let balance = record.balance;
    let fields = [
        Some(record.name.clone()),
        nanos(record.lookup),
        record.lookup.map(spread),
        nanos(record.chained),
        time(record.build),
        time(record.change),
        record.bytes.map(|bytes| format!("{bytes:.0}")),
        balance.map(|balance| format!("{:.3}", balance.peak)),
        balance.map(|balance| format!("{:.3}", balance.low)),
        balance.map(|balance| count(balance.keys)),
        record.needless.map(|needless| percent(needless.leave)),
        record.needless.map(|needless| percent(needless.join)),
    ];
    row(fields)
}

const FINE_HEADER: &str = "\
| row | bytes a server | peak | low | keys |
|---|---:|---:|---:|---:|
";

fn fine_line(record: &Record) -> String {
    let Some(fine) = record.fine else { return String::new() };
    row([
        Some(record.name.clone()),
        record.bytes.map(|bytes| format!("{bytes:.0}")),
        Some(format!("{:.3}", fine.peak)),
        Some(format!("{:.3}", fine.low)),
        Some(count(fine.keys)),
    ])
}

fn row<const N: usize>(fields: [Option<String>; N]) -> String {
    format!("| {} |\n", fields.map(Option::unwrap_or_default).join(" | "))
}

fn percent(percent: f64) -> String {
    if percent == 0.0 { "0".to_owned() } else { format!("{percent:.3} %") }
}

fn count(keys: u64) -> String {
    format!("10^{}", keys.ilog10())
}

/// As many digits as mean something.
pub(crate) fn number(nanos: f64) -> String {
    if nanos < 100.0 { format!("{nanos:.1}") } else { format!("{nanos:.0}") }
}

/// A time with its unit.
pub(crate) fn human(nanos: f64) -> String {
    match nanos {
        ..1e3 => format!("{} ns", number(nanos)),
        ..1e6 => format!("{} µs", number(nanos / 1e3)),
        ..1e9 => format!("{} ms", number(nanos / 1e6)),
        _ => format!("{} s", number(nanos / 1e9)),
    }
}
