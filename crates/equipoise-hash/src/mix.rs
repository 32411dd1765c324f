//! Mixing numbers: integer arithmetic, the same everywhere.

use equipoise_core::HashKey;

/// Both halves of the product, one upon the other: the strongest mixing that one multiplication
/// gives (as in wyhash, by Wang Yi).
#[inline(always)]
pub(crate) const fn fold(a: u64, b: u64) -> u64 {
    let product = a as u128 * b as u128;
    (product as u64) ^ ((product >> 64) as u64)
}

/// Spreads keys over all 64 bits, in case they are not hashes after all but counters, say.
#[inline(always)]
pub(crate) const fn spread(key: HashKey) -> u64 {
    fold(key.get() ^ 0x243f_6a88_85a3_08d3, 0x9e37_79b9_7f4a_7c15)
}

/// A permutation of the 64-bit numbers in which every bit depends on every other (splitmix64:
/// Steele, Lea, Flood 2014, with the constants of Stafford's variant 13).
#[inline]
pub(crate) const fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// The hash of a node for one purpose: what two structures draw from one id is independent.
#[inline]
pub(crate) const fn draw(id: u64, purpose: u64) -> u64 {
    mix(mix(id ^ 0x1319_8a2e_0370_7344).wrapping_add(purpose.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
}

/// Where a hash falls in a list of `len`: (hash · len) / 2⁶⁴, so by its high bits.
#[inline(always)]
pub(crate) const fn place(hash: u64, len: usize) -> usize {
    ((hash as u128 * len as u128) >> 64) as usize
}
