//! A backend as it is written, on the command line or in a file.

use std::fmt;
use std::net::{Ipv6Addr, SocketAddr};
use std::num::{NonZeroU16, NonZeroU32};
use std::str::FromStr;
use std::sync::Arc;

use equipoise_core::Weight;
use equipoise_tokio::socket::{StreamAddr, UnixPath};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

/// Where a backend is: a host name or an IP address, and a port; or `unix:` and the path of a socket.
///
/// It has one way to be written, which is its identity: names in lower case, IPv6 addresses
/// shortened and in brackets. A path is taken as it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Address(Arc<str>);

impl Address {
    /// The text, `host:port` or `unix:/path`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path, if it is a Unix socket.
    pub fn unix(&self) -> Option<UnixPath> {
        // It was checked when it was read.
        UnixPath::new(self.0.strip_prefix(StreamAddr::UNIX)?).ok()
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self(address.to_string().into())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix(StreamAddr::UNIX) {
            let checked = UnixPath::new(path).map_err(|wrong| format!("backend {wrong}"));
            return checked.map(|_| Self(text.into()));
        }
        let wrong = |why: &str| Err(format!("backend `{text}`: {why}"));
        if text.contains("://") {
            return wrong("give host:port, without a scheme");
        }
        let Some((host, port)) = text.rsplit_once(':') else {
            return wrong("no port; give host:port or unix:/path");
        };
        if text.parse::<Ipv6Addr>().is_ok() || host.parse::<Ipv6Addr>().is_ok() {
            return wrong("put the IPv6 address in brackets, as in [::1]:80");
        }
        match port.parse::<u16>() {
            Ok(1..) if port.bytes().all(|b| b.is_ascii_digit()) => {}
            _ => return wrong(&format!("port `{port}` is not a number from 1 to 65535")),
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Self::from(address));
        }
        let label = |label: &str| {
            !label.is_empty()
                && label.len() <= 63
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        let name = host.strip_suffix('.').unwrap_or(host);
        if name.len() > 253 || !name.split('.').all(label) {
            return wrong(&format!("`{host}` is neither a host name nor an IP address"));
        }
        Ok(Self(text.to_ascii_lowercase().into()))
    }
}

/// A backend as it is written: where it is, and how it takes part.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BackendSpec {
    /// Where it is.
    pub address: Address,
    /// Its share.
    pub weight: Weight,
    /// Used only when no other can be.
    pub backup: bool,
    /// How many requests (or connections, in the L4 proxy) it may have at a time.
    pub max: Option<NonZeroU32>,
    /// Where its health is asked for, if not where its requests go.
    pub check: Option<CheckAddress>,
}

/// Where a backend's health is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CheckAddress {
    /// At another port of the backend.
    Port(NonZeroU16),
    /// Elsewhere.
    Address(Address),
}

impl BackendSpec {
    /// A backend of weight 1, without a limit.
    pub const fn new(address: Address) -> Self {
        Self { address, weight: Weight::ONE, backup: false, max: None, check: None }
    }
}

impl FromStr for BackendSpec {
    type Err = String;

    /// `host:port[,weight=N][,backup][,max=N][,check=PORT]`, or `check=host:port`. A path with a comma in it
    /// has to be written in a table.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(',').map(str::trim);
        let mut spec = Self::new(parts.next().unwrap_or_default().parse()?);
        let mut seen = Vec::new();
        for part in parts {
            let (name, value) = part.split_once('=').map_or((part, None), |(n, v)| (n, Some(v)));
            let wrong = |why: &str| Err(format!("backend `{}`: {why}", spec.address));
            if seen.contains(&name) {
                return wrong(&format!("`{name}` is given twice"));
            }
            seen.push(name);
            match (name, value) {
                ("weight", Some(value)) => match parse_weight(value) {
                    Ok(weight) => spec.weight = weight,
                    Err(why) => return wrong(&why),
                },
                ("max", Some(value)) => match parse_max(value) {
                    Ok(max) => spec.max = Some(max),
                    Err(why) => return wrong(&why),
                },
                ("check", Some(value)) => match value.parse() {
                    Ok(check) => spec.check = Some(check),
                    Err(why) => return wrong(&why),
                },
                ("backup", None) => spec.backup = true,
                _ => {
                    let why = format!(
                        "unknown `{part}`; allowed are weight=N, backup, max=N, check=PORT"
                    );
                    return wrong(&why);
                }
            }
        }
        spec.with_good_check()
    }
}

