//! Weighted choice in constant time.

use alloc::boxed::Box;
use alloc::vec::Vec;

/// Maps a point of the unit interval to an index, so that each index covers a length in proportion
/// to its weight. O(1) a look-up, O(n) to build, 16 bytes an index.
///
/// It is the alias method (Walker, 1977; built as by Vose, 1991): the interval falls into n columns
/// of equal width, and each column belongs to at most two indices.
#[derive(Clone, Debug)]
pub(crate) struct Alias(Box<[Column]>);

#[derive(Clone, Debug)]
struct Column {
    /// Where the column's own part ends and the alias's begins, of 2⁶⁴.
    split: u64,
    alias: u32,
}

impl Alias {
    /// A table over weights that are not 0. In integers, so the same everywhere.
    pub(crate) fn new(weights: &[u16]) -> Self {
        let total: u64 = weights.iter().map(|&w| u64::from(w)).sum();
        let n = weights.len() as u64;
        // Masses are scaled by n, so that a column holds `total`.
        let mut mass: Vec<u64> = weights.iter().map(|&w| u64::from(w) * n).collect();
        let mut columns: Vec<Column> =
            (0..weights.len()).map(|i| Column { split: u64::MAX, alias: i as u32 }).collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) =
            (0..weights.len()).partition(|&i| mass[i] < total);
        while let (Some(s), Some(&l)) = (small.pop(), large.last()) {
            columns[s] = Column { split: fraction(mass[s], total), alias: l as u32 };
            mass[l] -= total - mass[s];
            if mass[l] < total {
                large.pop();
                small.push(l);
            }
        }
        Self(columns.into())
    }

    /// The index at `point` / 2⁶⁴.
    #[inline]
    pub(crate) fn at(&self, point: u64) -> usize {
        let (column, within) = scale(point, self.0.len());
        let Column { split, alias } = self.0[column];
        if within <= split { column } else { alias as usize }
    }
}

/// Which of `n` equal parts of the unit interval `point` / 2⁶⁴ is in, and where in it.
#[inline]
pub(crate) fn scale(point: u64, n: usize) -> (usize, u64) {
    let product = u128::from(point) * n as u128;
    ((product >> 64) as usize, product as u64)
}

fn fraction(part: u64, whole: u64) -> u64 {
    ((u128::from(part) << 64) / u128::from(whole)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    proptest! {
        /// The lengths of the columns' parts add up to each index's share.
        #[test]
        fn every_index_covers_its_share(weights in prop::collection::vec(1_u16.., 1..200)) {
            let table = Alias::new(&weights);
            let total: f64 = weights.iter().map(|&w| f64::from(w)).sum();
            let mut covered = vec![0.0; weights.len()];
            for (i, column) in table.0.iter().enumerate() {
                let own = column.split as f64 / 2.0_f64.powi(64);
                covered[i] += own / weights.len() as f64;
                covered[column.alias as usize] += (1.0 - own) / weights.len() as f64;
            }
            for (got, weight) in covered.iter().zip(&weights) {
                prop_assert!((got - f64::from(*weight) / total).abs() < 1e-12);
            }
        }
    }
}
