//! What a pool's key may be made from: a request as the client sent it.

use std::borrow::Cow;
use std::net::SocketAddr;

use equipoise_hash::key::{KeyKind, KeySource};
use hyper::header::HeaderValue;
use hyper::{HeaderMap, Uri};
use proxy_kit::keys::Sight;

use crate::cookies::cookies;

/// The parts of a key that this proxy sees.
pub(crate) const SIGHT: Sight = Sight {
    kinds: &[
        KeyKind::Client,
        KeyKind::Header,
        KeyKind::Cookie,
        KeyKind::Query,
        KeyKind::Path,
        KeyKind::Connection,
    ],
    why: "this proxy does not speak TLS yet",
};

/// The two ends of a client's connection.
#[derive(Clone, Copy, Debug)]
pub struct Ends {
    /// The client's.
    pub client: SocketAddr,
    /// Ours; not known when the connection broke before we asked.
    pub local: Option<SocketAddr>,
}

/// A request as the client sent it, before this proxy changes its headers.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// The connection that it came over.
    pub ends: Ends,
    /// The host that it asks, wherever it names it, as it does; empty if it does not.
    pub host: &'a [u8],
    /// Its target.
    pub uri: &'a Uri,
    /// Its headers.
    pub headers: &'a HeaderMap,
}

impl KeySource for Seen<'_> {
    fn client(&self) -> Option<SocketAddr> {
        Some(self.ends.client)
    }

    fn local(&self) -> Option<SocketAddr> {
        self.ends.local
    }

    fn header(&self, name: &str) -> Option<&[u8]> {
        if name == "host" {
            return Some(self.host);
        }
        self.headers.get(name).map(HeaderValue::as_bytes)
    }

    fn cookie(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        let (_, value) = cookies(self.headers).find(|(given, _)| *given == name)?;
        Some(Cow::Borrowed(value.as_bytes()))
    }

    fn query(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        let query = self.uri.query()?.as_bytes();
        let (_, value) = form_urlencoded::parse(query).find(|(given, _)| given == name)?;
        Some(match value {
            Cow::Borrowed(value) => Cow::Borrowed(value.as_bytes()),
            Cow::Owned(value) => Cow::Owned(value.into_bytes()),
        })
    }

    fn path(&self) -> Option<&[u8]> {
        Some(self.uri.path().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use equipoise_hash::HashKey;
    use equipoise_hash::key::{KeyHasher, KeyPart, KeySpec};
    use hyper::Request;

    const HASHER: KeyHasher = KeyHasher::new([5; 16]);

    /// The key of a GET with this target and these headers.
    fn key(part: KeyPart, uri: &str, headers: &[(&str, &str)]) -> Option<HashKey> {
        let mut request = Request::get(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        let ends = Ends {
            client: ([192, 0, 2, 1], 4321).into(),
            local: Some(([192, 0, 2, 2], 80).into()),
        };
        let seen = Seen { ends, host: b"Shop.example:81", uri: &head.uri, headers: &head.headers };
        KeySpec::from(part).key(&seen, &HASHER)
    }

    #[test]
    fn every_part_that_is_seen_has_its_value() {
        let uri = "/a%20b/c?x=1&id=a%20b+c&id=2";
        let headers = [
            ("x-user", "ada"),
            ("x-user", "bob"),
            ("host", "other.example"),
            ("cookie", "a=1; session=s1"),
            ("cookie", "session=s2"),
        ];
        let key = |part| key(part, uri, &headers);
        for (part, expected) in [
            (KeyPart::header("X-User"), "ada"),
            (KeyPart::header("Host"), "shop.example"),
            (KeyPart::cookie("session"), "s1"),
            (KeyPart::query("id"), "a b c"),
            (KeyPart::path(1), "/a%20b"),
            (KeyPart::path(2), "/a%20b/c"),
        ] {
            let part = part.unwrap();
            assert_eq!(key(part.clone()), HASHER.key(expected), "{part:?}");
        }
        assert_eq!(key(KeyPart::client()), HASHER.key([192, 0, 2, 1]));
        let ends = [&[192, 0, 2, 1, 0x10, 0xe1][..], &[192, 0, 2, 2, 0, 80]];
        assert_eq!(key(KeyPart::connection()), HASHER.key_of(ends));
    }

    #[test]
    fn the_first_of_a_name_counts_even_if_it_is_empty() {
        let headers = [("x-user", ""), ("x-user", "bob"), ("cookie", "s=; s=1"), ("cookie", "s=2")];
        for part in [KeyPart::header("x-user"), KeyPart::cookie("s"), KeyPart::query("id")] {
            let part = part.unwrap();
            assert_eq!(key(part.clone(), "/?id=&id=1", &headers), None, "{part:?}");
            assert_eq!(key(part, "/", &[]), None);
        }
    }

    #[test]
    fn sni_is_not_seen() {
        assert!(!SIGHT.kinds.contains(&KeyKind::Sni));
        assert_eq!(key(KeyPart::sni(), "/", &[]), None);
    }
}
