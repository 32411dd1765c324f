//! What a table has done so far.

use core::ops::AddAssign;

/// Numbers since a table was made. They wrap around after 2⁶⁴.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Counters {
    /// Lookups that found a session. Of lookups in one shard at the same moment some may not be counted:
    /// to count each would cost as much as the lock does. All else is exact.
    pub hits: u64,
    /// Lookups that found none.
    pub misses: u64,
    /// Of the misses, those of sessions that were there but whose time was up, or whose backend was
    /// unbound.
    pub stale: u64,
    /// New sessions.
    pub bound: u64,
    /// Sessions that were to be bound and were bound already.
    pub kept: u64,
    /// Sessions that moved.
    pub rebound: u64,
    /// Sessions that were to move and had moved already.
    pub lost: u64,
    /// Sessions that were unbound by name.
    pub unbound: u64,
    /// Sessions that were removed since their time was up or their backend was unbound.
    pub expired: u64,
    /// Sessions that lived and had to make room.
    pub evicted: u64,
    /// Sessions that were not bound, as there was no place for their backend.
    pub refused: u64,
}

/// What one shard has done, but for lookups.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Tally {
    pub(super) bound: u64,
    pub(super) kept: u64,
    pub(super) rebound: u64,
    pub(super) lost: u64,
    pub(super) unbound: u64,
    pub(super) expired: u64,
    pub(super) evicted: u64,
}

impl AddAssign for Counters {
    fn add_assign(&mut self, other: Self) {
        let Self {
            hits,
            misses,
            stale,
            bound,
            kept,
            rebound,
            lost,
            unbound,
            expired,
            evicted,
            refused,
        } = other;
        for (sum, more) in [
            (&mut self.hits, hits),
            (&mut self.misses, misses),
            (&mut self.stale, stale),
            (&mut self.bound, bound),
            (&mut self.kept, kept),
            (&mut self.rebound, rebound),
            (&mut self.lost, lost),
            (&mut self.unbound, unbound),
            (&mut self.expired, expired),
            (&mut self.evicted, evicted),
            (&mut self.refused, refused),
        ] {
            *sum = sum.wrapping_add(more);
        }
    }
}
