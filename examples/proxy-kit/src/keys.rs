//! By which key a pool picks: as it is written, checked, and at work.

use std::fmt;

use equipoise_algorithms::PolicyConfig;
use equipoise_core::Policy;
use equipoise_hash::HashKey;
use equipoise_hash::compat::KeyRule;
use equipoise_hash::key::{KeyHasher, KeyKind, KeyPart, KeySource, KeySpec};
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::pools::NamedPool;
use crate::{StartError, log};

/// What a proxy sees of a request. A key of anything else would always be missing, so a
/// configuration that asks for one is refused.
#[derive(Clone, Copy, Debug)]
pub struct Sight {
    /// What it sees.
    pub kinds: &'static [KeyKind],
    /// Why it sees nothing else.
    pub why: &'static str,
}

/// A secret as it is written: 32 hexadecimal digits, or something else.
///
/// That it is something else is found out later than usual, by [`Written::check`]: an error of
/// the reader would quote it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Secret(Option<[u8; 16]>);

/// What is written about a pool's key.
#[derive(Clone, Debug)]
pub struct Written<'a> {
    /// The pool's name; `None` if it is the one that the flags describe.
    pub section: Option<&'a str>,
    /// The key.
    pub key: Option<KeySpec>,
    /// The secret.
    pub secret: Option<Secret>,
}

/// A key that the policy wants and the proxy can see.
#[derive(Clone, Debug)]
pub struct KeySettings {
    spec: KeySpec,
    hash: Hash<Option<KeyHasher>>,
}

/// How a key is hashed. `H` is the hasher, once there is a secret.
#[derive(Clone, Debug)]
enum Hash<H> {
    /// Under a secret.
    Secret(H),
    /// As another proxy does.
    Compatible(KeyRule),
}

/// The key of a pool at work.
#[derive(Clone, Debug)]
pub struct PoolKey {
    spec: KeySpec,
    hash: Hash<KeyHasher>,
    /// The secret was drawn at the start.
    is_random: bool,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        let digits = text.as_bytes();
        let mut bytes = [0; 16];
        if digits.len() != 2 * bytes.len() {
            return Self(None);
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
            let digit = |at: usize| char::from(pair[at]).to_digit(16);
            let (Some(high), Some(low)) = (digit(0), digit(1)) else { return Self(None) };
            *byte = (high << 4 | low) as u8;
        }
        Self(Some(bytes))
    }
}

impl Secret {
    /// What one has to be.
    pub(crate) const WANTED: &str =
        "not a text of 32 hexadecimal digits, as `openssl rand -hex 16` makes";

    /// Its bytes, if it is one.
    pub(crate) const fn bytes(self) -> Option<[u8; 16]> {
        self.0
    }
}

impl Written<'_> {
    /// Checks it against the policy, which picks by a key or does not, and against what the proxy
    /// sees.
    ///
    /// # Errors
    /// A key that the policy does not take, or that is not there although it takes one; one that
    /// the proxy can't see; a secret that is none, or that no key needs.
    pub fn check(
        self,
        config: PolicyConfig,
        sight: Sight,
    ) -> Result<Option<KeySettings>, StartError> {
        let (policy, needs_key) = (config.name(), config.policy().needs_key());
        let field = |name: &str| match self.section {
            Some(pool) => format!("pools.{pool}.{name}"),
            None => format!("--{name}"),
        };
        let wrong = |name, wrong: String| Err(StartError::new(field(name), wrong));
        let spec = match (self.key, needs_key) {
            (Some(spec), true) => spec,
            (Some(_), false) => return wrong("key", format!("`{policy}` picks without a key")),
            (None, true) => {
                let example = match self.section {
                    Some(_) => "\"client\" or { header = \"x-user\" }",
                    None => "client or header=x-user",
                };
                let missing = format!("missing: `{policy}` picks by a key, such as {example}");
                return wrong("key", missing);
            }
            (None, false) if self.secret.is_some() => {
                return wrong("secret", format!("`{policy}` picks without a key"));
            }
            (None, false) => return Ok(None),
        };
        let mut kinds = spec.parts().iter().map(KeyPart::kind);
        if let Some(unseen) = kinds.find(|kind| !sight.kinds.contains(kind)) {
            let seen: Vec<_> = sight.kinds.iter().map(|kind| kind.name()).collect();
            let (why, seen) = (sight.why, seen.join(", "));
            return wrong("key", format!("`{unseen}` can't be seen: {why}; allowed are {seen}"));
        }
        if let Some(rule) = config.key_rule() {
            if let Err(why) = rule.check(&spec) {
                return wrong("key", format!("not for `{policy}`: {why}"));
            }
            if self.secret.is_some() {
                let why = format!("`{policy}` hashes without a secret, as the other proxy does");
                return wrong("secret", why);
            }
            return Ok(Some(KeySettings { spec, hash: Hash::Compatible(rule) }));
        }
        let hasher = match self.secret {
            None => None,
            Some(Secret(Some(secret))) => Some(KeyHasher::new(secret)),
            Some(Secret(None)) => {
                return wrong("secret", Secret::WANTED.to_owned());
            }
        };
        Ok(Some(KeySettings { spec, hash: Hash::Secret(hasher) }))
    }
}

