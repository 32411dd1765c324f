//! Who may say who the client is.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

/// Networks whose preambles are believed.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Trusted(Vec<IpNet>);

/// A text that is no network.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BadNetwork {
    /// The text.
    pub given: String,
}

impl Trusted {
    /// These networks, such as `10.0.0.0/8` or `2001:db8::/32`, and single addresses.
    ///
    /// # Errors
    /// One that is neither, or has more bits than its prefix: `10.0.0.1/8` is half a mistake.
    pub fn new<'a>(networks: impl IntoIterator<Item = &'a str>) -> Result<Self, BadNetwork> {
        networks.into_iter().map(network).collect::<Result<_, _>>().map(Self)
    }

    /// Whether this address is in one of them. Linear in their number. An IPv4 address that is written as
    /// IPv6 (`::ffff:10.0.0.1`) counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
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
        write!(f, "`{}` is neither an address nor a network", self.given.escape_debug())?;
        f.write_str(" (`10.0.0.0/8`; no bits beyond the prefix)")
    }
}

impl std::error::Error for BadNetwork {}
