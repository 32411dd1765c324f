//! The parts that make a key.

use alloc::vec::Vec;
use core::hash::BuildHasher;
use core::str::FromStr;

use super::{AddressForm, HashKey, KeyError, KeyHasher, KeyKind, KeyPart, KeySource};

/// Which parts of a request make its key: one to eight of them, in this order.
///
/// If a request lacks one of them, or has it empty, it has no key.
///
/// With the feature `serde` it reads what people write into a configuration; what is unknown or
/// out of range is refused with an error that names it and says what is allowed:
///
/// | in TOML | the key |
/// |---|---|
/// | `key = "client"` | the client's whole address: [`KeyPart::client`] |
/// | `key = { client = { v4 = 24, v6 = 56 } }` | its network: [`KeyPart::network`]; what is not given is whole |
/// | `key = { header = "x-user" }` | a header |
/// | `key = { cookie = "session" }` | a cookie |
/// | `key = { query = "id" }` | a query parameter |
/// | `key = { path = 2 }` | the first two segments of the path |
/// | `key = "sni"` | the host name of the TLS ClientHello |
/// | `key = "connection"` | the addresses and ports of both ends |
/// | `key = ["client", { header = "host" }]` | several parts |
///
/// ```
/// use equipoise_hash::key::{KeyKind, KeyPart, KeySpec};
///
/// let spec = KeySpec::new([KeyPart::client(), KeyPart::header("host")?])?;
/// assert!(spec.looks_at(KeyKind::Header) && !spec.looks_at(KeyKind::Sni));
/// let error = KeySpec::new([]).unwrap_err();
/// assert_eq!(error.to_string(), "key: no parts");
/// # Ok::<(), equipoise_hash::key::KeyError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeySpec {
    parts: Vec<KeyPart>,
}

impl KeySpec {
    /// The most parts of a key.
    pub const MAX_PARTS: usize = 8;

    /// A key of these parts.
    ///
    /// # Errors
    /// [`KeyError::NoParts`]; [`KeyError::TooManyParts`].
    pub fn new(parts: impl IntoIterator<Item = KeyPart>) -> Result<Self, KeyError> {
        let parts: Vec<_> = parts.into_iter().take(Self::MAX_PARTS + 1).collect();
        match parts.len() {
            0 => Err(KeyError::NoParts),
            1..=Self::MAX_PARTS => Ok(Self { parts }),
            _ => Err(KeyError::TooManyParts),
        }
    }

    /// The parts.
    pub fn parts(&self) -> &[KeyPart] {
        &self.parts
    }

    /// Whether one of the parts is of this kind.
    pub fn looks_at(&self, kind: KeyKind) -> bool {
        self.parts.iter().any(|part| part.kind() == kind)
    }

    /// The request's key; `None` if it lacks a part.
    ///
    /// Linear in the bytes of the parts. Allocates nothing, unless the source does.
    ///
    /// The parts are hashed as [`KeyHasher`] says: names and paths as their bytes, an address as
    /// the 4 or 16 bytes of its network, a connection as two parts, each an address and a port, the
    /// most significant byte first.
    ///
    /// ```
    /// use equipoise_hash::key::{KeyHasher, KeyPart, KeySource, KeySpec};
    /// use std::net::SocketAddr;
    ///
    /// struct From(SocketAddr);
    /// impl KeySource for From {
    ///     fn client(&self) -> Option<SocketAddr> {
    ///         Some(self.0)
    ///     }
    /// }
    ///
    /// let hasher = KeyHasher::new([0; 16]);
    /// let key = |spec: KeySpec| spec.key(&From("192.0.2.77:1234".parse().unwrap()), &hasher);
    /// assert_eq!(key(KeyPart::client().into()), hasher.key([192, 0, 2, 77]));
    /// assert_eq!(key(KeyPart::network(24, 64)?.into()), hasher.key([192, 0, 2, 0]));
    /// # Ok::<(), equipoise_hash::key::KeyError>(())
    /// ```
    pub fn key<S: BuildHasher>(
        &self,
        source: &(impl KeySource + ?Sized),
        hasher: &KeyHasher<S>,
    ) -> Option<HashKey> {
        let mut sum = hasher.start();
        for part in &self.parts {
            part.value(source)?.add_to(&mut sum);
        }
        Some(sum.finish())
    }

