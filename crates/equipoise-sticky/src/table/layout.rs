//! Into how many shards a table is divided, and how large they may get.

use super::TableConfig;
use super::store::bytes_of;

/// The shards of a table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Layout {
    pub(crate) shards: usize,
    /// Of each shard, at the most.
    pub(crate) buckets: usize,
}

/// A shard of that size doubles in some ten microseconds.
const MOST_BUCKETS: usize = 4_096;
const FEWEST_BUCKETS: usize = 64;

impl Layout {
    /// Hash tables have a power of two of buckets, and double when seven in eight are full. So there
    /// are as many shards as it takes to have them well filled when the table is full; they are as well
    /// filled at half of that, and at a fourth.
    ///
    /// The number of sessions in a shard is random, with a standard deviation of the root of its mean.
    /// Six of those stay below the 84 % at which marks of removed sessions begin to take up room.
    pub(crate) fn of(config: &TableConfig) -> Self {
        let fixed = config.fixed_bytes();
        let most =
            config.max_bytes().map_or(usize::MAX, |bytes| bytes.saturating_sub(fixed) / BYTES);
        let sessions = config.max_sessions().min(most).max(1);
        let buckets = (sessions / 16).clamp(FEWEST_BUCKETS, MOST_BUCKETS).next_power_of_two();
        Self { shards: sessions.div_ceil(mean_of(buckets)), buckets }
    }
}

/// What a session takes in a full table: the entry, its byte and the empty buckets.
const BYTES: usize = bytes_of(100) / 74;

/// The largest m with m + 6 sqrt(m) <= 0.84 buckets.
fn mean_of(buckets: usize) -> usize {
    let most = buckets * 21 / 25;
    let fits = |mean: usize| mean + (36 * mean).isqrt() <= most;
    (1..most).rev().find(|&mean| fits(mean)).unwrap_or(1)
}
