//! The unit interval, divided in proportion to weight.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::alias::scale;

/// Maps a point of the unit interval to an index, so that each index covers one interval, as long as
/// its weight. O(1) a look-up on average over the interval, O(log n) at worst; O(n) to build; 12
/// bytes an index.
#[derive(Debug)]
pub(crate) struct Intervals {
    /// Where each interval ends, of 2⁶⁴; the last one ends the whole.
    ends: Box<[u64]>,
    /// For each of n equal parts: the interval that its beginning is in.
    guide: Box<[u32]>,
}

impl Intervals {
    /// Intervals for weights that are not all 0.
    pub(crate) fn new(weights: &[u16]) -> Self {
        let total: u64 = weights.iter().map(|&w| u64::from(w)).sum();
        let mut sum = 0_u64;
        let mut ends: Vec<u64> = Vec::with_capacity(weights.len());
        for &weight in weights {
            sum += u64::from(weight);
            let end = (u128::from(sum) << 64) / u128::from(total.max(1));
            ends.push(u64::try_from(end).unwrap_or(u64::MAX));
        }
        let n = weights.len();
        let mut guide = Vec::with_capacity(n);
        let mut index = 0;
        for part in 0..n {
            let start = ((part as u128) << 64).div_ceil(n as u128) as u64;
            while index + 1 < n && ends[index] <= start {
                index += 1;
            }
            guide.push(index as u32);
        }
        Self { ends: ends.into(), guide: guide.into() }
    }

    /// The index whose interval `point` / 2⁶⁴ is in.
    #[inline]
    pub(crate) fn at(&self, point: u64) -> usize {
        let (part, _) = scale(point, self.guide.len());
        let first = self.guide[part] as usize;
        let last = self.guide.get(part + 1).map_or(self.ends.len() - 1, |&i| i as usize);
        let within = &self.ends[first..last];
        // Mostly there are one or two.
        first + within.partition_point(|&end| end <= point)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_guide_leads_where_a_plain_search_does(
            weights in prop::collection::vec(1_u16.., 1..300),
            points in prop::collection::vec(any::<u64>(), 1..100),
        ) {
            let intervals = Intervals::new(&weights);
            let ends = intervals.ends.iter().flat_map(|&end| [end.wrapping_sub(1), end]);
            for point in points.into_iter().chain(ends.collect::<Vec<_>>()).chain([0, u64::MAX]) {
                let naive = intervals.ends.partition_point(|&end| end <= point);
                prop_assert_eq!(intervals.at(point), naive.min(weights.len() - 1));
            }
        }
    }
}
