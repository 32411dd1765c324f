//! The order in which things are measured.

use std::time::Duration;

use super::balance::{Balance, spread};
use super::pools;
use super::record::Record;
use super::servers::{Server, servers};
use super::subject::{Entry, Scope};
use crate::report::{self, Figures, Plan};
use crate::row::{Row, Turn};
use crate::rows::Only;

/// Runs something, and says by how many bytes the heap has grown.
pub type Heap = fn(&mut dyn FnMut()) -> i64;

/// Keys that are counted, where lookups are not too slow for it.
const KEYS: u64 = 1_000_000;

/// The size of the plot of balance against memory.
pub const PLOTTED: usize = 1_000;

/// All `entries` at one size, and those picks from pools that are wanted. Rows that are compared
/// take turns.
pub fn measure(entries: &[Entry], only: &Only, size: usize, plan: Plan, heap: Heap) -> Vec<Record> {
    let runs =
        |entry: &&Entry| size <= entry.limit && (entry.scope != Scope::Settings || size == PLOTTED);
    let entries: Vec<&Entry> = entries.iter().filter(runs).collect();
    let mut records: Vec<_> = entries.iter().map(|entry| Record::of(entry, size)).collect();
    let lists: Vec<_> = entries.iter().map(|entry| servers(size, entry.weights)).collect();

    for ((entry, record), list) in entries.iter().zip(&mut records).zip(&lists) {
        if entry.scope != Scope::Lookups {
            count(entry, record, list, heap);
        }
    }

    let of = |scopes: &[Scope]| -> Vec<usize> {
        (0..entries.len()).filter(|&i| scopes.contains(&entries[i].scope)).collect()
    };
    let all = of(&[Scope::All, Scope::Lookups]);
    let rows = all.iter().map(|&i| entries[i].subject.lookups(entries[i].name, &lists[i]));
    let (mut rows, chains): (Vec<_>, Vec<_>) = rows.unzip();
    rows.extend(chains);
    let figures = report::measure_rows(&mut rows, size, plan);
    let (lookups, chains) = figures.split_at(all.len());
    for ((&i, &lookup), &chain) in all.iter().zip(lookups).zip(chains) {
        (records[i].lookup, records[i].chained) = (Some(lookup), Some(chain));
    }
    drop(rows);

    let all = of(&[Scope::All]);
    let rows = all.iter().map(|&i| entries[i].subject.builds(entries[i].name, &lists[i]));
    for (&i, figures) in all.iter().zip(measure_slow(&mut rows.collect::<Vec<_>>())) {
        records[i].build = Some(figures);
    }
    let rows = all.iter().map(|&i| entries[i].subject.changes(entries[i].name, &lists[i]));
    for (&i, figures) in all.iter().zip(measure_slow(&mut rows.collect::<Vec<_>>())) {
        records[i].change = Some(figures);
    }
    records.extend(pools::measure(size, plan, only));
    records
}

/// What does not depend on the time.
fn count(entry: &Entry, record: &mut Record, list: &[Server], heap: Heap) {
    let mut table = None;
    let bytes = heap(&mut || table = Some(entry.subject.table(list)));
    let Some(mut table) = table else { return };
    record.bytes = Some(bytes as f64 / list.len() as f64);
    if list.len() == PLOTTED {
        let keys = entry.keys(10 * KEYS, list.len());
        record.fine = Some(Balance::of(&table.counts(keys, list.len()), list));
    }
    if entry.scope == Scope::All {
        let keys = entry.keys(KEYS, list.len());
        let (balance, needless) = spread(entry, &mut *table, keys, list);
        (record.balance, record.needless) = (Some(balance), Some(needless));
    }
}

/// Rows whose operations may take long: those that take long get few rounds.
fn measure_slow(rows: &mut [Row]) -> Vec<Figures> {
    const ROUNDS: usize = 11;
    const BATCH: Duration = Duration::from_millis(2);
    const SLOW: Duration = Duration::from_millis(20);
    let once = |row: &mut Row| {
        let took = row.run(Turn { warm_up: 0, times: 2 });
        if took > 2 * SLOW { took / 2 } else { took.min(row.quickest(2)) / 2 }
    };
    let first: Vec<_> = rows.iter_mut().map(once).collect();
    let mut samples = vec![Vec::new(); rows.len()];
    for round in 0..ROUNDS {
        for ((row, &once), samples) in rows.iter_mut().zip(&first).zip(&mut samples) {
            if round > 0 && once > SLOW {
                continue;
            }
            let times = (BATCH.as_nanos() / once.as_nanos().max(1)) as u64 & !1;
            let turn = Turn { warm_up: times.min(2), times: times.max(2) };
            samples.push(row.run(turn).as_nanos() as f64 / turn.times as f64);
        }
    }
    samples.into_iter().map(Figures::of).collect()
}