impl BackendSpec {
    fn with_good_check(self) -> Result<Self, String> {
        match &self.check {
            Some(CheckAddress::Port(port)) if self.address.unix().is_some() => {
                let wrong = "a Unix socket has no port; give an address, as in check=127.0.0.1:";
                Err(format!("backend `{}`: check `{port}`: {wrong}{port}", self.address))
            }
            _ => Ok(self),
        }
    }
}

impl FromStr for CheckAddress {
    type Err = String;

    /// `9000`, `host:9000` or `unix:/path`
    fn from_str(text: &str) -> Result<Self, String> {
        if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
            let wrong = |_| format!("check `{text}` is not a port from 1 to 65535");
            return text.parse().map(Self::Port).map_err(wrong);
        }
        text.parse().map(Self::Address).map_err(|wrong| format!("check: {wrong}"))
    }
}

/// A weight as it is written, in digits.
pub(crate) fn parse_weight(text: &str) -> Result<Weight, String> {
    let number: u64 = text
        .parse()
        .map_err(|_| format!("weight `{text}` is not a number from 0 to {}", Weight::MAX))?;
    Weight::try_from(number).map_err(|error| error.to_string())
}

fn parse_max(text: &str) -> Result<NonZeroU32, String> {
    text.parse().map_err(|_| format!("max `{text}` is not a number from 1 to {}", u32::MAX))
}

impl<'de> Deserialize<'de> for BackendSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextOrTable)
    }
}

/// An untagged enum would say only that nothing matched; this says what is wrong.
struct TextOrTable;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    address: String,
    weight: Option<i64>,
    #[serde(default)]
    backup: bool,
    max: Option<i64>,
    check: Option<CheckText>,
}

/// A port, or an address. Both are checked as text.
struct CheckText(String);

impl<'de> Deserialize<'de> for CheckText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberOrText;
        impl Visitor<'_> for NumberOrText {
            type Value = CheckText;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a port, \"host:port\" or \"unix:/path\"")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<CheckText, E> {
                Ok(CheckText(text.to_owned()))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<CheckText, E> {
                Ok(CheckText(number.to_string()))
            }
        }
        deserializer.deserialize_any(NumberOrText)
    }
}

