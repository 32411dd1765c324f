//! The hash over the parts of a key.

use core::fmt;
use core::hash::{BuildHasher, Hasher};

use siphasher::sip::SipHasher13;

use crate::HashKey;

/// Hashes the parts of a key, each with its length in front.
///
/// The default is SipHash-1-3 under a secret of 128 bits. It is the choice where clients pick the
/// keys: without the secret nobody can compute which keys meet. Where nobody hostile picks them,
/// [`with_hasher`](Self::with_hasher) takes any [`BuildHasher`].
///
/// ```
/// use equipoise_hash::key::KeyHasher;
///
/// let hasher = KeyHasher::new([7; 16]);
/// let shard_key = hasher.key("user-7").expect("it is not empty");
/// assert_eq!(hasher.key_of([&b"user-7"[..]]), Some(shard_key));
///
/// // Where one part ends matters, and a part that is empty or missing is no key at all.
/// assert_ne!(hasher.key_of([&b"ab"[..], b"c"]), hasher.key_of([&b"a"[..], b"bc"]));
/// assert_eq!(hasher.key(""), None);
/// assert_eq!(hasher.key_of([Some(&b"ab"[..]), None]), None);
/// ```
///
/// # What is hashed
/// For each part its length in bytes as a 64-bit number, the least significant byte first, and then
/// its bytes; nothing else. So a key can be computed anywhere. With the secret `00 01 02 ... 0f`:
///
/// | parts | key |
/// |---|---|
/// | `user-7` | `d23522fb8b2a1990` |
/// | `ab`, `c` | `7692690a40dac838` |
/// | `a`, `bc` | `512651db5d4b1542` |
/// | 192.0.2.1, as `c0 00 02 01` | `fb5e2e46b6071ad8` |
///
/// # Complexity
/// Linear in the bytes; allocates nothing.
#[derive(Clone, Copy)]
pub struct KeyHasher<S = SipHash13> {
    build: S,
}

impl KeyHasher {
    /// SipHash-1-3 under this secret. Balancers that are to agree have the same one.
    pub const fn new(secret: [u8; 16]) -> Self {
        Self::with_hasher(SipHash13::new(secret))
    }
}

impl<S> KeyHasher<S> {
    /// Another hash function. To be the same on every platform, its `write` must be.
    pub const fn with_hasher(build: S) -> Self {
        Self { build }
    }
}

impl<S: BuildHasher> KeyHasher<S> {
    /// The key of one part; `None` if it is empty.
    pub fn key(&self, part: impl AsRef<[u8]>) -> Option<HashKey> {
        self.key_of([part.as_ref()])
    }

    /// The key of several parts, in this order; `None` if one is missing or empty, or if there is
    /// none. Takes slices, or options of slices.
    pub fn key_of<'a, P>(&self, parts: impl IntoIterator<Item = P>) -> Option<HashKey>
    where
        P: Into<Option<&'a [u8]>>,
    {
        let mut parts = parts.into_iter().peekable();
        parts.peek()?;
        let mut sum = self.start();
        for part in parts {
            sum.add(part.into().filter(|part| !part.is_empty())?);
        }
        Some(sum.finish())
    }

    /// A key of no parts yet.
    pub(super) fn start(&self) -> Sum<S::Hasher> {
        Sum(self.build.build_hasher())
    }
}

impl<S> fmt::Debug for KeyHasher<S> {
    /// Shows nothing of the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyHasher").finish_non_exhaustive()
    }
}

/// A key in the making.
pub(super) struct Sum<H>(H);

impl<H: Hasher> Sum<H> {
    /// Adds a part. `Hash for [u8]` is no help: its length is a `usize`, in the platform's order.
    pub(super) fn add(&mut self, part: &[u8]) {
        self.add_length(part.len());
        self.0.write(part);
    }

    /// Adds a part as it is in lower case, without making a copy of it.
    pub(super) fn add_lower_case(&mut self, part: &[u8]) {
        self.add_length(part.len());
        let mut lower = [0; 64];
        for chunk in part.chunks(lower.len()) {
            let lower = &mut lower[..chunk.len()];
            lower.copy_from_slice(chunk);
            lower.make_ascii_lowercase();
            self.0.write(lower);
        }
    }

    fn add_length(&mut self, length: usize) {
        self.0.write(&(length as u64).to_le_bytes());
    }

    pub(super) fn finish(self) -> HashKey {
        HashKey::new(self.0.finish())
    }
}

/// Makes SipHash-1-3 hashers under a secret.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SipHash13 {
    secret: [u8; 16],
}

impl SipHash13 {
    /// The secret's first eight bytes are SipHash's `k0`, the least significant first; the other
    /// eight are `k1`.
    pub const fn new(secret: [u8; 16]) -> Self {
        Self { secret }
    }
}

impl fmt::Debug for SipHash13 {
    /// Shows nothing of the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SipHash13").finish_non_exhaustive()
    }
}

impl BuildHasher for SipHash13 {
    type Hasher = SipHasher;

    #[inline]
    fn build_hasher(&self) -> SipHasher {
        SipHasher { build: *self, short: [0; SHORT], len: 0, long: None }
    }
}

