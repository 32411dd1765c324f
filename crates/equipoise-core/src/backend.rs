//! How a backend is named, found in a snapshot, and weighed.

use core::fmt;
use core::hash::Hasher;
use core::num::NonZeroU16;

use siphasher::sip::SipHasher13;

/// A backend's stable identity.
///
/// It is what survives an update: counters, health, sessions and cursors follow the id, so neither
/// the weight nor the position in a list may be part of it. Give your own number, or hash a name.
///
/// ```
/// use equipoise_core::BackendId;
///
/// assert_eq!(BackendId::new(7).get(), 7);
/// assert_eq!(BackendId::named("10.0.0.1:8080"), BackendId::named("10.0.0.1:8080"));
/// assert_ne!(BackendId::named("10.0.0.1:8080"), BackendId::named("10.0.0.2:8080"));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(transparent))]
pub struct BackendId(u64);

impl BackendId {
    /// An id that the caller chose.
    pub const fn new(id: u64) -> Self {
        Self(id)
    }

    /// The id of a name: its SipHash-1-3 with the key (0, 0), over the UTF-8 bytes and nothing
    /// else.
    ///
    /// The function is fixed: every process, release and platform gives a name the same id, so
    /// balancers that are configured alike agree. Two of a million names collide with a
    /// probability of 3 in 10⁸; a pool refuses a second backend with the same id.
    pub fn named(name: &str) -> Self {
        let mut hasher = SipHasher13::new_with_keys(0, 0);
        hasher.write(name.as_bytes());
        Self(hasher.finish())
    }

    /// The number itself.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Debug for BackendId {
    /// The same digits as `Display`, so that one finds the other.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BackendId({self})")
    }
}

impl fmt::Display for BackendId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A backend's index in one snapshot.
///
/// It means nothing in another snapshot: an update may move every backend. Keep a [`BackendId`]
/// across updates, never a slot.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Slot(u32);

impl Slot {
    /// The slot with this index.
    pub const fn new(index: u32) -> Self {
        Self(index)
    }

    /// The index, for the lists of a [`View`](crate::View).
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// The hash of what a request is routed by (a header, a cookie, an address): the only form in
/// which a policy sees a key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct HashKey(u64);

impl HashKey {
    /// A key that has been hashed already. Hash with a secret seed where clients choose the key:
    /// otherwise they can aim at one backend.
    pub const fn new(hash: u64) -> Self {
        Self(hash)
    }

    /// The hash.
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// A backend's share of the traffic, relative to the other backends: 0 to 65,535.
///
/// A backend of weight 2 gets twice as much as one of weight 1. Weight 0 takes no new requests and
/// keeps its established sessions, as if it were draining.
///
/// ```
/// use equipoise_core::Weight;
///
/// assert_eq!(Weight::default(), Weight::ONE);
/// assert_eq!(Weight::try_from(5_u64).unwrap(), Weight::new(5));
/// let error = Weight::try_from(70_000_u64).unwrap_err();
/// assert_eq!(error.to_string(), "weight 70000 is out of range: 0 to 65535 are allowed");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "u64"))]
pub struct Weight(u16);

impl Weight {
    /// No new requests.
    pub const ZERO: Self = Self(0);
    /// The default: an equal share.
    pub const ONE: Self = Self(1);
    /// The largest weight.
    pub const MAX: Self = Self(u16::MAX);

    /// A weight; every `u16` is one.
    pub const fn new(weight: u16) -> Self {
        Self(weight)
    }

    /// The number itself.
    pub const fn get(self) -> u16 {
        self.0
    }

    /// The number itself, unless it is 0.
    pub const fn non_zero(self) -> Option<NonZeroU16> {
        NonZeroU16::new(self.0)
    }
}

impl Default for Weight {
    fn default() -> Self {
        Self::ONE
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<u16> for Weight {
    fn from(weight: u16) -> Self {
        Self(weight)
    }
}

impl TryFrom<u64> for Weight {
    type Error = WeightError;

    fn try_from(weight: u64) -> Result<Self, WeightError> {
        u16::try_from(weight).map(Self).map_err(|_| WeightError { given: weight })
    }
}

/// A weight over 65,535.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WeightError {
    given: u64,
}

impl fmt::Display for WeightError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "weight {} is out of range: 0 to {} are allowed", self.given, u16::MAX)
    }
}

impl core::error::Error for WeightError {}
