//! Points on a circle of hashes, sorted, and found through an index on their high bits.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

/// A position on a circle: 32 or 64 bits.
pub(crate) trait Position: Copy + Ord {
    /// The `bits` high bits, at most 31.
    fn high(self, bits: u32) -> usize;
}

impl Position for u32 {
    #[inline(always)]
    fn high(self, bits: u32) -> usize {
        (u64::from(self) >> (32 - bits)) as usize
    }
}

impl Position for u64 {
    #[inline(always)]
    fn high(self, bits: u32) -> usize {
        ((self >> 32) >> (32 - bits)) as usize
    }
}

/// Points, each with what it stands for. The order of equal positions is that in which they were
/// given.
#[derive(Clone, Debug)]
pub(crate) struct Points<P> {
    points: Box<[(P, u32)]>,
    /// The first point of each interval of the circle, and the number of points in the end.
    first: Box<[u32]>,
    bits: u32,
}

/// An interval that has more points than this is searched by halves: positions are hashes and so
/// evenly spread, unless somebody has chosen them.
const CROWDED: usize = 16;

impl<P: Position> Points<P> {
    /// Sorts points, at most 2³¹ of them.
    pub(crate) fn new(mut points: Vec<(P, u32)>) -> Self {
        points.sort_by_key(|point| point.0);
        Self::sorted(points)
    }

    /// Takes points that are sorted.
    pub(crate) fn sorted(points: Vec<(P, u32)>) -> Self {
        // Two points in an interval: its place in the index, and they, are on one line each.
        let bits = (points.len() / 2).next_power_of_two().ilog2();
        let mut first = vec![0; (1 << bits) + 1];
        for (position, _) in &points {
            first[position.high(bits) + 1] += 1;
        }
        let mut sum = 0;
        for count in &mut first {
            sum += *count;
            *count = sum;
        }
        Self { points: points.into(), first: first.into(), bits }
    }

    /// All points in order.
    pub(crate) fn as_slice(&self) -> &[(P, u32)] {
        &self.points
    }

    /// The index of the first point at `position` or after it; `None` if it would be past the last.
    #[inline(always)]
    pub(crate) fn at_or_after(&self, position: P) -> Option<usize> {
        let interval = position.high(self.bits);
        let (from, to) = (self.first[interval] as usize, self.first[interval + 1] as usize);
        let points = &self.points[from..to];
        let before = if points.len() > CROWDED {
            points.partition_point(|point| point.0 < position)
        } else {
            points.iter().take_while(|point| point.0 < position).count()
        };
        // In the next interval, every point is after it.
        let at = from + before;
        (at < self.points.len()).then_some(at)
    }

    /// What the first point at `position` or after it stands for, going round; `None` if there is
    /// none at all.
    #[inline(always)]
    pub(crate) fn clockwise(&self, position: P) -> Option<usize> {
        let at = self.at_or_after(position).unwrap_or(0);
        self.points.get(at).map(|&(_, node)| node as usize)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_point_is_found_as_by_going_through_all(
            positions in proptest::collection::vec(prop_oneof![any::<u32>(), 7..40_u32], 0..200),
            asked in prop_oneof![any::<u32>(), 0..50_u32],
        ) {
            let points: Vec<_> = positions.into_iter().zip(0..).collect();
            let points = Points::new(points);
            let found = points.as_slice().iter().position(|point| point.0 >= asked);
            prop_assert_eq!(points.at_or_after(asked), found);
            let next = found.map(|at| points.as_slice()[at]).or(points.as_slice().first().copied());
            prop_assert_eq!(points.clockwise(asked), next.map(|point| point.1 as usize));
            prop_assert!(points.as_slice().is_sorted());
        }
    }
}
