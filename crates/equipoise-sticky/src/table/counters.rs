//! What a table has done so far.

use core::ops::AddAssign;

/// Numbers since a table was made. They wrap around after 2⁶⁴.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Counters {
    /// Lookups that found a session.
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
