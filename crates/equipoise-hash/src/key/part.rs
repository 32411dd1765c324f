//! One part of a key, as a configuration names it.

use alloc::borrow::Cow;
use alloc::string::{String, ToString};
use core::fmt;
use core::str::FromStr;

use super::value::{Value, first_segments};
use super::{KeyError, KeySource};

/// What a part looks at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum KeyKind {
    /// The client's address.
    Client,
    /// A header.
    Header,
    /// A cookie.
    Cookie,
    /// A query parameter.
    Query,
    /// The beginning of the path.
    Path,
    /// The host name of the TLS ClientHello.
    Sni,
    /// Both ends of the connection.
    Connection,
}

impl KeyKind {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Client,
        Self::Header,
        Self::Cookie,
        Self::Query,
        Self::Path,
        Self::Sni,
        Self::Connection,
    ];

    /// What a configuration calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Header => "header",
            Self::Cookie => "cookie",
            Self::Query => "query",
            Self::Path => "path",
            Self::Sni => "sni",
            Self::Connection => "connection",
        }
    }

    /// What has the name that the part is given.
    pub(super) const fn noun(self) -> &'static str {
        match self {
            Self::Query => "query parameter",
            other => other.name(),
        }
    }
}

impl FromStr for KeyKind {
    type Err = KeyError;

    fn from_str(name: &str) -> Result<Self, KeyError> {
        let kind = Self::ALL.into_iter().find(|kind| kind.name() == name);
        kind.ok_or_else(|| KeyError::UnknownPart { given: name.to_string() })
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One part of a key: something that a request may have. It can't be wrong.
///
/// ```
/// use equipoise_hash::key::KeyPart;
///
/// assert_eq!(KeyPart::header("X-User")?, KeyPart::header("x-user")?);
/// let error = KeyPart::header("x user").unwrap_err();
/// assert_eq!(error.to_string(), "key.header: `x user` is no name of a header");
/// let error = KeyPart::network(0, 64).unwrap_err();
/// assert_eq!(error.to_string(), "key.client.v4: 0 is out of range; allowed are 1 to 32");
/// # Ok::<(), equipoise_hash::key::KeyError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyPart(pub(super) Part);

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Part {
    Client {
        v4: u8,
        v6: u8,
    },
    /// In lower case.
    Header(String),
    Cookie(String),
    Query(String),
    Path {
        depth: u8,
    },
    Sni,
    Connection,
}

impl KeyPart {
    /// The longest name of a header, cookie or parameter, in bytes.
    pub const MAX_NAME: usize = 256;

    /// The client's whole address, without its port.
    ///
    /// Whole, as nginx, HAProxy and Envoy take it: hosts of one data centre share an IPv6 /64, and
    /// as one key they would share one backend. In front of the Internet an IPv6 client chooses its
    /// address within a /64 and changes it daily (RFC 8981): there, take
    /// [`network`](Self::network)`(32, 64)`.
    pub const fn client() -> Self {
        Self(Part::Client { v4: 32, v6: 128 })
    }

    /// The network that the client's address is in: its first `v4_prefix` or `v6_prefix` bits. An
    /// IPv4 address that is written as an IPv6 one is an IPv4 address.
    ///
    /// # Errors
    /// [`KeyError::OutOfRange`]: 1 to 32 and 1 to 128 are allowed. With 0, all clients would be one.
    pub fn network(v4_prefix: u8, v6_prefix: u8) -> Result<Self, KeyError> {
        let v4 = in_range("client.v4", v4_prefix.into(), 32)?;
        let v6 = in_range("client.v6", v6_prefix.into(), 128)?;
        Ok(Self(Part::Client { v4, v6 }))
    }

    /// The first header line of this name, whose case does not matter. Of `Host` only the name
    /// counts: without the port, in lower case, without a dot at its end.
    ///
    /// # Errors
    /// [`KeyError::BadName`]: not a token of RFC 9110.
    pub fn header(name: &str) -> Result<Self, KeyError> {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        let name = named(KeyKind::Header, name, good)?;
        Ok(Self(Part::Header(name.to_ascii_lowercase())))
    }

    /// The first cookie of this name.
    ///
    /// # Errors
    /// [`KeyError::BadName`]: not printable ASCII, or with a space, `=` or `;`.
    pub fn cookie(name: &str) -> Result<Self, KeyError> {
        let good = |byte: u8| byte.is_ascii_graphic() && byte != b'=' && byte != b';';
        Ok(Self(Part::Cookie(named(KeyKind::Cookie, name, good)?)))
    }

    /// The first query parameter of this name; the name is the decoded one.
    ///
    /// # Errors
    /// [`KeyError::BadName`]: empty or too long.
    pub fn query(name: &str) -> Result<Self, KeyError> {
        Ok(Self(Part::Query(named(KeyKind::Query, name, |_| true)?)))
    }

    /// The path down to its first `depth` segments, as it was sent. Of `/a/b/c`, with a depth of 2,
    /// that is `/a/b`. Empty segments don't count, but stay: of `//a/b/c` it is `//a/b`. A path
    /// that has no more segments is the key as a whole: so `/` is, and `/a/` with a depth of 2.
    ///
    /// # Errors
    /// [`KeyError::OutOfRange`]: 0 is not allowed.
    pub fn path(depth: u8) -> Result<Self, KeyError> {
        let depth = in_range("path", depth.into(), u8::MAX)?;
        Ok(Self(Part::Path { depth }))
    }

    /// The host name of the TLS ClientHello, in lower case, without a dot at its end.
    pub const fn sni() -> Self {
        Self(Part::Sni)
    }

    /// The connection: the addresses and ports of both ends.
    pub const fn connection() -> Self {
        Self(Part::Connection)
    }

    /// What it looks at.
    pub const fn kind(&self) -> KeyKind {
        match self.0 {
            Part::Client { .. } => KeyKind::Client,
            Part::Header(_) => KeyKind::Header,
            Part::Cookie(_) => KeyKind::Cookie,
            Part::Query(_) => KeyKind::Query,
            Part::Path { .. } => KeyKind::Path,
            Part::Sni => KeyKind::Sni,
            Part::Connection => KeyKind::Connection,
        }
    }

    /// What the request has for it; `None` if that is nothing.
    pub(super) fn value<'a>(&self, source: &'a (impl KeySource + ?Sized)) -> Option<Value<'a>> {
        match &self.0 {
            Part::Client { v4, v6 } => Some(Value::network(source.client()?.ip(), *v4, *v6)),
            Part::Header(name) if name == "host" => Value::host(source.header(name)?),
            Part::Header(name) => {
                // RFC 9110, section 5.5: white space around a value is not part of it.
                Value::bytes(Cow::Borrowed(source.header(name)?.trim_ascii()))
            }
            Part::Cookie(name) => Value::bytes(source.cookie(name)?),
            Part::Query(name) => Value::bytes(source.query(name)?),
            Part::Path { depth } => {
                Value::bytes(Cow::Borrowed(first_segments(source.path()?, *depth)))
            }
            Part::Sni => Value::host(source.sni()?),
            Part::Connection => Some(Value::ends(source.client()?, source.local()?)),
        }
    }
}

