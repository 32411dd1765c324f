//! What a key is made from.

use alloc::borrow::Cow;
use core::net::SocketAddr;

/// What a proxy knows of a request or a connection. It implements the methods whose answers it
/// has; to the others it answers `None`, and a key of such parts is missing.
///
/// Where there are several headers, cookies or parameters of a name, **the first one counts**, even
/// if it is empty.
///
/// ```
/// use equipoise_hash::key::{KeyHasher, KeyPart, KeySource, KeySpec};
/// use std::net::SocketAddr;
///
/// /// All that a TCP proxy sees.
/// struct Connection {
///     client: SocketAddr,
///     local: SocketAddr,
/// }
///
/// impl KeySource for Connection {
///     fn client(&self) -> Option<SocketAddr> {
///         Some(self.client)
///     }
///     fn local(&self) -> Option<SocketAddr> {
///         Some(self.local)
///     }
/// }
///
/// let (client, local) = ("192.0.2.1:4321".parse()?, "192.0.2.2:443".parse()?);
/// let (connection, hasher) = (Connection { client, local }, KeyHasher::new([0; 16]));
/// assert!(KeySpec::from(KeyPart::connection()).key(&connection, &hasher).is_some());
/// assert!(KeySpec::from(KeyPart::sni()).key(&connection, &hasher).is_none());
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
pub trait KeySource {
    /// The client's address.
    fn client(&self) -> Option<SocketAddr> {
        None
    }

    /// The address that the client connected to.
    fn local(&self) -> Option<SocketAddr> {
        None
    }

    /// The first header line of this name, which is in lower case.
    fn header(&self, name: &str) -> Option<&[u8]> {
        let _ = name;
        None
    }

    /// The first cookie of this name.
    fn cookie(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        let _ = name;
        None
    }

    /// The first query parameter of this name; both decoded.
    fn query(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        let _ = name;
        None
    }

    /// The path as it was sent: not decoded, without the query.
    fn path(&self) -> Option<&[u8]> {
        None
    }

    /// The host name that the client gave in its TLS ClientHello.
    fn sni(&self) -> Option<&[u8]> {
        None
    }
}

impl<Q: KeySource + ?Sized> KeySource for &Q {
    fn client(&self) -> Option<SocketAddr> {
        (**self).client()
    }
    fn local(&self) -> Option<SocketAddr> {
        (**self).local()
    }
    fn header(&self, name: &str) -> Option<&[u8]> {
        (**self).header(name)
    }
    fn cookie(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        (**self).cookie(name)
    }
    fn query(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        (**self).query(name)
    }
    fn path(&self) -> Option<&[u8]> {
        (**self).path()
    }
    fn sni(&self) -> Option<&[u8]> {
        (**self).sni()
    }
}
