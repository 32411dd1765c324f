//! Exponential variates in fixed point, for weighted choices.
//!
//! Of exponential variates divided by weights, the smallest belongs to each with a probability in
//! proportion to its weight: that is weighted rendezvous. A logarithm from a floating-point library
//! may differ in its last bit from platform to platform, and a key would then have two owners; this
//! one is made of integers.

/// A unit of [`exponential`]: 2⁻⁴⁰.
const FRACTION: u32 = 40;
/// The table divides [0, ½] into so many intervals.
const INTERVALS: usize = 256;
/// A unit of the table: 2⁻²⁴.
const UNIT: u32 = 24;
/// ln 2 in units of 2⁻⁴⁰.
const LN_2: u64 = 762_123_384_786;

/// g(x) = -ln(1 - x) / x at x = i / 512, in units of 2⁻²⁴, rounded down.
const SLOPES: [u32; INTERVALS + 2] = slopes();

const fn slopes() -> [u32; INTERVALS + 2] {
    let mut table = [0; INTERVALS + 2];
    let mut i = 0;
    while i < table.len() {
        // g(x) = 1 + x/2 + x²/3 + ..., in units of 2⁻⁴⁸; x is 1/2 or a little more.
        let (mut power, mut sum, mut k) = (1_u64 << 48, 0, 1);
        while power > 0 {
            sum += power / k;
            power = (power * i as u64) >> 9;
            k += 1;
        }
        table[i] = (sum >> (48 - UNIT)) as u32;
        i += 1;
    }
    table
}

/// -ln(1 - (x + ½) / 2³²), in units of 2⁻⁴⁰: an exponential variate of mean 1 for a uniform `x`.
///
/// It does not decrease with `x`, is less than 2⁴⁵, and within 2 parts in 10⁶ of the true value.
pub(crate) const fn exponential(x: u32) -> u64 {
    let rest = (1 << FRACTION) - (((x as u64) << 8) + 128);
    // rest = m · 2⁻ᵏ with m between ½ and 1, so -ln rest = k · ln 2 - ln m.
    let k = rest.leading_zeros() - (63 - (FRACTION - 1));
    let v = (1 << FRACTION) - (rest << k);
    let (i, part) = ((v >> 31) as usize, v & 0x7fff_ffff);
    let (low, high) = (SLOPES[i] as u64, SLOPES[i + 1] as u64);
    let slope = low + (((high - low) * part) >> 31);
    k as u64 * LN_2 + ((v * slope) >> UNIT)
}

#[cfg(test)]
mod tests {
    use super::exponential;

    #[test]
    fn it_is_the_logarithm() {
        for step in 0..100_000_u64 {
            let x = (step * 42_949) as u32;
            for x in [x, u32::MAX - x, step as u32, u32::MAX - step as u32] {
                let uniform = (f64::from(x) + 0.5) / 4_294_967_296.0;
                let exact = -libm_ln_1p(-uniform) * (1_u64 << 40) as f64;
                let off = (exponential(x) as f64 - exact).abs();
                assert!(off <= exact * 2e-6 + 1.0, "{x}: {} for {exact}", exponential(x));
            }
        }
    }

    fn libm_ln_1p(x: f64) -> f64 {
        extern crate std;
        x.ln_1p()
    }

    #[test]
    fn it_never_decreases() {
        // Where an interval, or a power of two, begins.
        let mut edges: alloc::vec::Vec<u32> = (0..512).map(|i| i << 23).collect();
        edges.extend((0..32).map(|k| u32::MAX - (u32::MAX >> k)));
        for edge in edges {
            let near = edge.wrapping_sub(200)..=edge.saturating_add(200);
            let values = near.clone().map(exponential);
            assert!(near.is_empty() || values.is_sorted(), "near {edge}");
        }
        assert!(exponential(u32::MAX) < 1 << 45);
    }
}
