//! Powers of numbers from 0 to 1; `core` has none.

/// xᵖ for x from 0 to 1 and p > 0; 0 for x = 0.
///
/// By xᵖ = 2^(p log₂ x), each a short series: within 10⁻¹² of the exact value, relatively, for x of 2⁻¹⁶
/// and more and p up to 10. That is much finer than the share of 2⁻¹⁶ that it is for, so it is not
/// worth a dependency; and it is the same on every platform.
pub(super) fn power(x: f64, p: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    exp2(p * log2(x))
}

/// log₂ of a normal number: x = m 2ᵉ, and log₂ m = 2 artanh((m - 1) / (m + 1)) / ln 2.
fn log2(x: f64) -> f64 {
    let bits = x.to_bits();
    let mut exponent = (bits >> 52) as i32 - 1023;
    let mut m = f64::from_bits(bits & ((1 << 52) - 1) | 1023 << 52);
    // The series is short where m is near 1.
    if m > core::f64::consts::SQRT_2 {
        m *= 0.5;
        exponent += 1;
    }
    let s = (m - 1.0) / (m + 1.0);
    // |s| is at most 0.172: the term after the last one is below 10⁻¹⁷.
    let sum = (0..10).rev().fold(0.0, |sum, k| sum * (s * s) + 1.0 / f64::from(2 * k + 1));
    f64::from(exponent) + 2.0 * s * sum / core::f64::consts::LN_2
}

/// 2ʸ for y ≤ 0: the power of the whole part times the series of the exponential function.
fn exp2(y: f64) -> f64 {
    if y < -1000.0 {
        return 0.0;
    }
    let whole = (y - 0.5) as i32;
    let z = (y - f64::from(whole)) * core::f64::consts::LN_2;
    // |z| is at most 0.347: the term after the last one is below 10⁻¹⁷.
    let sum = (1..=14).rev().fold(1.0, |sum, k| sum * z / f64::from(k) + 1.0);
    sum * f64::from_bits(((whole + 1023) as u64) << 52)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    #[test]
    fn it_is_as_exact_as_it_says() {
        let mut worst = 0.0_f64;
        for k in 1..=65_536_u32 {
            let x = f64::from(k) / 65_536.0;
            for p in [0.1, 0.5, 1.0 / 1.5, 1.0, 1.7, 2.0, 5.0, 10.0] {
                let exact = f64::powf(x, p);
                worst = worst.max((power(x, p) - exact).abs() / exact);
            }
        }
        assert!(worst < 1e-12, "{worst}");
        assert_eq!((power(0.0, 2.0), power(1.0, 3.3)), (0.0, 1.0));
    }
}
