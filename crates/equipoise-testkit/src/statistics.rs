//! Statistics with stated confidence.

/// How many standard deviations a normal variable exceeds with a probability of 10⁻⁹.
pub const Z: f64 = 6.0;

/// A value that a χ² variable with this many degrees of freedom exceeds with a probability of 10⁻⁹
/// or a little less (Wilson and Hilferty, 1931; a percent too high from 20 degrees on, a quarter at
/// one).
pub fn chi_square_limit(degrees: usize) -> f64 {
    let k = degrees.max(1) as f64;
    let a = 2.0 / (9.0 * k);
    k * (1.0 - a + Z * a.sqrt()).powi(3)
}

/// Asserts that `counts` are what independent draws with these odds give, with a false alarm in
/// 10⁹.
///
/// # Panics
/// When they are not; and when a backend without odds was picked.
pub fn assert_shares(counts: &[u64], odds: &[f64]) {
    let n: u64 = counts.iter().sum();
    let total: f64 = odds.iter().sum();
    // χ² wants cells that expect several events; the rare ones are put together into one.
    let (mut cells, mut rare) = (Vec::new(), (0, 0.0));
    for (i, (&count, &odds)) in counts.iter().zip(odds).enumerate() {
        let expected = n as f64 * odds / total;
        if expected == 0.0 {
            assert_eq!(count, 0, "backend {i} should get nothing: {counts:?}");
        } else if expected < 20.0 {
            rare = (rare.0 + count, rare.1 + expected);
        } else {
            cells.push((count, expected));
        }
    }
    if rare.1 >= 20.0 {
        cells.push(rare);
    } else {
        let limit = binomial_limit(n, rare.1 / n as f64);
        assert!(rare.0 as f64 <= limit, "{} where {:.1} are rare: {counts:?}", rare.0, rare.1);
    }
    let squares =
        cells.iter().map(|&(count, expected)| (count as f64 - expected).powi(2) / expected);
    let (chi_square, limit) = (squares.sum::<f64>(), chi_square_limit(cells.len().max(2) - 1));
    assert!(chi_square <= limit, "χ² {chi_square:.1} > {limit:.1}: {counts:?} for odds {odds:?}");
}

/// The most that a count of `n` independent events of probability `p` reaches, but for one time in
/// 10⁹.
pub fn binomial_limit(n: u64, p: f64) -> f64 {
    let mean = n as f64 * p;
    // The normal limit with a margin for the skew of small means.
    mean + Z * (mean * (1.0 - p)).sqrt() + Z * Z / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_those_of_the_tables() {
        // The exact quantiles, from the incomplete gamma function.
        for (degrees, exact) in [(1, 37.32), (3, 44.84), (9, 60.66), (28, 98.17), (99, 207.90)] {
            let limit = chi_square_limit(degrees);
            assert!(limit >= exact && limit < exact * 1.26, "{degrees}: {limit}");
        }
    }

    #[test]
    #[should_panic(expected = "χ²")]
    fn a_loaded_die_is_found_out() {
        assert_shares(&[1_000, 1_000, 1_000, 1_300], &[1.0; 4]);
    }

    #[test]
    fn a_fair_die_is_not() {
        assert_shares(&[1_010, 980, 1_030, 980], &[1.0; 4]);
    }
}