impl FromStr for KeyPart {
    type Err = KeyError;

    /// The short form, as [`KeySpec`](super::KeySpec) has it.
    fn from_str(text: &str) -> Result<Self, KeyError> {
        let (name, setting) = text.split_once('=').map_or((text, None), |(n, s)| (n, Some(s)));
        let part: KeyKind = name.parse()?;
        match (part, setting) {
            (KeyKind::Client, None) => Ok(Self::client()),
            (KeyKind::Sni, None) => Ok(Self::sni()),
            (KeyKind::Connection, None) => Ok(Self::connection()),
            (KeyKind::Header, Some(name)) => Self::header(name),
            (KeyKind::Cookie, Some(name)) => Self::cookie(name),
            (KeyKind::Query, Some(name)) => Self::query(name),
            (KeyKind::Path, Some(depth)) => match depth.parse() {
                Ok(depth) => Self::path(in_range("path", depth, u8::MAX)?),
                Err(_) => Err(KeyError::NoNumber { field: "path", given: depth.to_string() }),
            },
            (KeyKind::Client | KeyKind::Sni | KeyKind::Connection, Some(_)) => {
                Err(KeyError::NoSuchSetting { part })
            }
            (_, None) => Err(KeyError::NoSetting { part }),
        }
    }
}

fn named(part: KeyKind, name: &str, good: impl Fn(u8) -> bool) -> Result<String, KeyError> {
    let fits = (1..=KeyPart::MAX_NAME).contains(&name.len());
    if fits && name.bytes().all(good) {
        return Ok(name.to_string());
    }
    Err(KeyError::BadName { part, given: name.to_string() })
}

/// A number from 1 to `max`.
pub(super) fn in_range(field: &'static str, given: u64, max: u8) -> Result<u8, KeyError> {
    let error = KeyError::OutOfRange { field, given, min: 1, max: max.into() };
    u8::try_from(given).ok().filter(|number| (1..=max).contains(number)).ok_or(error)
}