impl KeySettings {
    /// Whether a part of the key is of this kind.
    pub fn looks_at(&self, kind: KeyKind) -> bool {
        self.spec.looks_at(kind)
    }

    /// The key at work. Draws a secret if there is none.
    ///
    /// # Errors
    /// The system has no randomness.
    pub fn start(&self) -> Result<PoolKey, StartError> {
        let is_random = matches!(self.hash, Hash::Secret(None));
        let hash = match self.hash {
            Hash::Compatible(rule) => Hash::Compatible(rule),
            Hash::Secret(Some(hasher)) => Hash::Secret(hasher),
            Hash::Secret(None) => {
                let mut secret = [0; 16];
                let wrong = |error| StartError::new("random secret", error);
                getrandom::fill(&mut secret).map_err(wrong)?;
                Hash::Secret(KeyHasher::new(secret))
            }
        };
        Ok(PoolKey { spec: self.spec.clone(), hash, is_random })
    }
}

impl PoolKey {
    /// The key of a request; `None` if the request lacks a part of it.
    pub fn of(&self, source: &impl KeySource) -> Option<HashKey> {
        match &self.hash {
            Hash::Secret(hasher) => self.spec.key(source, hasher),
            Hash::Compatible(rule) => rule.key(&self.spec, source),
        }
    }

    /// Whether a part of it is of this kind.
    pub fn looks_at(&self, kind: KeyKind) -> bool {
        self.spec.looks_at(kind)
    }
}

/// Says of which pools the secret is random, and what follows from that.
pub fn announce<'a, B: 'a>(program: &str, pools: impl Iterator<Item = &'a NamedPool<B>>) {
    let mut names = Vec::new();
    let mut cookies: Vec<&str> = Vec::new();
    for pool in pools {
        let cookie = pool.sticky.as_ref().and_then(|sticky| sticky.own_cookie());
        if let Some(name) = cookie.filter(|name| cookies.contains(name)) {
            log::line(format_args!(
                "{program}: pools.{}.sticky: another pool has a cookie of the name `{name}` too: a client of \
                 both loses its session at one with each request to the other, unless their hosts or \
                 paths are different; give each a `name` of its own",
                pool.name
            ));
        }
        cookies.extend(cookie);
        if pool.key.as_ref().is_some_and(|key| key.is_random) {
            names.push(format!("pools.{}.secret", pool.name));
        }
        if pool.sticky.as_ref().is_some_and(|sticky| sticky.is_random()) {
            log::line(format_args!(
                "{program}: pools.{}.sticky.secret: not given, so drawn at random: sessions are placed \
                 anew after a restart, and other proxies don't know them; to keep them, give 32 \
                 hexadecimal digits (openssl rand -hex 16) in the file of --config",
                pool.name
            ));
        }
    }
    if !names.is_empty() {
        log::line(format_args!(
            "{program}: {}: not given, so drawn at random: keys move at a restart, and other proxies \
             place them elsewhere; to keep them, give 32 hexadecimal digits (openssl rand -hex 16) in \
             the file of --config",
            names.join(", ")
        ));
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnythingButAnError)
    }
}

struct AnythingButAnError;

