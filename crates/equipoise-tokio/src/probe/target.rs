//! Whom to ask.

use std::net::{Ipv6Addr, SocketAddr};

use super::InvalidProbe;
use crate::socket::{StreamAddr, UnixPath};

/// Whom to ask: an address, and the name under which.
///
/// The address need not be the one that requests go to: a check can have a port of its own.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Target {
    address: StreamAddr,
    host: String,
}

impl Target {
    /// A target whose host is the address itself.
    pub fn new(address: SocketAddr) -> Self {
        // Without the zone of an IPv6 address, which means nothing to the backend.
        let host = SocketAddr::new(address.ip(), address.port()).to_string();
        Self { address: address.into(), host }
    }

    /// A target at a Unix socket. Its host is `localhost`, until another one is set.
    pub fn unix(path: UnixPath) -> Self {
        Self { address: StreamAddr::Unix(path), host: "localhost".to_owned() }
    }

    /// Sets the name: what the `Host` header says, and without the port what a certificate is
    /// checked against.
    ///
    /// # Errors
    /// [`InvalidProbe::Host`], if it is not a host name or an address (IPv6 in brackets), with a port
    /// or without.
    pub fn with_host(self, host: &str) -> Result<Self, InvalidProbe> {
        check_host(host)?;
        Ok(Self { host: host.to_owned(), ..self })
    }

    /// Where to connect to.
    pub const fn address(&self) -> &StreamAddr {
        &self.address
    }

    /// The name, with a port if one was given.
    pub fn host(&self) -> &str {
        &self.host
    }
}

/// Checks `name`, `name:port`, `[v6]` or `[v6]:port`.
pub(super) fn check_host(host: &str) -> Result<(), InvalidProbe> {
    let (name, port) = split(host);
    let is_name = match name.strip_prefix('[') {
        Some(v6) => v6.strip_suffix(']').is_some_and(|v6| v6.parse::<Ipv6Addr>().is_ok()),
        None => {
            (1..=253).contains(&name.len())
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
        }
    };
    let is_port = port.is_none_or(|port| {
        port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    if is_name && is_port { Ok(()) } else { Err(InvalidProbe::Host(host.to_owned())) }
}

/// The name, its brackets included, and the port.
fn split(host: &str) -> (&str, Option<&str>) {
    match host.rsplit_once(':') {
        // The last colon of an address in brackets is not before a port.
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        _ => (host, None),
    }
}

/// The name alone, as a certificate has it.
#[cfg(feature = "tls")]
pub(super) fn bare_name(host: &str) -> &str {
    let (name, _) = split(host);
    name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_or_addresses_with_a_port_or_without() {
        for good in [
            "a",
            "db-1.example.com",
            "db_1",
            "a:80",
            "10.0.0.1",
            "10.0.0.1:8080",
            "[::1]",
            "[::1]:80",
        ] {
            assert_eq!(check_host(good), Ok(()), "{good}");
        }
        let long = "a".repeat(254);
        for bad in [
            "", ":80", "a:", "a:0", "a:65536", "a:+80", "a b", "a\r\nb", "é", "::1", "[::1",
            "[::1]x", "[a]", "a/b", "u@a", "a:80:80", &long,
        ] {
            assert_eq!(check_host(bad), Err(InvalidProbe::Host(bad.to_owned())), "{bad}");
        }
    }

    #[test]
    fn the_address_is_the_host_until_one_is_set() {
        let target = Target::new("[fe80::1%3]:80".parse().unwrap());
        assert_eq!(target.host(), "[fe80::1]:80");
        assert_eq!(target.with_host("db:81").unwrap().host(), "db:81");
        let target = Target::unix(UnixPath::new("/run/db.sock").unwrap());
        assert_eq!(target.host(), "localhost");
        assert_eq!(target.address().to_string(), "unix:/run/db.sock");
    }

    #[cfg(feature = "tls")]
    #[test]
    fn a_certificate_has_the_name_without_port_and_brackets() {
        assert_eq!(bare_name("[::1]:80"), "::1");
        assert_eq!(bare_name("[::1]"), "::1");
        assert_eq!(bare_name("db:81"), "db");
        assert_eq!(bare_name("db"), "db");
    }
}