    /// The request's key as bytes, one part after the other and nothing between them: what other
    /// balancers hash, each in its own way. As there, a part that is missing adds nothing; `None` if
    /// nothing is left. (nginx hashes the address alone where `$remote_addr$http_x_user` has no user.)
    ///
    /// Names of hosts are as they were sent. Only for the sake of others: different parts may give
    /// the same bytes.
    ///
    /// ```
    /// use equipoise_hash::key::{AddressForm, KeyPart, KeySource, KeySpec};
    /// use std::net::SocketAddr;
    ///
    /// struct From(SocketAddr);
    /// impl KeySource for From {
    ///     fn client(&self) -> Option<SocketAddr> {
    ///         Some(self.0)
    ///     }
    /// }
    ///
    /// let (spec, from) = (KeySpec::from(KeyPart::client()), From(([192, 0, 2, 77], 1234).into()));
    /// assert_eq!(spec.bytes(&from, AddressForm::Text).unwrap(), b"192.0.2.77");
    /// assert_eq!(spec.bytes(&from, AddressForm::Bytes).unwrap(), [192, 0, 2, 77]);
    /// ```
    pub fn bytes(
        &self,
        source: &(impl KeySource + ?Sized),
        addresses: AddressForm,
    ) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        for part in &self.parts {
            if let Some(value) = part.value(source) {
                value.append_to(&mut bytes, addresses);
            }
        }
        (!bytes.is_empty()).then_some(bytes)
    }
}

impl FromStr for KeySpec {
    type Err = KeyError;

    /// The short form, for a command line: parts with commas between them, each `client`, `sni`,
    /// `connection`, `header=NAME`, `cookie=NAME`, `query=NAME` or `path=DEPTH`.
    ///
    /// ```
    /// use equipoise_hash::key::{KeyPart, KeySpec};
    ///
    /// let spec: KeySpec = "client,header=host".parse()?;
    /// assert_eq!(spec.parts(), [KeyPart::client(), KeyPart::header("host")?]);
    /// # Ok::<(), equipoise_hash::key::KeyError>(())
    /// ```
    fn from_str(text: &str) -> Result<Self, KeyError> {
        let mut parts = Vec::new();
        for part in text.split(',').take(Self::MAX_PARTS + 1) {
            parts.push(part.trim().parse()?);
        }
        Self::new(parts)
    }
}

impl From<KeyPart> for KeySpec {
    fn from(part: KeyPart) -> Self {
        Self { parts: Vec::from([part]) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::borrow::Cow;
    use alloc::string::{String, ToString};
    use core::net::SocketAddr;
    use proptest::prelude::*;

    /// A request that has for each part what it is told.
    #[derive(Clone, Default, Debug)]
    struct Told {
        client: Option<SocketAddr>,
        local: Option<SocketAddr>,
        text: Option<Vec<u8>>,
    }

    impl KeySource for Told {
        fn client(&self) -> Option<SocketAddr> {
            self.client
        }
        fn local(&self) -> Option<SocketAddr> {
            self.local
        }
        fn header(&self, name: &str) -> Option<&[u8]> {
            assert!(!name.bytes().any(|byte| byte.is_ascii_uppercase()));
            self.text.as_deref()
        }
        fn cookie(&self, _: &str) -> Option<Cow<'_, [u8]>> {
            self.text.as_deref().map(Cow::Borrowed)
        }
        fn query(&self, _: &str) -> Option<Cow<'_, [u8]>> {
            self.text.clone().map(Cow::Owned)
        }
        fn path(&self) -> Option<&[u8]> {
            self.text.as_deref()
        }
        fn sni(&self) -> Option<&[u8]> {
            self.text.as_deref()
        }
    }

    const HASHER: KeyHasher = KeyHasher::new([3; 16]);

    fn textual() -> [KeyPart; 6] {
        [
            KeyPart::header("X-User").unwrap(),
            KeyPart::header("HOST").unwrap(),
            KeyPart::cookie("a").unwrap(),
            KeyPart::query("a").unwrap(),
            KeyPart::path(1).unwrap(),
            KeyPart::sni(),
        ]
    }

