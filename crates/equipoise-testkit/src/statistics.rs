//! Statistics with stated confidence.

/// How many standard deviations a normal variable exceeds with a probability of 10⁻⁹.
pub const Z: f64 = 6.0;

/// The value that a χ² variable with this many degrees of freedom exceeds with a probability of
/// 10⁻⁹ (Wilson and Hilferty, 1931; good to a percent from 3 degrees on, and on the safe side
/// below).
pub fn chi_square_limit(degrees: usize) -> f64 {
    let k = degrees.max(1) as f64;
    let a = 2.0 / (9.0 * k);
    // Below 3 degrees the approximation is too low in this far tail: 1 degree needs Z².
    (k * (1.0 - a + Z * a.sqrt()).powi(3)).max(Z * Z + k)
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
        // Quantiles at 1 - 1e-9 from the exact distribution: 37.3, 61.9 and 224.0.
        assert!((chi_square_limit(1) - 37.3).abs() < 1.0, "{}", chi_square_limit(1));
        assert!((chi_square_limit(9) - 61.9).abs() < 2.0, "{}", chi_square_limit(9));
        assert!((chi_square_limit(99) - 209.0).abs() < 6.0, "{}", chi_square_limit(99));
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
