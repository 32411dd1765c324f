//! `proxy_protocol` and `trusted` of a listener, `send_proxy` of a pool.

use std::net::SocketAddr;
use std::time::Duration;

use equipoise_tokio::proxy_protocol::{
    Endpoints, Header, Mode, Receiver, Tlvs, Trusted, Version, kind,
};
use serde::Deserialize;

use crate::StartError;
use crate::peer::Peer;

/// `proxy_protocol = "..."`: whether clients begin with a preamble.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Receive {
    /// They don't: if one does, those are its first bytes.
    #[default]
    Off,
    /// They may.
    Optional,
    /// They have to.
    Required,
}

/// `send_proxy = "..."`: what a backend is told first.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
pub enum SendProxy {
    /// A line.
    #[serde(rename = "v1")]
    V1,
    /// In binary.
    #[serde(rename = "v2")]
    V2,
    /// In binary, with a checksum.
    #[serde(rename = "v2-crc32c")]
    V2Crc32c,
}

/// Who a client says it is, or who its connection says.
#[derive(Clone, Debug)]
pub struct Client {
    /// Its address, if it has one.
    pub address: Peer,
    /// Where it connected to, if that is known.
    pub local: Option<SocketAddr>,
    preamble: Option<Box<Header>>,
}

impl Receive {
    /// Checks the settings of the listener that errors call `field`.
    ///
    /// # Errors
    /// A network that is none; nobody who could send a preamble; trust in those who send none.
    pub fn receiver(
        self,
        field: &str,
        trusted: &[String],
        limit: Duration,
    ) -> Result<Option<Receiver>, StartError> {
        let field = format!("{field}.trusted");
        let networks = Trusted::new(trusted.iter().map(String::as_str));
        let networks = networks.map_err(|error| StartError::new(&field, error))?;
        let mode = match (self, networks.is_empty()) {
            (Self::Off, true) => return Ok(None),
            (Self::Off, false) => {
                let wrong = "with what? add proxy_protocol = \"optional\" or \"required\"";
                return Err(StartError::new(field, wrong));
            }
            (_, true) => {
                let wrong = "nobody may send the PROXY protocol; name networks, as in [\"10.0.0.0/8\"], or \"unix\"";
                return Err(StartError::new(field, wrong));
            }
            (Self::Optional, false) => Mode::Optional,
            (Self::Required, false) => Mode::Required,
        };
        Ok(Some(Receiver::new(mode, networks, limit)))
    }
}

impl Client {
    /// Of a connection from this address to that one, which began with this preamble.
    pub fn new(from: Peer, local: Option<SocketAddr>, preamble: Option<Box<Header>>) -> Self {
        let said = preamble.as_ref().and_then(|header| header.source().zip(header.destination()));
        match said {
            Some((source, destination)) => {
                Self { address: source.into(), local: Some(destination), preamble }
            }
            None => Self { address: from, local, preamble },
        }
    }
}

