//! How evenly keys are spread, and how many move.

use super::candidate::Change;
use super::servers::{Server, servers};
use super::subject::{Entry, Table};

/// How evenly so many keys are spread. A share is relative to what the server's weight deserves.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Balance {
    /// The largest share.
    pub peak: f64,
    /// The smallest share.
    pub low: f64,
    /// The keys.
    pub keys: u64,
}

impl Balance {
    /// Of the keys that each server has.
    pub fn of(counts: &[u64], servers: &[Server]) -> Self {
        let keys: u64 = counts.iter().sum();
        let total: u64 = servers.iter().map(|server| u64::from(server.weight)).sum();
        let share = |(&count, server): (&u64, &Server)| {
            count as f64 * total as f64 / (keys as f64 * f64::from(server.weight))
        };
        let shares = || counts.iter().zip(servers).map(share);
        let (peak, low) = (shares().fold(0.0, f64::max), shares().fold(f64::MAX, f64::min));
        Self { peak, low, keys }
    }
}

/// What part of all keys, in percent, a change moves that it need not.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Needless {
    /// When a server from the middle leaves: keys that it did not have.
    pub leave: f64,
    /// When a new server joins: keys that it does not get.
    pub join: f64,
}

/// Counts `keys` keys, and moves them.
pub(crate) fn spread(
    entry: &Entry,
    table: &mut dyn Table,
    keys: u64,
    list: &[Server],
) -> (Balance, Needless) {
    let before = table.owners(keys);
    let mut counts = vec![0; list.len()];
    for &owner in &before {
        counts[owner as usize] += 1;
    }
    let mut left = list.to_vec();
    let gone = left.remove(if entry.last_only { list.len() - 1 } else { list.len() / 2 });
    table.change(Change::Leave(gone), &left);
    let leave = percent(&before, &table.owners(keys), |was, _| was == gone.number);

    let more = servers(list.len() + 1, entry.weights);
    let new = more[list.len()];
    let mut table = entry.subject.table(list);
    table.change(Change::Join(new), &more);
    let join = percent(&before, &table.owners(keys), |_, is| is == new.number);
    (Balance::of(&counts, list), Needless { leave, join })
}

fn percent(before: &[u32], after: &[u32], must: impl Fn(u32, u32) -> bool) -> f64 {
    let moves = before.iter().zip(after).filter(|(was, is)| was != is);
    let needless = moves.filter(|&(&was, &is)| !must(was, is)).count();
    100.0 * needless as f64 / before.len() as f64
}
