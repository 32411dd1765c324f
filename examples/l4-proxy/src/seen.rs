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
    pub(crate) client: SocketAddr,
    pub(crate) local: Option<SocketAddr>,
    /// The host that its ClientHello names.
    pub(crate) sni: Option<&'a str>,
}

impl KeySource for Seen<'_> {
    fn client(&self) -> Option<SocketAddr> {
        Some(self.client)
    }

    fn local(&self) -> Option<SocketAddr> {
        self.local
    }

    fn sni(&self) -> Option<&[u8]> {
        self.sni.map(str::as_bytes)
    }
}