impl SendProxy {
    /// What a backend is told of this client, which asks for this host, and which has agreed with this proxy
    /// upon this protocol (ALPN). What the client's own preamble said besides is passed on; of the host it
    /// knows better, but the protocol is what follows here.
    ///
    /// A protocol that a client only offers is none of these: the backend may choose another one, or none.
    pub fn preamble(self, client: &Client, host: Option<&str>, alpn: Option<&[u8]>) -> Vec<u8> {
        let version = if self == Self::V1 { Version::V1 } else { Version::V2 };
        let said = client.preamble.as_deref();
        let own = client.address.ip().zip(client.local);
        let endpoints = match (said.map(|header| &header.endpoints), own) {
            (Some(unix @ Endpoints::Unix { .. }), _) => unix.clone(),
            (Some(inet @ Endpoints::Inet { .. }), _) => inet.clone(),
            (_, Some((client, local))) => Endpoints::tcp(client, local),
            (_, None) => Endpoints::Unknown,
        };
        // What comes with a connection of another proxy's own is to be ignored.
        let tlvs = match said {
            Some(header) if header.endpoints != Endpoints::Local => header.tlvs.clone(),
            _ => Tlvs::new(),
        };
        let mut header = Header { tlvs, ..Header::new(version, endpoints) };
        // Both have 255 bytes at most; beside so many others they are the ones to leave out.
        if let Some(alpn) = alpn {
            let _ = header.tlvs.set(kind::ALPN, alpn);
        }
        if let Some(host) = host.filter(|_| header.tlvs.get(kind::AUTHORITY).is_none()) {
            let _ = header.tlvs.push(kind::AUTHORITY, host.as_bytes());
        }
        header.crc32c = self == Self::V2Crc32c;
        header.encode()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use equipoise_tokio::proxy_protocol::{Decoded, decode};

    fn sent(how: SendProxy, preamble: Option<Header>, host: Option<&str>) -> Header {
        sent_over(how, preamble, host, None)
    }

    fn sent_over(
        how: SendProxy,
        preamble: Option<Header>,
        host: Option<&str>,
        alpn: Option<&[u8]>,
    ) -> Header {
        let (from, local) = (([10, 0, 0, 1], 1), ([10, 0, 0, 2], 80).into());
        let from = Peer::Ip(from.into());
        let client = Client::new(from, Some(local), preamble.map(Box::new));
        match decode(&how.preamble(&client, host, alpn)) {
            Ok(Decoded::Whole(header, _)) => *header,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_was_said_is_said_again() {
        let (source, destination) = (([192, 0, 2, 1], 2).into(), ([192, 0, 2, 2], 3).into());
        let mut said = Header::v2(source, destination).with_crc32c();
        said.tlvs.push(kind::UNIQUE_ID, b"7").unwrap();
        assert_eq!(sent(SendProxy::V2Crc32c, Some(said.clone()), None), said);
        assert_eq!(sent(SendProxy::V1, Some(said.clone()), None), Header::v1(source, destination));
        let with_host = sent(SendProxy::V2, Some(said), Some("shop.example"));
        assert_eq!(with_host.tlvs.get(kind::UNIQUE_ID), Some(&b"7"[..]));
        assert_eq!(with_host.tlvs.get(kind::AUTHORITY), Some(&b"shop.example"[..]));
        // The proxy in front knows better.
        let again = sent(SendProxy::V2, Some(with_host.clone()), Some("other.example"));
        assert_eq!(again, with_host);
    }

    #[test]
    fn the_protocol_is_the_one_that_was_agreed_upon_here() {
        let (source, destination) = (([192, 0, 2, 1], 2).into(), ([192, 0, 2, 2], 3).into());
        let mut said = Header::v2(source, destination);
        said.tlvs.push(kind::ALPN, b"h2").unwrap();
        said.tlvs.push(kind::UNIQUE_ID, b"7").unwrap();
        let alpn = |said, agreed| {
            let header = sent_over(SendProxy::V2, said, Some("a.example"), agreed);
            let kinds: Vec<_> = header.tlvs.iter().map(|tlv| tlv.kind).collect();
            (header.tlvs.get(kind::ALPN).map(<[u8]>::to_vec), kinds)
        };
        let (own, theirs) =
            (Some(&b"imap"[..]), vec![kind::ALPN, kind::UNIQUE_ID, kind::AUTHORITY]);
        assert_eq!(alpn(None, own), (Some(b"imap".to_vec()), vec![kind::ALPN, kind::AUTHORITY]));
        assert_eq!(alpn(None, None), (None, vec![kind::AUTHORITY]));
        // Nothing is agreed upon here: what was said holds.
        assert_eq!(alpn(Some(said.clone()), None), (Some(b"h2".to_vec()), theirs.clone()));
        assert_eq!(alpn(Some(said.clone()), own), (Some(b"imap".to_vec()), theirs));
        // A line has no room for it.
        let line = sent_over(SendProxy::V1, Some(said), None, own);
        assert_eq!(line, Header::v1(source, destination));
    }

    #[test]
    fn of_a_client_without_an_address_none_is_said() {
        let client = Client::new(Peer::Unix, None, None);
        assert_eq!(SendProxy::V1.preamble(&client, None, None), b"PROXY UNKNOWN\r\n");
        let unknown = Header::new(Version::V2, Endpoints::Unknown);
        assert_eq!(SendProxy::V2.preamble(&client, None, None), unknown.encode());
        // But what a proxy in front has said of it.
        let (source, destination) = (([192, 0, 2, 1], 2).into(), ([192, 0, 2, 2], 3).into());
        let said = Header::v1(source, destination);
        let client = Client::new(Peer::Unix, None, Some(Box::new(said.clone())));
        assert_eq!(client.address, Peer::Ip(source));
        assert_eq!(SendProxy::V1.preamble(&client, None, None), said.encode());
    }

    #[test]
    fn without_an_address_that_of_the_connection_is_said() {
        let own = Header::v2(([10, 0, 0, 1], 1).into(), ([10, 0, 0, 2], 80).into());
        let mut local = Header::local();
        local.tlvs.push(kind::UNIQUE_ID, b"7").unwrap();
        let unknown = Header::new(Version::V1, Endpoints::Unknown);
        for said in [None, Some(local), Some(unknown)] {
            assert_eq!(sent(SendProxy::V2, said, None), own);
        }
    }
}
