//! Servers side by side, each as broad as its weight, and what falls upon them.

use alloc::boxed::Box;

use super::servers::Placed;
use crate::BuildError;

/// After this many places in vain nginx gives up hashing, and takes turns.
const TRIES: usize = 21;

/// Servers in the order of the configuration, by the units of weight up to and with each.
#[derive(Clone, Debug)]
pub(super) struct Spans {
    ends: Box<[u32]>,
    owners: Box<[u32]>,
}

impl Spans {
    pub(super) fn new(placed: &[Placed]) -> Result<Self, BuildError> {
        let sum: u64 = placed.iter().map(|server| u64::from(server.weight)).sum();
        // nginx adds what it draws in 32 bits; and so that sums fit.
        let limit = u64::from(u32::MAX);
        if sum > limit {
            return Err(BuildError::WeightsTooLarge { sum, limit });
        }
        let mut end = 0;
        let ends = placed.iter().map(|server| {
            end += u32::from(server.weight);
            end
        });
        Ok(Self {
            ends: ends.collect(),
            owners: placed.iter().map(|server| server.index).collect(),
        })
    }

    /// The owner of the unit of weight `hash` modulo the sum of the weights.
    #[inline]
    pub(super) fn owner(&self, hash: u32) -> Option<usize> {
        let unit = hash % self.ends.last().copied()?;
        Some(self.owners[self.ends.partition_point(|&end| end <= unit)] as usize)
    }

    /// The owner of the first of `hashes` that is allowed. nginx looks at 21 of them, and then takes
    /// turns; in place of turns this draws with `key`, among the allowed and by their weights.
    pub(super) fn owner_where(
        &self,
        hashes: impl Iterator<Item = u32>,
        key: u64,
        allowed: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let mut owners = hashes.take(TRIES).map_while(|hash| self.owner(hash));
        owners.find(|&owner| allowed(owner)).or_else(|| self.draw(key, allowed))
    }

    /// One of the allowed, by weight. O(n).
    fn draw(&self, key: u64, allowed: impl Fn(usize) -> bool) -> Option<usize> {
        let spans = || {
            let starts = [0].into_iter().chain(self.ends.iter().copied());
            let spans = self.ends.iter().zip(starts).zip(&self.owners);
            let spans = spans.map(|((end, start), &owner)| (end - start, owner as usize));
            spans.filter(|&(_, owner)| allowed(owner))
        };
        let sum: u32 = spans().map(|(width, _)| width).sum();
        // The golden ratio spreads the keys, which may be small numbers, over the high bits.
        let hash = key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let unit = ((hash * u64::from(sum)) >> 32) as u32;
        let mut end = 0;
        let mut ends = spans().map(|(width, owner)| {
            end += width;
            (end, owner)
        });
        ends.find(|&(end, _)| end > unit).map(|(_, owner)| owner)
    }
}
