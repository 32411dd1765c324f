//! What tells sessions apart: the keyed digest of a session's id.

use core::fmt;
use core::hash::Hasher;

use siphasher::sip::SipHasher13;

/// A session's key: 8 bytes, whatever its id is.
///
/// Tables keep this and never the id. So no secret of a client is in a memory dump, a log or an
/// export, ids that are hostile cannot meet in one place, and an id of a mebibyte takes 8 bytes.
/// A new session meets the key of one of 10⁶ others with a probability of 10⁻¹³, and then follows it to
/// its backend. Nobody can look for such a session without the secret.
///
/// With the feature `serde` it is a string of 16 hexadecimal digits; formats for machines have bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionKey([u8; 8]);

impl SessionKey {
    /// A key that was made before, here or by another balancer with the same secret.
    ///
    /// Tables take the bytes for random. Never pass an id itself: use [`SessionHasher::key`].
    pub const fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    /// The digest.
    pub const fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }

    /// The digest as a number: it is as good as random, so it is the hash for tables, too.
    #[inline]
    pub(crate) const fn hash(&self) -> u64 {
        u64::from_le_bytes(self.0)
    }
}

impl fmt::Debug for SessionKey {
    /// Shows the first four bytes: enough to tell sessions apart in a log, too little to use it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "SessionKey({:08x}..)", u32::from_be_bytes([a, b, c, d]))
    }
}

/// Makes the keys of sessions, by SipHash-1-3 (Aumasson and Bernstein, "SipHash: a fast short-input PRF",
/// 2012).
///
/// Balancers with the same secret agree on keys. Take the secret from a random source: whoever knows
/// it can choose ids that meet in one place.
///
/// ```
/// use equipoise_sticky::SessionHasher;
///
/// let hasher = SessionHasher::new([7; 16]);
/// let key = hasher.key(b"the value of a cookie").expect("it is not empty");
/// assert_eq!(hasher.key(b"the value of a cookie"), Some(key));
///
/// // An empty id is no session: it would pin everybody who has none to one backend.
/// assert_eq!(hasher.key(b""), None);
/// // Of several parts it matters where one ends, and none may be empty.
/// assert_ne!(hasher.key_of([&b"ab"[..], b"c"]), hasher.key_of([&b"a"[..], b"bc"]));
/// assert_eq!(hasher.key_of([&b"ab"[..], b""]), None);
/// ```
///
/// # Complexity
/// Linear in the bytes, about 10 ns for an id of 16 bytes; allocates nothing.
#[derive(Clone, Copy)]
pub struct SessionHasher {
    whole: SipHasher13,
    parts: SipHasher13,
}

impl SessionHasher {
    /// Under this secret: its first eight bytes are SipHash's `k0`, the least significant first, and
    /// the other eight are `k1`.
    pub fn new(secret: [u8; 16]) -> Self {
        let whole = SipHasher13::new_with_key(&secret);
        let (k0, k1) = whole.keys();
        // Another key is another function, so that no id is the same as some list of parts.
        Self { whole, parts: SipHasher13::new_with_keys(k0, !k1) }
    }

    /// The key of an id: its digest, and nothing else is hashed. `None` if it is empty.
    #[inline]
    pub fn key(&self, id: &[u8]) -> Option<SessionKey> {
        if id.is_empty() { None } else { Some(digest(self.whole.hash(id))) }
    }

    /// The key of several parts, in this order: an address and a port, a header and a path. `None` if
    /// one is empty, or if there is none.
    ///
    /// It is the digest of all parts under the secret with the bits of `k1` inverted; before each part
    /// comes its length in bytes as a 64-bit number, the least significant byte first.
    pub fn key_of<'a>(&self, parts: impl IntoIterator<Item = &'a [u8]>) -> Option<SessionKey> {
        let mut parts = parts.into_iter().peekable();
        parts.peek()?;
        let mut hasher = self.parts;
        for part in parts {
            if part.is_empty() {
                return None;
            }
            hasher.write(&(part.len() as u64).to_le_bytes());
            hasher.write(part);
        }
        Some(digest(hasher.finish()))
    }
}

impl fmt::Debug for SessionHasher {
    /// Shows nothing of the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionHasher").finish_non_exhaustive()
    }
}

/// The digest's bytes, as SipHash's reference code writes them.
#[inline]
fn digest(hash: u64) -> SessionKey {
    SessionKey(hash.to_le_bytes())
}

#[cfg(feature = "serde")]
mod stored {
    use alloc::string::String;
    use core::fmt::Write;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::SessionKey;

    impl Serialize for SessionKey {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            if !serializer.is_human_readable() {
                return self.0.serialize(serializer);
            }
            let mut text = String::with_capacity(16);
            for byte in self.0 {
                // Writing to a string never fails.
                _ = write!(text, "{byte:02x}");
            }
            serializer.serialize_str(&text)
        }
    }

    impl<'de> Deserialize<'de> for SessionKey {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            if !deserializer.is_human_readable() {
                return <[u8; 8]>::deserialize(deserializer).map(Self);
            }
            let text = String::deserialize(deserializer)?;
            parse(&text)
                .map(Self)
                .ok_or_else(|| D::Error::custom("key: 16 hexadecimal digits are wanted"))
        }
    }

    fn parse(text: &str) -> Option<[u8; 8]> {
        let digits = text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number =
            if text.len() == 16 && digits { u64::from_str_radix(text, 16).ok() } else { None };
        number.map(u64::to_be_bytes)
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::vec::Vec;

    use super::*;

    fn hasher() -> SessionHasher {
        SessionHasher::new(core::array::from_fn(|i| i as u8))
    }

    #[test]
    fn keys_are_the_same_everywhere() {
        // From a program of its own, after the paper, that first gave the paper's vector of
        // SipHash-2-4. The secret is 00 01 .. 0f.
        let counted: Vec<u8> = (0..63).collect();
        for (id, expected) in [
            (&b"user-7"[..], "0beb1dbaca64ea99"),
            (&counted[..16], "668b907d1add4fcc"),
            (&counted, "a8b3bbb76290199d"),
        ] {
            assert_eq!(hex(&hasher().key(id).unwrap()), expected);
        }
    }

    #[test]
    fn parts_are_no_id_and_no_other_parts() {
        let one = [&b"user-7"[..]];
        assert_ne!(hasher().key_of(one), hasher().key(b"user-7"));
        let mut written = Vec::from(6_u64.to_le_bytes());
        written.extend_from_slice(b"user-7");
        assert_ne!(hasher().key_of(one), hasher().key(&written));
        assert_eq!(hasher().key_of([]), None);
        assert_eq!(hasher().key_of([&b""[..], b"a"]), None);
    }

    #[test]
    fn secrets_give_unrelated_keys_and_are_not_shown() {
        let other = SessionHasher::new([1; 16]);
        assert_ne!(hasher().key(b"user-7"), other.key(b"user-7"));
        assert_eq!(format!("{other:?}"), "SessionHasher { .. }");
        let key = SessionKey::from_bytes(*b"01234567");
        assert_eq!(format!("{key:?}"), "SessionKey(30313233..)");
    }

    #[test]
    fn a_long_id_is_a_key_too() {
        let long = alloc::vec![7; 1 << 20];
        assert_ne!(hasher().key(&long), hasher().key(&long[1..]));
    }

    fn hex(key: &SessionKey) -> alloc::string::String {
        key.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
