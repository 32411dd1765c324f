//! What a pool's key may be made from: a connection, and perhaps its first bytes.

use std::net::SocketAddr;

use equipoise_hash::key::{KeyKind, KeySource};
use proxy_kit::keys::Sight;

/// The parts of a key that this proxy sees.
pub(crate) const SIGHT: Sight = Sight {
    kinds: &[KeyKind::Client, KeyKind::Sni, KeyKind::Connection],
    why: "this proxy does not read HTTP",
};

/// A client's connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen<'a> {
    /// Where it comes from; nowhere, if over a Unix socket.
    pub(crate) client: Option<SocketAddr>,
    pub(crate) local: Option<SocketAddr>,
    /// The host that its ClientHello names.
    pub(crate) sni: Option<&'a str>,
}

impl KeySource for Seen<'_> {
    fn client(&self) -> Option<SocketAddr> {
        self.client
    }

    fn local(&self) -> Option<SocketAddr> {
        self.local
    }

    fn sni(&self) -> Option<&[u8]> {
        self.sni.map(str::as_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use equipoise_hash::key::{KeyHasher, KeyPart, KeySpec};

    #[test]
    fn every_part_that_is_seen_has_its_value() {
        let hasher = KeyHasher::new([5; 16]);
        let (client, local) = (([192, 0, 2, 1], 4321), Some(([192, 0, 2, 2], 80).into()));
        let client = Some(client.into());
        let seen = Seen { client, local, sni: Some("shop.example") };
        let key = |part, seen| KeySpec::from(part).key(seen, &hasher);
        assert_eq!(key(KeyPart::client(), &seen), hasher.key([192, 0, 2, 1]));
        assert_eq!(key(KeyPart::sni(), &seen), hasher.key("shop.example"));
        let ends = [&[192, 0, 2, 1, 0x10, 0xe1][..], &[192, 0, 2, 2, 0, 80]];
        assert_eq!(key(KeyPart::connection(), &seen), hasher.key_of(ends));

        let less = Seen { local: None, sni: None, ..seen };
        assert_eq!(key(KeyPart::connection(), &less), None);
        assert_eq!(key(KeyPart::sni(), &less), None);
        let less = Seen { client: None, ..seen };
        assert_eq!(key(KeyPart::client(), &less), None);
        assert_eq!(key(KeyPart::connection(), &less), None);
        for kind in SIGHT.kinds {
            assert!([KeyKind::Client, KeyKind::Sni, KeyKind::Connection].contains(kind));
        }
    }
}
