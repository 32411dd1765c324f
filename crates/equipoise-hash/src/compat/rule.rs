//! From a request to a key, as each of the other proxies hashes it.

use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;

use equipoise_core::HashKey;

use super::{envoy, haproxy, nginx};
use crate::key::{AddressForm, KeyKind, KeyPart, KeySource, KeySpec};

/// How the keys of a compatible table are made of a request: each has a function of its own, and no
/// secret.
///
/// ```
/// use equipoise_hash::compat::{KeyRule, nginx};
/// use equipoise_hash::key::{KeyPart, KeySource, KeySpec};
/// use std::net::SocketAddr;
///
/// struct From(SocketAddr);
/// impl KeySource for From {
///     fn client(&self) -> Option<SocketAddr> {
///         Some(self.0)
///     }
/// }
///
/// // hash $remote_addr consistent;
/// let (rule, spec) = (KeyRule::NginxConsistent, KeySpec::from(KeyPart::client()));
/// rule.check(&spec)?;
/// let from = From(([192, 0, 2, 77], 1234).into());
/// assert_eq!(rule.key(&spec, &from), nginx::Consistent::key(b"192.0.2.77"));
/// # Ok::<(), equipoise_hash::compat::KeyRuleError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum KeyRule {
    /// nginx, `hash ... consistent`: the bytes of all parts, one after the other, an address as
    /// text. For [`nginx::Consistent`].
    NginxConsistent,
    /// nginx, `hash ...`: of the same bytes. For [`nginx::PlainHash`].
    NginxHash,
    /// nginx, `ip_hash`: of the client's address alone. For [`nginx::IpHash`].
    NginxIpHash,
    /// Envoy: one part, an address as text. For [`envoy::RingHash`] and [`envoy::Maglev`].
    Envoy,
    /// HAProxy: one part. Of a header it is the first of the values that stand there with commas
    /// between them, as `balance hdr(..)` has it; of the client its address, as `balance source`
    /// has it. For [`haproxy::Consistent`].
    Haproxy(haproxy::Hashing),
}

/// A key that the other proxy has not. Nothing changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum KeyRuleError {
    /// `ip_hash` takes the client's whole address and nothing else.
    ClientAlone,
    /// Envoy and HAProxy are followed for one part only.
    OnePart,
    /// The other proxy has nothing like this part.
    Part(KeyKind),
    /// Networks of clients are not what the other proxy hashes.
    Network,
}

impl fmt::Display for KeyRuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClientAlone => f.write_str("it takes `client` alone, the whole address"),
            Self::OnePart => f.write_str("it takes one part, not several"),
            Self::Part(kind) => write!(f, "it has nothing like `{kind}`"),
            Self::Network => f.write_str("it takes the client's whole address, not its network"),
        }
    }
}

impl core::error::Error for KeyRuleError {}

