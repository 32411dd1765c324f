//! The keys, and the hash functions that the rows are measured with.

use std::hash::{BuildHasher, Hasher as _};

use equipoise_hash::HashKey;
use equipoise_hash::compat::nginx::Consistent;
use equipoise_hash::key::KeyHasher;
use foldhash::fast::FixedState;
use siphasher::sip::SipHasher13;

/// A key: 16 bytes, as of a session or a short path.
pub type Key = [u8; 16];

/// The key of this number. They look random, and no two are alike; making one takes 1 to 2 ns.
#[inline(always)]
pub const fn key(number: u64) -> Key {
    let mixed = mix(number);
    let low = mixed.to_le_bytes();
    let high = (mixed.rotate_left(25) ^ number).to_le_bytes();
    let mut key = [0; 16];
    let mut at = 0;
    while at < 8 {
        (key[at], key[at + 8]) = (low[at], high[at]);
        at += 1;
    }
    key
}

const fn mix(number: u64) -> u64 {
    let x = number.wrapping_add(0x51_7cc1_b727_220a).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// A hash function with a fixed secret.
pub trait KeyHash: Clone + Send + Sync + 'static {
    /// The hash of a key.
    fn hash(&self, key: &Key) -> HashKey;
}

/// foldhash: keyed, and the fastest that we know.
#[derive(Clone, Debug)]
pub struct Fold(FixedState);

impl Default for Fold {
    fn default() -> Self {
        Self(FixedState::with_seed(0x0e90_15e0))
    }
}

impl KeyHash for Fold {
    #[inline(always)]
    fn hash(&self, key: &Key) -> HashKey {
        let mut hasher = self.0.build_hasher();
        hasher.write(key);
        HashKey::new(hasher.finish())
    }
}

/// For crates that hash for themselves.
impl BuildHasher for Fold {
    type Hasher = foldhash::fast::FoldHasher<'static>;

    #[inline(always)]
    fn build_hasher(&self) -> Self::Hasher {
        self.0.build_hasher()
    }
}

/// What [`KeyHasher`] does unless told otherwise: SipHash-1-3, which withstands clients who choose
/// their keys.
#[derive(Clone, Debug)]
pub struct Sip(KeyHasher);

const SECRET: [u8; 16] = *b"a shared secret!";

impl Default for Sip {
    fn default() -> Self {
        Self(KeyHasher::new(SECRET))
    }
}

impl KeyHash for Sip {
    #[inline(always)]
    fn hash(&self, key: &Key) -> HashKey {
        self.0.key(key).expect("it is not empty")
    }
}

/// The standard library's hash function, SipHash-1-3 too, for crates that hash for themselves.
#[derive(Clone, Debug)]
pub struct Std(SipHasher13);

impl Default for Std {
    fn default() -> Self {
        Self(SipHasher13::new_with_key(&SECRET))
    }
}

impl BuildHasher for Std {
    type Hasher = SipHasher13;

    #[inline(always)]
    fn build_hasher(&self) -> SipHasher13 {
        self.0
    }
}

/// CRC-32, as nginx has it. Anyone can aim at a server with it.
#[derive(Clone, Debug, Default)]
pub struct Crc;

impl KeyHash for Crc {
    #[inline(always)]
    fn hash(&self, key: &Key) -> HashKey {
        Consistent::key(key).expect("it is not empty")
    }
}
