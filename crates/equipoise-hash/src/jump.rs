//! Functions from a hash to one of n buckets that move few keys when n changes.

use crate::mix::mix;

/// The bucket of a hash, of `buckets`, which is not 0: jump consistent hash (Lamping and Veach,
/// arXiv 1406.2294).
///
/// One more bucket takes 1 / n of the keys from all others, and no other key moves; so it must be
/// the last bucket that comes and goes. Where the paper divides floating-point numbers, this divides
/// integers, exactly: of 30 million keys none has another bucket than by the paper's code with up to
/// a million buckets, and seven have with 2³¹.
///
/// O(log n): about ln n divisions, one after the other. See [`jump_back`] for a quicker one.
///
/// ```
/// use equipoise_hash::jump::jump;
///
/// let moved = (0..10_000).filter(|&hash| jump(hash, 100) != jump(hash, 99));
/// assert!(moved.into_iter().all(|hash| jump(hash, 100) == 99));
/// ```
///
/// # Panics
/// If there are no buckets.
pub const fn jump(hash: u64, buckets: u32) -> u32 {
    assert!(buckets > 0, "there must be a bucket");
    let (mut hash, mut bucket, mut next) = (hash, 0, 0);
    while next < buckets as u64 {
        bucket = next;
        hash = hash.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        next = ((bucket + 1) << 31) / ((hash >> 33) + 1);
    }
    bucket as u32
}

/// The bucket of a hash, of `buckets`, which is not 0: JumpBackHash (Ertl, arXiv 2403.18682).
///
/// It moves the same few keys as [`jump()`] and takes O(1) expected, without a division: it goes
/// through the jumps backwards, from the last one that could be, and half of all hashes are done
/// with the first. It is another function, so the buckets are not those of [`jump()`].
///
/// ```
/// use equipoise_hash::jump::jump_back;
///
/// let moved = (0..10_000).filter(|&hash| jump_back(hash, 100) != jump_back(hash, 99));
/// assert!(moved.into_iter().all(|hash| jump_back(hash, 100) == 99));
/// ```
///
/// # Panics
/// If there are no buckets.
#[inline]
pub const fn jump_back(hash: u64, buckets: u32) -> u32 {
    assert!(buckets > 0, "there must be a bucket");
    if buckets == 1 {
        return 0;
    }
    let mut random = Random(hash);
    let first = random.next();
    // Bit i is set if there is a jump to a bucket of the 2ⁱ from 2ⁱ on.
    let mut jumps = ((first ^ (first >> 32)) as u32) & (u32::MAX >> (buckets - 1).leading_zeros());
    while jumps != 0 {
        let begin = 1 << jumps.ilog2();
        // The last jump in there. Which half of the number it is from must differ with the bits
        // that are still to come, or buckets would not be independent.
        let half = (first >> ((jumps.count_ones() & 1) * 32)) as u32;
        let mut bucket = begin + (half & (begin - 1));
        loop {
            if bucket < buckets {
                return bucket;
            }
            // Too far: the one before it, if it is still in there.
            let next = random.next();
            bucket = next as u32 & (2 * begin).wrapping_sub(1);
            if bucket < begin {
                break;
            }
            if bucket < buckets {
                return bucket;
            }
            bucket = (next >> 32) as u32 & (2 * begin).wrapping_sub(1);
            if bucket < begin {
                break;
            }
        }
        jumps ^= begin;
    }
    0
}

/// A sequence of random numbers that starts with a hash (splitmix64).
struct Random(u64);

impl Random {
    #[inline(always)]
    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }
}
