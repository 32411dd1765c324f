//! Who the client is, from one proxy to the next: the PROXY protocol, versions 1 and 2.
//!
//! A proxy that opens a connection for a client writes a preamble first, with the client's address.
//! [`Header::encode`] makes one, [`decode`] takes one apart, both without I/O; [`Receiver`] reads one
//! from a stream, from sources that may be trusted with it.
//!
//! Source: [the specification](https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt) (Willy
//! Tarreau). Why this is not a crate of somebody else's is in the decision record 0013.
//!
//! ```
//! use equipoise_tokio::proxy_protocol::{Decoded, Header, decode};
//!
//! let line = b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\nGET / HTTP/1.1\r\n";
//! let Ok(Decoded::Whole(header, length)) = decode(line) else { panic!("it is a good one") };
//! assert_eq!(header.source(), Some("192.168.0.1:56324".parse()?));
//! assert_eq!(&line[length..], b"GET / HTTP/1.1\r\n");
//!
//! // To a backend, in binary and with a checksum.
//! let (client, local) = ("[2001:db8::1]:4321".parse()?, "192.0.2.1:443".parse()?);
//! let bytes = Header::v2(client, local).with_crc32c().encode();
//! assert!(matches!(decode(&bytes), Ok(Decoded::Whole(header, _)) if header.source() == Some(client)));
//! # Ok::<(), std::net::AddrParseError>(())
//! ```

mod address;
mod error;
mod read;
mod tlv;
mod trust;
mod v1;
mod v2;

pub use address::{Endpoints, Transport, UnixAddress};
pub use error::{Invalid, ReadError};
pub use read::{Mode, Preamble, Receiver};
pub use tlv::{Tlv, TlvTooLong, Tlvs, kind};
pub use trust::{BadNetwork, Source, Trusted};

use std::net::SocketAddr;

/// The longest preamble that is read, in bytes: 16, two Unix addresses, the most TLVs, and a checksum.
pub const MAX_LENGTH: usize = 16 + 216 + Tlvs::MAX + 7;

/// Which of the two formats.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(clippy::exhaustive_enums, reason = "there are no others")]
pub enum Version {
    /// A line of text.
    V1,
    /// Binary, with TLVs.
    V2,
}

/// A preamble.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Header {
    /// Its format.
    pub version: Version,
    /// Between whom the connection was that it stands for.
    pub endpoints: Endpoints,
    /// What else it says. Version 1 says nothing else.
    pub tlvs: Tlvs,
    /// Whether it has a checksum, which is right. Version 1 has none.
    pub crc32c: bool,
}

/// What some bytes are the beginning of.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(clippy::exhaustive_enums, reason = "there is nothing else that they can be")]
pub enum Decoded {
    /// A preamble, and its length in bytes. What follows is the client's.
    Whole(Box<Header>, usize),
    /// A preamble, or not yet known: more bytes will tell. There are fewer than [`MAX_LENGTH`].
    Incomplete {
        /// The signature is there, so that nothing but a preamble can follow.
        signed: bool,
    },
    /// Something else.
    Other,
}

const V1_SIGNATURE: &[u8] = b"PROXY ";
const V2_SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// What these bytes are the beginning of. Linear in the length of the preamble; nothing is allocated
/// before all of it is there, and then no more than its TLVs.
///
/// # Errors
/// A preamble with a mistake, as soon as that is there.
pub fn decode(bytes: &[u8]) -> Result<Decoded, Invalid> {
    for (signature, decode) in [
        (V1_SIGNATURE, v1::decode as fn(&[u8]) -> Result<Decoded, Invalid>),
        (V2_SIGNATURE, v2::decode),
    ] {
        if bytes.starts_with(signature) {
            return decode(bytes);
        }
        if signature.starts_with(bytes) {
            return Ok(Decoded::Incomplete { signed: false });
        }
    }
    Ok(Decoded::Other)
}

impl Header {
    /// In version 1, for a TCP connection of a client to this address.
    pub const fn v1(source: SocketAddr, destination: SocketAddr) -> Self {
        Self::new(Version::V1, Endpoints::tcp(source, destination))
    }

    /// In version 2, for a TCP connection of a client to this address.
    pub const fn v2(source: SocketAddr, destination: SocketAddr) -> Self {
        Self::new(Version::V2, Endpoints::tcp(source, destination))
    }

    /// In version 2, for a connection of the proxy's own, such as a health check.
    pub const fn local() -> Self {
        Self::new(Version::V2, Endpoints::Local)
    }

    /// Without TLVs or a checksum.
    pub const fn new(version: Version, endpoints: Endpoints) -> Self {
        Self { version, endpoints, tlvs: Tlvs::new(), crc32c: false }
    }

    /// The same with a checksum, in version 2.
    #[must_use]
    pub fn with_crc32c(self) -> Self {
        Self { crc32c: true, ..self }
    }

    /// The client's address, if this says one and it is an IP address.
    pub const fn source(&self) -> Option<SocketAddr> {
        match self.endpoints {
            Endpoints::Inet { source, .. } => Some(source),
            _ => None,
        }
    }

    /// The address that the client connected to, if this says one and it is an IP address.
    pub const fn destination(&self) -> Option<SocketAddr> {
        match self.endpoints {
            Endpoints::Inet { destination, .. } => Some(destination),
            _ => None,
        }
    }

    /// The bytes to send before anything else, at most [`MAX_LENGTH`] of them.
    ///
    /// If one address is IPv4 and the other one IPv6, the former is written as IPv6
    /// (`::ffff:192.0.2.1`), as HAProxy does in version 2; if both are IPv4 in fact, as IPv4. Version 1 knows
    /// TCP alone: for anything else it says `UNKNOWN`, and it leaves TLVs and checksum out.
    pub fn encode(&self) -> Vec<u8> {
        match self.version {
            Version::V1 => v1::encode(&self.endpoints),
            Version::V2 => v2::encode(self),
        }
    }
}
