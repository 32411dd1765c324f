//! Who may say who the client is.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

/// Where a connection comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(clippy::exhaustive_enums, reason = "there are no other stream sockets")]
pub enum Source {
    /// An IP address.
    Ip(IpAddr),
    /// Over a Unix socket: whoever may open its file.
    Unix,
}

/// Networks whose preambles are believed, and whether those are that come over Unix sockets.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Trusted {
    networks: Vec<IpNet>,
    unix: bool,
}

/// A text that is no network.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BadNetwork {
    /// The text.
    pub given: String,
}

impl Trusted {
    /// These networks, such as `10.0.0.0/8` or `2001:db8::/32`, and single addresses; `unix` stands for all
    /// that comes over Unix sockets.
    ///
    /// # Errors
    /// One that is none of these, or has more bits than its prefix: `10.0.0.1/8` is half a mistake.
    pub fn new<'a>(sources: impl IntoIterator<Item = &'a str>) -> Result<Self, BadNetwork> {
        let mut trusted = Self::default();
        for source in sources {
            match source {
                "unix" => trusted.unix = true,
                _ => trusted.networks.push(network(source)?),
            }
        }
        Ok(trusted)
    }

    /// Whether this source is one of them. Linear in their number. An IPv4 address that is written as
    /// IPv6 (`::ffff:10.0.0.1`) counts as IPv4.
    pub fn contains(&self, source: impl Into<Source>) -> bool {
        match source.into() {
            Source::Ip(address) => {
                let address = address.to_canonical();
                self.networks.iter().any(|network| network.contains(&address))
            }
            Source::Unix => self.unix,
        }
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.networks.is_empty() && !self.unix
    }
}

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Self {
        Self::Ip(address)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix => f.write_str("unix:"),
        }
    }
}

fn network(text: &str) -> Result<IpNet, BadNetwork> {
    let bad = || BadNetwork { given: text.to_owned() };
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.to_canonical().into());
    }
    let network: IpNet = text.parse().map_err(|_| bad())?;
    Some(network).filter(|network| network.trunc() == *network).ok_or_else(bad)
}

impl fmt::Display for BadNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` is neither an address nor a network nor `unix`",
            self.given.escape_debug()
        )?;
        f.write_str(" (`10.0.0.0/8`; no bits beyond the prefix)")
    }
}

impl std::error::Error for BadNetwork {}
