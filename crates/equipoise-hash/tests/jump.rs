//! Functions from a hash to one of n buckets.

use equipoise_core::Rng;
use equipoise_hash::jump::{jump, jump_back};
use equipoise_testkit::statistics::assert_shares;

/// From a hash to one of so many buckets.
type Function = fn(u64, u32) -> u32;

const FUNCTIONS: [(&str, Function); 2] = [("jump", jump), ("jump_back", jump_back)];

/// Numbers of buckets around powers of two, where functions of this kind go wrong.
fn sizes() -> impl Iterator<Item = u32> {
    let near = |power: u32| [power - 1, power, power + 1];
    let sizes = (1..32).flat_map(move |bits| near(1 << bits)).chain([3_000_000_000, u32::MAX - 1]);
    sizes.chain([u32::MAX])
}

fn hashes(seed: u64, count: usize) -> impl Iterator<Item = u64> {
    let mut rng = Rng::seeded(seed);
    std::iter::repeat_with(move || rng.next_u64()).take(count)
}

#[test]
fn every_number_of_buckets_is_filled_evenly() {
    for (name, function) in FUNCTIONS {
        for n in sizes() {
            // By 37 intervals, or each by itself.
            let cells = n.min(37);
            let mut counts = vec![0; cells as usize];
            for hash in hashes(n.into(), 20_000) {
                let bucket = function(hash, n);
                assert!(bucket < n, "{name}: {bucket} of {n}");
                counts[(u64::from(bucket) * u64::from(cells) / u64::from(n)) as usize] += 1;
            }
            let start = |cell: u32| (u64::from(cell) * u64::from(n)).div_ceil(cells.into());
            let odds: Vec<f64> =
                (0..cells).map(|cell| (start(cell + 1) - start(cell)) as f64).collect();
            assert_shares(&counts, &odds);
        }
    }
}

#[test]
fn one_more_bucket_takes_keys_and_moves_no_other() {
    for (name, function) in FUNCTIONS {
        for n in sizes().chain(1..200).filter(|&n| n < u32::MAX) {
            let mut moved = 0;
            for hash in hashes(u64::from(n) << 32, 2_000) {
                let (before, after) = (function(hash, n), function(hash, n + 1));
                assert!(before == after || after == n, "{name}: {before} to {after} of {n} + 1");
                moved += u64::from(before != after);
            }
            assert_shares(&[moved, 2_000 - moved], &[1.0, n.into()]);
        }
    }
}

#[test]
fn many_more_buckets_move_keys_to_the_new_ones_only() {
    for (name, function) in FUNCTIONS {
        for hash in hashes(3, 20_000) {
            let mut sizes: Vec<u32> = sizes().collect();
            sizes.sort_unstable();
            for pair in sizes.windows(2) {
                let (before, after) = (function(hash, pair[0]), function(hash, pair[1]));
                assert!(
                    before == after || after >= pair[0],
                    "{name}: {before} to {after}: {pair:?}"
                );
            }
        }
    }
}

/// The loop of the paper's figure 1, with its division of floating-point numbers.
fn of_the_paper(mut key: u64, buckets: i32) -> i32 {
    let (mut b, mut j) = (-1_i64, 0_i64);
    while j < i64::from(buckets) {
        b = j;
        key = key.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        j = ((b + 1) as f64 * ((1_i64 << 31) as f64 / ((key >> 33) + 1) as f64)) as i64;
    }
    b as i32
}

#[test]
fn jump_is_that_of_the_paper() {
    for hash in hashes(5, 100_000) {
        for buckets in [1, 2, 10, 1_000, 1 << 20] {
            assert_eq!(jump(hash, buckets), of_the_paper(hash, buckets as i32) as u32);
        }
    }
}

/// What the authors' C++ gives, as the tests of github.com/dgryski/go-jump have it: of 1 to 19 buckets,
/// the numbers of buckets at which a key jumps, each time into the last one.
#[test]
fn jump_gives_the_published_buckets() {
    let published: [(u64, &[u32]); 4] = [
        (0, &[1]),
        (1, &[1, 7, 18]),
        (0xdead_beef, &[1, 2, 3, 4, 6, 17]),
        (0x0ddc_0ffe_ebad_f00d, &[1, 2, 3, 16]),
    ];
    for (hash, jumps) in published {
        for n in 1..=19 {
            let last = jumps.iter().rfind(|&&at| at <= n).unwrap() - 1;
            assert_eq!(jump(hash, n), last, "{hash:#x} of {n}");
        }
    }
}