impl<'de> Visitor<'de> for AnythingButAnError {
    type Value = Secret;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("32 hexadecimal digits")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Secret, E> {
        Ok(text.into())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Secret, E> {
        Ok(Secret(None))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Secret, E> {
        Ok(Secret(None))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Secret, E> {
        Ok(Secret(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Secret, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Secret(None))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Secret, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Secret(None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGHT: Sight =
        Sight { kinds: &[KeyKind::Client, KeyKind::Sni], why: "it does not read HTTP" };
    const DIGITS: &str = "000102030405060708090a0B0c0D0e0f";

    fn check(
        key: Option<KeyPart>,
        secret: Option<&str>,
        policy: &str,
    ) -> Result<Option<KeySettings>, String> {
        let (key, secret) = (key.map(KeySpec::from), secret.map(Secret::from));
        let written = Written { section: Some("a"), key, secret };
        written.check(policy.parse().unwrap(), SIGHT).map_err(|error| error.to_string())
    }

    fn client_key(settings: &KeySettings) -> HashKey {
        struct Loopback;
        impl KeySource for Loopback {
            fn client(&self) -> Option<std::net::SocketAddr> {
                Some(([127, 0, 0, 1], 1).into())
            }
        }
        settings.start().unwrap().of(&Loopback).unwrap()
    }

    #[test]
    fn a_key_goes_with_a_policy_that_picks_by_one() {
        let client = || Some(KeyPart::client());
        assert!(check(None, None, "random").unwrap().is_none());
        assert!(check(client(), None, "maglev").unwrap().is_some());
        let header = KeyPart::header("x-user").ok();
        for (result, expected) in [
            (check(client(), None, "random"), "pools.a.key: `random` picks without a key"),
            (check(None, Some(DIGITS), "random"), "pools.a.secret: `random` picks without a key"),
            (
                check(None, None, "maglev"),
                "pools.a.key: missing: `maglev` picks by a key, such as \"client\" or { header = \
                 \"x-user\" }",
            ),
            (
                check(header, None, "maglev"),
                "pools.a.key: `header` can't be seen: it does not read HTTP; allowed are client, sni",
            ),
        ] {
            assert_eq!(result.unwrap_err(), expected);
        }
    }

    #[test]
    fn a_secret_is_32_hexadecimal_digits_and_is_not_shown() {
        let good = check(Some(KeyPart::client()), Some(DIGITS), "maglev").unwrap().unwrap();
        let expected = KeyHasher::new(std::array::from_fn(|index| index as u8));
        assert_eq!(Some(client_key(&good)), expected.key([127, 0, 0, 1]));
        assert_eq!(format!("{:?}", Secret::from(DIGITS)), "Secret");
        for shown in [format!("{good:?}"), format!("{:?}", good.start().unwrap())] {
            assert!(shown.contains("Client") && !shown.contains("1, 2"), "{shown}");
        }
        for bad in ["", "0", &DIGITS[1..], "0001020304050607+80a0b0c0d0e0f00", &"ä".repeat(16)] {
            let error = check(Some(KeyPart::client()), Some(bad), "maglev").unwrap_err();
            assert!(error.starts_with("pools.a.secret: not a text of 32"), "{error}");
            assert!(bad.len() < 2 || !error.contains(bad), "{error}");
        }
    }

    #[test]
    fn without_a_secret_every_start_draws_another() {
        let settings = check(Some(KeyPart::client()), None, "maglev").unwrap().unwrap();
        assert_ne!(client_key(&settings), client_key(&settings));
    }

    #[test]
    fn a_compatible_mode_hashes_as_the_other_proxy_and_has_no_secret() {
        use equipoise_hash::compat::{envoy, nginx};
        let key =
            |policy| client_key(&check(Some(KeyPart::client()), None, policy).unwrap().unwrap());
        assert_eq!(Some(key("nginx_hash")), nginx::PlainHash::key(b"127.0.0.1"));
        assert_eq!(key("nginx_ip_hash"), nginx::IpHash::key([127, 0, 0, 1].into()));
        assert_eq!(key("envoy_maglev"), envoy::key(b"127.0.0.1"));
        let wrong =
            "pools.a.secret: `envoy_maglev` hashes without a secret, as the other proxy does";
        let error = check(Some(KeyPart::client()), Some(DIGITS), "envoy_maglev").unwrap_err();
        assert_eq!(error, wrong);
        let wrong =
            "pools.a.key: not for `nginx_ip_hash`: it takes `client` alone, the whole address";
        let error = check(Some(KeyPart::sni()), None, "nginx_ip_hash").unwrap_err();
        assert_eq!(error, wrong);
    }

    #[test]
    fn whatever_is_given_for_a_secret_no_error_of_the_reader_quotes_it() {
        #[derive(Debug, serde::Deserialize)]
        struct Section {
            secret: Secret,
        }
        for text in ["1", "1.5", "true", "[1]", "{ a = 1 }", "2020-01-01", "\"x\""] {
            let section: Section = toml::from_str(&format!("secret = {text}")).unwrap();
            assert_eq!(section.secret, Secret(None), "{text}");
        }
    }
}