impl<'de> Visitor<'de> for TextOrTable {
    type Value = BackendSpec;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a backend: \"host:port[,weight=N][,backup][,max=N][,check=PORT]\", or a table with address, weight, \
             backup, max, check")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<BackendSpec, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<BackendSpec, A::Error> {
        let table = Table::deserialize(MapAccessDeserializer::new(map))?;
        let address = table.address.parse().map_err(A::Error::custom)?;
        let max = table.max.map(|max| parse_max(&max.to_string())).transpose();
        let max = max.map_err(A::Error::custom)?;
        let check = table.check.map(|check| check.0.parse()).transpose();
        let check = check.map_err(A::Error::custom)?;
        let weight = table.weight.map(|weight| parse_weight(&weight.to_string())).transpose();
        let weight = weight.map_err(A::Error::custom)?.unwrap_or_default();
        let spec = BackendSpec { address, weight, backup: table.backup, max, check };
        spec.with_good_check().map_err(A::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_form_says_it_all() {
        let spec: BackendSpec = "LocalHost:80,weight=5,backup,max=7".parse().unwrap();
        assert_eq!(spec.address.as_str(), "localhost:80");
        assert_eq!(spec.weight, Weight::new(5));
        assert!(spec.backup);
        assert_eq!(spec.max, NonZeroU32::new(7));
    }

    #[test]
    fn its_health_may_be_asked_for_elsewhere() {
        let check = |text: &str| text.parse::<BackendSpec>().unwrap().check;
        assert_eq!(check("a:80"), None);
        assert_eq!(check("a:80,check=9000"), NonZeroU16::new(9000).map(CheckAddress::Port));
        let elsewhere = Some(CheckAddress::Address("b:9000".parse().unwrap()));
        assert_eq!(check("a:80,check=B:9000"), elsewhere);

        #[derive(Debug, serde::Deserialize)]
        struct File {
            backends: Vec<BackendSpec>,
        }
        let file = |check: &str| {
            let text = format!("backends = [{{ address = \"a:80\", check = {check} }}]");
            toml::from_str(&text).map(|file: File| file.backends[0].check.clone())
        };
        assert_eq!(file("9000"), Ok(NonZeroU16::new(9000).map(CheckAddress::Port)));
        assert_eq!(file("\"b:9000\""), Ok(elsewhere));
        for (bad, named) in
            [("0", "check `0`"), ("-1", "check: "), ("70000", "`70000`"), ("true", "a port")]
        {
            let error = file(bad).unwrap_err().to_string();
            assert!(error.contains(named), "{bad}: {error}");
        }
    }

    #[test]
    fn a_unix_socket_is_written_as_its_path() {
        let spec: BackendSpec = "unix:/run/A.sock,weight=2,check=unix:/run/b".parse().unwrap();
        assert_eq!(spec.address.as_str(), "unix:/run/A.sock");
        assert_eq!(spec.address.unix(), UnixPath::new("/run/A.sock").ok());
        assert_eq!(spec.weight, Weight::new(2));
        assert_eq!(spec.check, "unix:/run/b".parse().map(CheckAddress::Address).ok());
        let of = |text: &str| toml::from_str::<Table>(text).unwrap();
        assert_eq!(of("address = \"unix:/a,b\"").address, "unix:/a,b");
        assert_eq!("unix.example:80".parse::<Address>().unwrap().unix(), None);
    }

    #[test]
    fn an_ipv6_address_has_one_form() {
        let address: Address = "[0:0::0:1]:80".parse().unwrap();
        assert_eq!(address.as_str(), "[::1]:80");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, named) in [
            ("", "no port"),
            ("host", "no port"),
            ("host:", "port ``"),
            ("host:0", "port `0`"),
            ("host:65536", "port `65536`"),
            ("host:+80", "port `+80`"),
            (":80", "neither a host name"),
            ("a b:80", "neither a host name"),
            ("::1:80", "brackets"),
            ("::1", "brackets"),
            ("http://host:80", "without a scheme"),
            ("host:80,weight=70000", "weight 70000 is out of range: 0 to 65535 are allowed"),
            ("host:80,weight=99999999999999999999", "weight `99999999999999999999`"),
            ("host:80,weight=-1", "weight `-1`"),
            ("host:80,weight", "allowed are weight=N"),
            ("host:80,weight=1,weight=2", "`weight` is given twice"),
            ("host:80,max=0", "max `0`"),
            ("host:80,check=0", "check `0` is not a port"),
            ("host:80,check=65536", "check `65536` is not a port"),
            ("host:80,check=", "check: backend ``: no port"),
            ("host:80,check=http://a:1", "without a scheme"),
            ("host:80,backup=1", "unknown `backup=1`"),
            ("host:80,", "unknown ``"),
            ("unix:", "backend `unix:`: give an absolute path"),
            ("unix:run/a.sock", "backend `unix:run/a.sock`: give an absolute path"),
            ("unix:/a\0", "backend `unix:/a\\0`: the path has a NUL"),
            ("unix:/a,check=80", "backend `unix:/a`: check `80`: a Unix socket has no port"),
            (&format!("unix:/{}", "a".repeat(107)), "more than 107 bytes"),
        ] {
            let error = text.parse::<BackendSpec>().unwrap_err();
            assert!(error.contains(named), "{text}: {error}");
        }
    }
}