    fn told(text: &str) -> Told {
        Told { text: Some(text.into()), ..Told::default() }
    }

    #[test]
    fn what_is_missing_or_empty_is_no_key() {
        for part in textual() {
            let spec = KeySpec::from(part.clone());
            for source in [Told::default(), told("")] {
                assert_eq!(spec.key(&source, &HASHER), None, "{part:?}");
                assert_eq!(spec.bytes(&source, AddressForm::Text), None, "{part:?}");
            }
            assert!(spec.key(&told("a"), &HASHER).is_some(), "{part:?}");
            // One that is there does not stand in for one that is not.
            let both = KeySpec::new([part, KeyPart::client()]).unwrap();
            assert_eq!(both.key(&told("a"), &HASHER), None);
            // But others, nginx above all, hash what there is.
            assert_eq!(both.bytes(&told("a"), AddressForm::Text).unwrap(), b"a");
        }
        let spec = KeySpec::from(KeyPart::connection());
        let here = Some(SocketAddr::from(([127, 0, 0, 1], 80)));
        let one_end = |client, local| Told { client, local, text: None };
        assert_eq!(spec.key(&one_end(here, None), &HASHER), None);
        assert_eq!(spec.key(&one_end(None, here), &HASHER), None);
        assert!(spec.key(&one_end(here, here), &HASHER).is_some());
    }

    #[test]
    fn hosts_are_compared_without_case_port_and_dot() {
        for part in [KeyPart::sni(), KeyPart::header("Host").unwrap()] {
            let spec = KeySpec::from(part);
            for same in ["shop.example", "Shop.Example", "shop.example.", "SHOP.example.:8080"] {
                assert_eq!(spec.key(&told(same), &HASHER), HASHER.key("shop.example"), "{same}");
            }
            assert_eq!(spec.bytes(&told("Shop.:80"), AddressForm::Text).unwrap(), b"Shop.:80");
            assert_eq!(spec.key(&told("."), &HASHER), None);
        }
        let other = KeySpec::from(KeyPart::header("x-user").unwrap());
        assert_eq!(other.key(&told(" Ada. "), &HASHER), HASHER.key("Ada."));
    }

    #[test]
    fn ipv4_in_ipv6_is_ipv4() {
        let client = |text: &str| Told { client: text.parse().ok(), ..Told::default() };
        let spec = KeySpec::from(KeyPart::network(24, 48).unwrap());
        let key = |text: &str| spec.key(&client(text), &HASHER).unwrap();
        assert_eq!(key("[::ffff:192.0.2.1]:1"), key("192.0.2.200:2"));
        assert_eq!(key("[2001:db8::1]:1"), key("[2001:db8:0:ffff::]:1"));
        assert_ne!(key("192.0.2.1:1"), key("192.0.3.1:1"));
        assert_ne!(key("[2001:db8::1]:1"), key("[2001:db8:1::1]:1"));
    }

    #[test]
    fn every_end_of_a_connection_counts() {
        let spec = KeySpec::from(KeyPart::connection());
        let key = |client: &str, local: &str| {
            let (client, local) = (client.parse().ok(), local.parse().ok());
            spec.key(&Told { client, local, text: None }, &HASHER).unwrap()
        };
        let one = key("192.0.2.1:1", "192.0.2.2:2");
        assert_eq!(one, key("[::ffff:192.0.2.1]:1", "192.0.2.2:2"));
        let others = [
            key("192.0.2.3:1", "192.0.2.2:2"),
            key("192.0.2.1:3", "192.0.2.2:2"),
            key("192.0.2.1:1", "192.0.2.3:2"),
            key("192.0.2.1:1", "192.0.2.2:3"),
            key("192.0.2.2:2", "192.0.2.1:1"),
        ];
        assert!(!others.contains(&one));
    }

    #[test]
    fn one_to_eight_parts() {
        let parts = |n| core::iter::repeat_n(KeyPart::client(), n);
        assert_eq!(KeySpec::new(parts(0)), Err(KeyError::NoParts));
        assert_eq!(KeySpec::new(parts(8)).unwrap().parts().len(), 8);
        assert_eq!(KeySpec::new(parts(9)), Err(KeyError::TooManyParts));
        assert_eq!(KeySpec::new(core::iter::repeat(KeyPart::sni())), Err(KeyError::TooManyParts));
    }

