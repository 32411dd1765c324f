//! Randomness as an argument.

/// A small, fast, seeded random generator: the same seed gives the same numbers everywhere.
///
/// It is wyrand (Wang Yi, <https://github.com/wangyi-fudan/wyhash>, public domain): a Weyl sequence
/// through one 64 x 64 -> 128 bit multiplication, about a nanosecond a number, with a period of
/// 2⁶⁴. It is for spreading load, not for secrets: whoever sees its numbers can continue them.
///
/// ```
/// use equipoise_core::Rng;
///
/// let (mut a, mut b) = (Rng::seeded(42), Rng::seeded(42));
/// assert_eq!(a.next_u64(), b.next_u64());
/// assert!(a.below(6) < 6);
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rng(u64);

impl Rng {
    /// A generator whose numbers follow from `seed`. Neighbouring seeds give unrelated sequences.
    pub const fn seeded(seed: u64) -> Self {
        Self(mix(seed))
    }

    /// The next number, uniform over all 64-bit values.
    #[inline]
    pub const fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0xa076_1d64_78bd_642f);
        let product = (self.0 as u128) * ((self.0 ^ 0xe703_7ed1_a0b4_28db) as u128);
        (product >> 64) as u64 ^ product as u64
    }

    /// A number in `0..bound`, or 0 if `bound` is 0.
    ///
    /// By multiplication (Lemire, "Fast random integer generation in an interval", 2019) without
    /// its rejection step: a value's probability is off by less than 2⁻³².
    #[inline]
    pub const fn below(&mut self, bound: u32) -> u32 {
        (((self.next_u64() >> 32) * bound as u64) >> 32) as u32
    }
}

/// The finalizer of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
const fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn below_covers_the_range_and_nothing_more() {
        let mut random = Rng::seeded(1);
        let mut seen = [0_u32; 5];
        for _ in 0..10_000 {
            seen[random.below(5) as usize] += 1;
        }
        assert!(seen.iter().all(|&n| (1_800..2_200).contains(&n)), "{seen:?}");
        assert_eq!(random.below(0), 0);
    }

    #[test]
    fn neighbouring_seeds_are_unrelated() {
        let first: [u64; 64] = core::array::from_fn(|s| Rng::seeded(s as u64).next_u64());
        let bits: u32 = first.windows(2).map(|w| (w[0] ^ w[1]).count_ones()).sum();
        // 63 pairs, each differing in 32 bits of 64 on average: sd of the sum is 32.
        assert!((63 * 32_u32).abs_diff(bits) < 6 * 32, "{bits}");
    }
}