/// What [`SipHash13`] makes.
///
/// It keeps what it is given until there is more than 64 bytes of it: a short text is hashed in one
/// go, in two thirds of the time.
#[derive(Clone)]
pub struct SipHasher {
    build: SipHash13,
    short: [u8; SHORT],
    len: usize,
    /// Once there is more.
    long: Option<SipHasher13>,
}

const SHORT: usize = 64;

impl fmt::Debug for SipHasher {
    /// Shows nothing of its state, which the secret is a part of.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SipHasher").finish_non_exhaustive()
    }
}

impl SipHasher {
    #[cold]
    #[inline(never)]
    fn write_long(&mut self, bytes: &[u8]) {
        let long = self.long.get_or_insert_with(|| {
            let mut long = SipHasher13::new_with_key(&self.build.secret);
            long.write(&self.short[..self.len]);
            long
        });
        long.write(bytes);
        // Nothing fits behind it any more.
        self.len = SHORT;
    }
}

impl Hasher for SipHasher {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        match self.short.get_mut(self.len..self.len + bytes.len()) {
            Some(place) if self.long.is_none() => {
                place.copy_from_slice(bytes);
                self.len += bytes.len();
            }
            _ => self.write_long(bytes),
        }
    }

    #[inline]
    fn finish(&self) -> u64 {
        match &self.long {
            Some(long) => long.finish(),
            None => SipHasher13::new_with_key(&self.build.secret).hash(&self.short[..self.len]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    const SECRET: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

    /// Computed by an implementation of SipHash-1-3 in Python, from the paper.
    #[test]
    fn keys_are_what_the_documentation_says() {
        let hasher = KeyHasher::new(SECRET);
        let key = |parts: &[&[u8]]| hasher.key_of(parts.iter().copied()).unwrap().get();
        assert_eq!(key(&[b"user-7"]), 0xd235_22fb_8b2a_1990);
        assert_eq!(key(&[b"ab", b"c"]), 0x7692_690a_40da_c838);
        assert_eq!(key(&[b"a", b"bc"]), 0x5126_51db_5d4b_1542);
        assert_eq!(key(&[&[192, 0, 2, 1]]), 0xfb5e_2e46_b607_1ad8);
    }

    #[test]
    fn no_parts_and_empty_parts_are_no_key() {
        let hasher = KeyHasher::new(SECRET);
        assert_eq!(hasher.key_of([] as [&[u8]; 0]), None);
        assert_eq!(hasher.key_of([&b""[..]]), None);
        assert_eq!(hasher.key_of([&b"a"[..], b""]), None);
        assert_eq!(hasher.key_of([None, Some(&b"a"[..])]), None);
    }

    #[test]
    fn the_secret_matters_and_is_not_shown() {
        let (one, other) = (KeyHasher::new(*b"0123456789abcdef"), KeyHasher::new(SECRET));
        assert_ne!(one.key("a"), other.key("a"));
        let shown = format!("{one:?} {:?} {:?}", one.build, one.build.build_hasher());
        let expected = "KeyHasher { .. } SipHash13 { .. } SipHasher { .. }";
        assert_eq!(shown, expected);
    }

    /// A hash function that is the identity: two inputs have the same key only if they are equal.
    #[derive(Clone, Default)]
    struct Transcript(core::cell::RefCell<Vec<u8>>);

    impl Hasher for Transcript {
        fn write(&mut self, bytes: &[u8]) {
            self.0.borrow_mut().extend_from_slice(bytes);
        }
        fn finish(&self) -> u64 {
            unreachable!("only the transcript is read")
        }
    }

    fn transcript(parts: &[Vec<u8>]) -> Vec<u8> {
        let mut sum = Sum(Transcript::default());
        for part in parts {
            sum.add(part);
        }
        sum.0.0.into_inner()
    }

    /// Parts of few different bytes, that a split at another place is likely to equal.
    fn parts() -> impl Strategy<Value = Vec<Vec<u8>>> {
        prop::collection::vec(prop::collection::vec(0_u8..3, 1..12), 1..5)
    }

    proptest! {
        #[test]
        fn text_in_any_pieces_has_the_hash_of_the_whole(
            pieces in proptest::collection::vec(
                proptest::collection::vec(any::<u8>(), 0..50), 0..8,
            ),
        ) {
            let mut hasher = SipHash13::new(SECRET).build_hasher();
            pieces.iter().for_each(|piece| hasher.write(piece));
            let whole = SipHasher13::new_with_key(&SECRET).hash(&pieces.concat());
            prop_assert_eq!(hasher.finish(), whole);
        }

        #[test]
        fn no_other_split_is_hashed_alike(list in parts(), at in any::<prop::sample::Index>()) {
            let whole = list.concat();
            let at = at.index(whole.len());
            let split = [whole[..at].to_vec(), whole[at..].to_vec()];
            if split[..] != list[..] {
                prop_assert_ne!(transcript(&split), transcript(&list));
            }
        }

        #[test]
        fn lower_case_is_hashed_as_a_lower_case_copy(part in prop::collection::vec(any::<u8>(), 0..300)) {
            let hasher = KeyHasher::new(SECRET);
            let (mut lowered, mut copied) = (hasher.start(), hasher.start());
            lowered.add_lower_case(&part);
            copied.add(&part.to_ascii_lowercase());
            prop_assert_eq!(lowered.finish(), copied.finish());
        }
    }
}