    #[test]
    fn names_are_checked() {
        let long = "a".repeat(257);
        for bad in ["", "a b", "a:", "ä", "a\n", "\u{0}", "a=;", &long] {
            assert!(KeyPart::header(bad).is_err(), "{bad:?}");
        }
        for bad in ["", "a b", "a=", "a;", "ä", "\t", &long] {
            assert!(KeyPart::cookie(bad).is_err(), "{bad:?}");
        }
        assert!(KeyPart::query("").is_err() && KeyPart::query(&long).is_err());
        assert!(KeyPart::query("a b=ä").is_ok() && KeyPart::query(&long[1..]).is_ok());
        assert!(KeyPart::path(0).is_err());
        assert!(KeyPart::network(33, 64).is_err() && KeyPart::network(32, 0).is_err());
    }

    #[test]
    fn the_short_form_says_it_all() {
        let spec: KeySpec =
            "client, sni,connection,header=X-A,cookie=b,query=c=d,path=2".parse().unwrap();
        let parts = [
            KeyPart::client(),
            KeyPart::sni(),
            KeyPart::connection(),
            KeyPart::header("x-a").unwrap(),
            KeyPart::cookie("b").unwrap(),
            KeyPart::query("c=d").unwrap(),
            KeyPart::path(2).unwrap(),
        ];
        assert_eq!(spec.parts(), parts);
        for (text, named) in [
            ("", "key: unknown part ``; allowed are client, header"),
            ("client,", "key: unknown part ``"),
            ("user", "key: unknown part `user`"),
            ("header", "key: `header` alone says too little"),
            ("header=", "key.header: `` is no name"),
            ("path=0", "key.path: 0 is out of range; allowed are 1 to 255"),
            ("path=256", "key.path: 256 is out of range"),
            ("path=two", "key.path: `two` is no number"),
            ("client=24", "key: `client` takes no setting here"),
            (&["client"; 9].join(","), "key: too many parts"),
            (&["client"; 9_999].join(","), "key: too many parts"),
        ] {
            let error = text.parse::<KeySpec>().unwrap_err().to_string();
            assert!(error.contains(named), "{text}: {error}");
        }
    }

    fn address() -> impl Strategy<Value = Option<SocketAddr>> {
        prop::option::of(any::<SocketAddr>())
    }

    prop_compose! {
        fn source()(
            client in address(),
            local in address(),
            text in prop::option::of(prop::collection::vec(any::<u8>(), 0..80)),
        ) -> Told {
            Told { client, local, text }
        }
    }

    fn part() -> impl Strategy<Value = KeyPart> {
        prop_oneof![
            prop::sample::select(textual().to_vec()),
            (1_u8..=32, 1_u8..=128).prop_map(|(v4, v6)| KeyPart::network(v4, v6).unwrap()),
            Just(KeyPart::connection()),
        ]
    }

    proptest! {
        /// The parts' values, one by one, say whether there is a key, and what it is.
        #[test]
        fn a_key_is_the_key_of_its_parts(source in source(), parts in prop::collection::vec(part(), 1..=8)) {
            let spec = KeySpec::new(parts.clone()).unwrap();
            let key = spec.key(&source, &HASHER);
            prop_assert_eq!(key, spec.key(&&source, &HASHER));
            let alone = parts.iter().map(|part| KeySpec::from(part.clone()));
            let all_there = alone.clone().all(|part| part.key(&source, &HASHER).is_some());
            prop_assert_eq!(key.is_some(), all_there);
            for form in [AddressForm::Text, AddressForm::Bytes] {
                let bytes = spec.bytes(&source, form);
                let joined: Vec<u8> =
                    alone.clone().filter_map(|part| part.bytes(&source, form)).flatten().collect();
                prop_assert_eq!(bytes.unwrap_or_default(), joined);
            }
        }

        #[test]
        fn a_name_is_good_or_refused(name in any::<String>()) {
            let _ = (KeyPart::header(&name), KeyPart::cookie(&name), KeyPart::query(&name));
        }
    }
}