impl KeyRule {
    /// Whether the other proxy can hash such a key. One that it can't would place keys somewhere,
    /// but nowhere that the other proxy does.
    ///
    /// # Errors
    /// Why it can't.
    pub fn check(self, spec: &KeySpec) -> Result<(), KeyRuleError> {
        let is_client = |part: &KeyPart| *part == KeyPart::client();
        if self == Self::NginxIpHash {
            let alone = matches!(spec.parts(), [part] if is_client(part));
            return if alone { Ok(()) } else { Err(KeyRuleError::ClientAlone) };
        }
        if matches!(self, Self::Envoy | Self::Haproxy(_)) && spec.parts().len() > 1 {
            return Err(KeyRuleError::OnePart);
        }
        for part in spec.parts() {
            match part.kind() {
                KeyKind::Client if !is_client(part) => return Err(KeyRuleError::Network),
                KeyKind::Connection => return Err(KeyRuleError::Part(KeyKind::Connection)),
                // Envoy has no such policies, and HAProxy has another idea of a path's depth.
                kind @ (KeyKind::Path | KeyKind::Sni) if self == Self::Envoy => {
                    return Err(KeyRuleError::Part(kind));
                }
                KeyKind::Path if matches!(self, Self::Haproxy(_)) => {
                    return Err(KeyRuleError::Part(KeyKind::Path));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The request's key; `None` if it lacks a part, or has it empty.
    ///
    /// Linear in the bytes of the parts, which it gathers in a buffer.
    pub fn key(self, spec: &KeySpec, source: &(impl KeySource + ?Sized)) -> Option<HashKey> {
        match self {
            Self::NginxIpHash => client(source).map(nginx::IpHash::key),
            Self::Haproxy(hashing) if spec.looks_at(KeyKind::Client) => {
                client(source).map(|address| hashing.source(address))
            }
            Self::NginxConsistent => nginx::Consistent::key(&text(spec, source)?),
            Self::NginxHash => nginx::PlainHash::key(&text(spec, source)?),
            Self::Envoy => Some(envoy::key(&text(spec, source)?)),
            Self::Haproxy(hashing) => {
                let bytes = text(spec, source)?;
                if !spec.looks_at(KeyKind::Header) {
                    return Some(hashing.key(&bytes));
                }
                let first = first_value(&bytes);
                (!first.is_empty()).then(|| hashing.key(first))
            }
        }
    }
}

fn client(source: &(impl KeySource + ?Sized)) -> Option<IpAddr> {
    Some(source.client()?.ip().to_canonical())
}

fn text(spec: &KeySpec, source: &(impl KeySource + ?Sized)) -> Option<Vec<u8>> {
    spec.bytes(source, AddressForm::Text)
}

/// The first value of a list, without the blanks around it. A comma in a quoted string is part of
/// the value.
fn first_value(list: &[u8]) -> &[u8] {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let end = list.iter().position(|&byte| {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            _ => {}
        }
        byte == b',' && !is_quoted
    });
    list[..end.unwrap_or(list.len())].trim_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::{String, ToString};
    use core::net::SocketAddr;

    struct Told {
        client: &'static str,
        header: &'static [u8],
    }

    impl KeySource for Told {
        fn client(&self) -> Option<SocketAddr> {
            self.client.parse().ok()
        }
        fn header(&self, _: &str) -> Option<&[u8]> {
            Some(self.header)
        }
    }

    const HAPROXY: KeyRule =
        KeyRule::Haproxy(haproxy::Hashing { function: haproxy::Function::Djb2, avalanche: false });
    const RULES: [KeyRule; 5] = [
        KeyRule::NginxConsistent,
        KeyRule::NginxHash,
        KeyRule::NginxIpHash,
        KeyRule::Envoy,
        HAPROXY,
    ];

    fn header() -> KeySpec {
        KeyPart::header("x-user").unwrap().into()
    }

    fn key(rule: KeyRule, spec: &KeySpec, client: &'static str, header: &str) -> Option<HashKey> {
        let header = String::from(header).leak().as_bytes();
        rule.key(spec, &Told { client, header })
    }

    #[test]
    fn each_rule_has_its_function() {
        let of = |rule, text| key(rule, &header(), "192.0.2.1:1", text);
        assert_eq!(of(KeyRule::NginxConsistent, "ada"), nginx::Consistent::key(b"ada"));
        assert_eq!(of(KeyRule::NginxHash, "ada"), nginx::PlainHash::key(b"ada"));
        assert_eq!(of(KeyRule::Envoy, "ada,b"), Some(envoy::key(b"ada,b")));
        let KeyRule::Haproxy(hashing) = HAPROXY else { unreachable!() };
        assert_eq!(of(HAPROXY, "ada"), Some(hashing.key(b"ada")));
        let both = KeySpec::new([KeyPart::client(), KeyPart::header("x-user").unwrap()]).unwrap();
        let joined = key(KeyRule::NginxHash, &both, "[2001:db8::1]:1", "ada");
        assert_eq!(joined, nginx::PlainHash::key(b"2001:db8::1ada"));
    }

    #[test]
    fn an_address_has_the_form_of_each_rule() {
        let of = |rule, client| key(rule, &KeyPart::client().into(), client, "");
        let address: IpAddr = [192, 0, 2, 1].into();
        let KeyRule::Haproxy(hashing) = HAPROXY else { unreachable!() };
        for client in ["192.0.2.1:1", "[::ffff:192.0.2.1]:2"] {
            let text = b"192.0.2.1";
            assert_eq!(of(KeyRule::NginxConsistent, client), nginx::Consistent::key(text));
            assert_eq!(of(KeyRule::NginxHash, client), nginx::PlainHash::key(text));
            assert_eq!(of(KeyRule::NginxIpHash, client), Some(nginx::IpHash::key(address)));
            assert_eq!(of(KeyRule::Envoy, client), Some(envoy::key(text)));
            assert_eq!(of(HAPROXY, client), Some(hashing.source(address)));
        }
    }

    #[test]
    fn what_is_missing_or_empty_is_no_key() {
        for rule in RULES.into_iter().filter(|&rule| rule != KeyRule::NginxIpHash) {
            assert_eq!(key(rule, &header(), "", ""), None, "{rule:?}");
        }
        for rule in RULES {
            assert_eq!(key(rule, &KeyPart::client().into(), "", "a"), None, "{rule:?}");
        }
        for empty in [",a", " , a"] {
            assert_eq!(key(HAPROXY, &header(), "", empty), None);
        }
    }

    #[test]
    fn of_a_list_haproxy_takes_the_first_value() {
        for (list, first) in [
            ("a", "a"),
            (" a b , c", "a b"),
            ("a,b,c", "a"),
            ("\"a,b\",c", "\"a,b\""),
            ("\"a\\\",b\",c", "\"a\\\",b\""),
            ("a\\,b", "a\\"),
            ("\"a,b", "\"a,b"),
        ] {
            assert_eq!(first_value(list.as_bytes()), first.as_bytes(), "{list}");
        }
    }

    #[test]
    fn what_the_other_proxy_has_not_is_refused() {
        let (client, connection) = (KeyPart::client(), KeyPart::connection());
        let user = KeyPart::header("x-user").unwrap();
        let (network, path) = (KeyPart::network(24, 64).unwrap(), KeyPart::path(2).unwrap());
        let spec = |parts: &[&KeyPart]| KeySpec::new(parts.iter().copied().cloned()).unwrap();
        for rule in RULES {
            assert_eq!(rule.check(&spec(&[&client])), Ok(()), "{rule:?}");
            assert!(rule.check(&spec(&[&network])).is_err(), "{rule:?}");
            assert!(rule.check(&spec(&[&connection])).is_err(), "{rule:?}");
        }
        for wrong in [spec(&[&user]), spec(&[&client, &client])] {
            assert_eq!(KeyRule::NginxIpHash.check(&wrong), Err(KeyRuleError::ClientAlone));
        }
        let many = spec(&[&client, &user]);
        for rule in [KeyRule::NginxConsistent, KeyRule::NginxHash] {
            assert_eq!(rule.check(&many), Ok(()));
            assert_eq!(rule.check(&spec(&[&path])), Ok(()));
            assert_eq!(rule.check(&spec(&[&network])), Err(KeyRuleError::Network));
        }
        for rule in [KeyRule::Envoy, HAPROXY] {
            assert_eq!(rule.check(&many), Err(KeyRuleError::OnePart));
            assert_eq!(rule.check(&spec(&[&user])), Ok(()));
        }
        for rule in [KeyRule::Envoy, HAPROXY] {
            let error = rule.check(&spec(&[&path])).unwrap_err();
            assert_eq!(error, KeyRuleError::Part(KeyKind::Path));
            assert_eq!(error.to_string(), "it has nothing like `path`");
        }
        let sni = KeyRule::Envoy.check(&KeyPart::sni().into());
        assert_eq!(sni, Err(KeyRuleError::Part(KeyKind::Sni)));
    }
}
