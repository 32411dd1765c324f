//! Which pool takes which host and protocol.

use std::collections::BTreeMap;

use proxy_kit::StartError;
use proxy_kit::settings::{PoolSettings, pool_index};
use serde::Deserialize;

use crate::client_hello::Asked;

/// A route, as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RouteSection {
    sni: Option<Vec<String>>,
    alpn: Option<Vec<String>>,
    pool: String,
}

/// The routes of a listener.
///
/// The host decides first: a route for this very name goes before one for names below it, of which the
/// longest goes first, and that before one for any name. Among those for the same, the protocol
/// decides: a route that asks for one that the client offers goes before one that does not ask, and
/// the first of them that is written before the others.
///
/// A look takes as many steps as the name has labels, however many routes there are, and one for each
/// route of the same name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Routes {
    exact: BTreeMap<String, Vec<Choice>>,
    /// By the name below which they are.
    below: BTreeMap<String, Vec<Choice>>,
    /// For any name, and none.
    any: Vec<Choice>,
}

/// Where to go with one of these protocols, or with any.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Choice {
    alpn: Option<Vec<Vec<u8>>>,
    pool: usize,
}

impl Routes {
    /// The most routes of a listener.
    const MAX: usize = 10_000;

    /// Checks what is written; errors call the listener `at`.
    pub(crate) fn new(
        at: &str,
        sections: &[RouteSection],
        pools: &[PoolSettings],
    ) -> Result<Self, StartError> {
        if sections.len() > Self::MAX {
            let wrong = format!("more than {} routes", Self::MAX);
            return Err(StartError::new(format!("{at}.routes"), wrong));
        }
        let mut routes = Self::default();
        for (index, section) in sections.iter().enumerate() {
            let at = format!("{at}.routes[{index}]");
            if section.sni.is_none() && section.alpn.is_none() {
                return Err(StartError::new(at, "give `sni`, `alpn` or both"));
            }
            let alpn = section.alpn.as_ref().map(|alpn| protocols(&at, alpn)).transpose()?;
            let pool = pool_index(&format!("{at}.pool"), &section.pool, pools)?;
            let choice = Choice { alpn, pool };
            let Some(names) = &section.sni else {
                add(&mut routes.any, choice, &format!("{at}.alpn"))?;
                continue;
            };
            if names.is_empty() {
                return Err(StartError::new(format!("{at}.sni"), "no name"));
            }
            for (index, name) in names.iter().enumerate() {
                let at = format!("{at}.sni[{index}]");
                let name = name.to_ascii_lowercase();
                let (map, name) = match name.strip_prefix("*.") {
                    Some(below) => (&mut routes.below, below),
                    None => (&mut routes.exact, &*name),
                };
                if !is_name(name) {
                    let wrong = format!("`{name}` is neither a name nor `*.` and a name");
                    return Err(StartError::new(at, wrong));
                }
                add(map.entry(name.to_owned()).or_default(), choice.clone(), &at)?;
            }
        }
        Ok(routes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.below.is_empty() && self.any.is_empty()
    }

    /// The index of the pool that takes who asks for this; none if no route does.
    pub(crate) fn pool(&self, asked: &Asked) -> Option<usize> {
        let choose = |choices: &Vec<Choice>| choose(choices, &asked.alpn);
        let by_name = asked.sni.as_deref().and_then(|name| {
            self.exact.get(name).and_then(choose).or_else(|| {
                let mut labels = name;
                while let Some((_, below)) = labels.split_once('.') {
                    if let Some(pool) = self.below.get(below).and_then(choose) {
                        return Some(pool);
                    }
                    labels = below;
                }
                None
            })
        });
        by_name.or_else(|| choose(&self.any))
    }
}

/// The first that asks for a protocol that is offered, or else the one that does not ask.
fn choose(choices: &[Choice], offered: &[Vec<u8>]) -> Option<usize> {
    let takes =
        |choice: &&Choice| choice.alpn.iter().flatten().any(|protocol| offered.contains(protocol));
    let any = || choices.iter().find(|choice| choice.alpn.is_none());
    choices.iter().find(takes).or_else(any).map(|choice| choice.pool)
}

/// Adds one that could be chosen.
fn add(choices: &mut Vec<Choice>, choice: Choice, at: &str) -> Result<(), StartError> {
    let before = |protocol: &Vec<u8>| {
        choices.iter().any(|other| other.alpn.iter().flatten().any(|taken| taken == protocol))
    };
    let is_taken = match &choice.alpn {
        None => choices.iter().any(|other| other.alpn.is_none()),
        Some(protocols) => protocols.iter().all(before),
    };
    if is_taken {
        return Err(StartError::new(at, "a route before this one takes all of it"));
    }
    choices.push(choice);
    Ok(())
}

fn protocols(at: &str, alpn: &[String]) -> Result<Vec<Vec<u8>>, StartError> {
    if alpn.is_empty() {
        return Err(StartError::new(format!("{at}.alpn"), "no protocol"));
    }
    // RFC 7301, 3.1.
    if let Some(index) = alpn.iter().position(|protocol| !(1..=255).contains(&protocol.len())) {
        let wrong = "a protocol has 1 to 255 bytes";
        return Err(StartError::new(format!("{at}.alpn[{index}]"), wrong));
    }
    Ok(alpn.iter().map(|protocol| protocol.clone().into_bytes()).collect())
}

/// A host name as a ClientHello may have it: no address, and no dot at its end.
fn is_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    };
    name.len() <= 253
        && name.split('.').all(is_label)
        && name.parse::<std::net::Ipv4Addr>().is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(alpn: Option<&[&str]>, pool: usize) -> Choice {
        let bytes = |alpn: &[&str]| alpn.iter().map(|p| p.as_bytes().to_vec()).collect();
        Choice { alpn: alpn.map(bytes), pool }
    }

    fn routes() -> Routes {
        let named = |name: &str, choices: &[Choice]| (name.to_owned(), choices.to_vec());
        Routes {
            exact: BTreeMap::from([
                named("shop.example", &[choice(None, 1), choice(Some(&["h2"]), 2)]),
                named("only.example", &[choice(Some(&["acme-tls/1"]), 3)]),
            ]),
            below: BTreeMap::from([
                named("example", &[choice(None, 4)]),
                named("eu.example", &[choice(None, 5)]),
            ]),
            any: vec![choice(Some(&["imap", "pop3"]), 6)],
        }
    }

    #[test]
    fn the_host_decides_before_the_protocol_and_the_nearer_name_first() {
        let routes = routes();
        for (sni, alpn, pool) in [
            (Some("shop.example"), &[][..], Some(1)),
            (Some("shop.example"), &["http/1.1"], Some(1)),
            (Some("shop.example"), &["http/1.1", "h2"], Some(2)),
            (Some("only.example"), &["acme-tls/1"], Some(3)),
            (Some("only.example"), &["h2"], Some(4)),
            (Some("a.shop.example"), &["h2"], Some(4)),
            (Some("a.b.example"), &["imap"], Some(4)),
            (Some("a.eu.example"), &[], Some(5)),
            (Some("eu.example"), &[], Some(4)),
            (Some("example"), &[], None),
            (Some("example"), &["pop3"], Some(6)),
            (Some("xexample"), &[], None),
            (None, &["imap"], Some(6)),
            (None, &["h2"], None),
            (None, &[], None),
            (Some("."), &[], None),
        ] {
            let alpn = alpn.iter().map(|p| p.as_bytes().to_vec()).collect();
            let asked = Asked { sni: sni.map(str::to_owned), alpn };
            assert_eq!(routes.pool(&asked), pool, "{asked:?}");
        }
    }

    #[test]
    fn what_is_no_host_name_is_told() {
        for good in ["a", "shop.example", "xn--bcher-kva.example", "_sip.a", "1.2.3.4.a"] {
            assert!(is_name(good), "{good}");
        }
        let long = "a.".repeat(127) + "a";
        for bad in ["", ".", "a.", ".a", "a..b", "*", "a.*", "é", "a b", "1.2.3.4", "[::1]", &long]
        {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
