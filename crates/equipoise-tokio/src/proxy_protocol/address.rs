//! Between whom a connection was.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Between whom the connection was that a preamble stands for.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Endpoints {
    /// The proxy's own, such as a health check: the addresses are those of the sockets.
    Local,
    /// Not known, or of a kind that can't be told: the addresses are those of the sockets.
    Unknown,
    /// Between IP addresses.
    Inet {
        /// Over what.
        transport: Transport,
        /// The client.
        source: SocketAddr,
        /// Where it connected to.
        destination: SocketAddr,
    },
    /// Between Unix sockets.
    Unix {
        /// Over what.
        transport: Transport,
        /// The client.
        source: UnixAddress,
        /// Where it connected to.
        destination: UnixAddress,
    },
}

/// What a connection went over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(clippy::exhaustive_enums, reason = "version 2 has no others")]
pub enum Transport {
    /// TCP, or a Unix stream.
    Stream,
    /// UDP, or Unix datagrams.
    Datagram,
}

/// The name of a Unix socket: a path, nothing, or a NUL and an abstract name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct UnixAddress([u8; UnixAddress::LENGTH]);

/// Two IP addresses of one family, as they are written.
pub(super) enum Pair {
    V4([Ipv4Addr; 2]),
    V6([Ipv6Addr; 2]),
}

impl Endpoints {
    /// Of a TCP connection.
    pub const fn tcp(source: SocketAddr, destination: SocketAddr) -> Self {
        Self::Inet { transport: Transport::Stream, source, destination }
    }
}

impl UnixAddress {
    /// Bytes that a name has in a preamble; a shorter one is filled with NULs.
    pub const LENGTH: usize = 108;

    /// The name, unless it has more than 108 bytes.
    pub fn new(name: &[u8]) -> Option<Self> {
        let mut bytes = [0; Self::LENGTH];
        bytes.get_mut(..name.len())?.copy_from_slice(name);
        Some(Self(bytes))
    }

    /// The name without the NULs that fill it up. An abstract one begins with a NUL.
    pub fn name(&self) -> &[u8] {
        let used = self.0.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        match self.0.iter().position(|byte| *byte == 0) {
            // What follows a path's NUL is left from something else.
            Some(end @ 1..) => &self.0[..end],
            _ => &self.0[..used],
        }
    }

    pub(super) const fn bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }
}

impl fmt::Debug for UnixAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UnixAddress(\"{}\")", self.name().escape_ascii())
    }
}

impl Pair {
    pub(super) const fn of(source: IpAddr, destination: IpAddr) -> Self {
        match (source.to_canonical(), destination.to_canonical()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => Self::V4([source, destination]),
            _ => Self::V6([v6(source), v6(destination)]),
        }
    }
}

const fn v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}
