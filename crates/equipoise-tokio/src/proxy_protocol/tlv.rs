//! What a preamble of version 2 says besides addresses.

use std::fmt;

/// The types of TLVs that the specification names.
pub mod kind {
    /// The protocol that is spoken over the connection, as TLS (ALPN) has agreed upon.
    pub const ALPN: u8 = 0x01;
    /// The host that the client asked for, as in TLS's SNI.
    pub const AUTHORITY: u8 = 0x02;
    /// The checksum of the preamble, which [`Tlvs`](super::Tlvs) does not have.
    pub const CRC32C: u8 = 0x03;
    /// Nothing: fills up.
    pub const NOOP: u8 = 0x04;
    /// What the sender calls the connection, up to 128 bytes.
    pub const UNIQUE_ID: u8 = 0x05;
    /// The client's TLS connection, with TLVs in it.
    pub const SSL: u8 = 0x20;
    /// The network namespace.
    pub const NETNS: u8 = 0x30;
}

/// One of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(clippy::exhaustive_structs, reason = "it is what its name says")]
pub struct Tlv<'a> {
    /// Its type: see [`kind`].
    pub kind: u8,
    /// Its value.
    pub value: &'a [u8],
}

/// All of them in their order, but for the checksum: that holds for one preamble only, and is written
/// anew for the next.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Tlvs(Vec<u8>);

/// There are more bytes of TLVs than fit. Nothing was changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TlvTooLong;

impl Tlvs {
    /// Bytes that they may have together, 3 of them for each.
    pub const MAX: usize = 4096;

    /// None.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds one after the others. A checksum is not added: [`Header::crc32c`](super::Header::crc32c)
    /// asks for one.
    ///
    /// # Errors
    /// More than [`MAX`](Self::MAX) bytes.
    pub fn push(&mut self, kind: u8, value: &[u8]) -> Result<(), TlvTooLong> {
        if kind == self::kind::CRC32C {
            return Ok(());
        }
        let length = u16::try_from(value.len()).map_err(|_| TlvTooLong)?;
        if self.0.len() + 3 + value.len() > Self::MAX {
            return Err(TlvTooLong);
        }
        self.0.push(kind);
        self.0.extend(length.to_be_bytes());
        self.0.extend(value);
        Ok(())
    }

    /// Puts one in the place of all of its type: where the first of them was, or after the others. As with
    /// [`push`](Self::push), there is no checksum to set. Linear in their bytes.
    ///
    /// # Errors
    /// More than [`MAX`](Self::MAX) bytes; nothing was changed.
    pub fn set(&mut self, kind: u8, value: &[u8]) -> Result<(), TlvTooLong> {
        let mut all = Self::new();
        let mut is_there = false;
        for tlv in self.iter() {
            if tlv.kind != kind {
                all.push(tlv.kind, tlv.value)?;
            } else if !is_there {
                all.push(kind, value)?;
                is_there = true;
            }
        }
        if !is_there {
            all.push(kind, value)?;
        }
        *self = all;
        Ok(())
    }

    /// The value of the first one of this type. Linear in how many there are.
    pub fn get(&self, kind: u8) -> Option<&[u8]> {
        self.iter().find(|tlv| tlv.kind == kind).map(|tlv| tlv.value)
    }

    /// In their order.
    pub fn iter(&self) -> impl Iterator<Item = Tlv<'_>> {
        let mut rest = &self.0[..];
        std::iter::from_fn(move || {
            let (tlv, more) = split(rest)?;
            rest = more;
            Some(tlv)
        })
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The first of these TLVs, and the others.
pub(super) fn split(bytes: &[u8]) -> Option<(Tlv<'_>, &[u8])> {
    let (&[kind, high, low], rest) = bytes.split_first_chunk()?;
    let (value, rest) = rest.split_at_checked(u16::from_be_bytes([high, low]).into())?;
    Some((Tlv { kind, value }, rest))
}

impl fmt::Debug for Tlvs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl fmt::Display for TlvTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "more than {} bytes of TLVs", Tlvs::MAX)
    }
}

impl std::error::Error for TlvTooLong {}
