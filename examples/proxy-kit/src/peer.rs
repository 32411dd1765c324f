//! Who is at the other end of a connection.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use equipoise_tokio::proxy_protocol::Source;

/// Who is at the other end of a connection. It is written as `192.0.2.1:4321`, or `unix:`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Peer {
    /// An IP address and port.
    Ip(SocketAddr),
    /// A client of a Unix socket, which has no name.
    Unix,
}

impl Peer {
    /// The IP address and port, if it has one.
    pub const fn ip(self) -> Option<SocketAddr> {
        match self {
            Self::Ip(address) => Some(address),
            Self::Unix => None,
        }
    }

    /// Whom to trust, or not.
    pub const fn source(self) -> Source {
        match self {
            Self::Ip(address) => Source::Ip(address.ip()),
            Self::Unix => Source::Unix,
        }
    }
}

impl From<SocketAddr> for Peer {
    fn from(address: SocketAddr) -> Self {
        Self::Ip(address)
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // A client by IPv4 of a listener on `[::]` is the one that it is elsewhere.
            Self::Ip(address) => match address.ip().to_canonical() {
                ip @ IpAddr::V4(_) => SocketAddr::new(ip, address.port()).fmt(f),
                IpAddr::V6(_) => address.fmt(f),
            },
            // As nginx says it.
            Self::Unix => f.write_str("unix:"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_written_the_same_at_every_listener() {
        for (address, written) in [
            ("192.0.2.1:4321", "192.0.2.1:4321"),
            ("[::ffff:192.0.2.1]:4321", "192.0.2.1:4321"),
            ("[fe80::1%3]:4321", "[fe80::1%3]:4321"),
        ] {
            assert_eq!(Peer::Ip(address.parse().unwrap()).to_string(), written);
        }
        assert_eq!(Peer::Unix.to_string(), "unix:");
    }
}
