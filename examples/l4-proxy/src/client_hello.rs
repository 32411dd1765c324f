//! The beginning of a TLS connection: whom does the client ask for?
//!
//! The parser is that of rustls, which reads ClientHellos from hostile clients every day. Nothing
//! is answered and no cryptography is done: the backend speaks TLS, this only listens. A client that
//! offers only TLS 1.0 or 1.1, which RFC 8996 has abolished, is not understood.

use rustls::server::Acceptor;

/// Reads a ClientHello from as many pieces as it comes in, however it is divided into TLS records.
///
/// ```
/// use l4_proxy::client_hello::{ClientHello, Progress};
///
/// assert_eq!(ClientHello::default().read(b"GET / HTTP/1.1\r\n"), Progress::Other);
/// assert_eq!(ClientHello::default().read(b"\x16\x03\x01"), Progress::Incomplete);
/// ```
#[derive(Default)]
pub struct ClientHello {
    acceptor: Acceptor,
    /// What the bytes so far came to.
    progress: Progress,
}

/// What the bytes so far came to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Progress {
    /// The beginning of a ClientHello, perhaps.
    #[default]
    Incomplete,
    /// A ClientHello.
    Hello(Asked),
    /// Not the beginning of a TLS connection, or of none that is understood.
    Other,
}

/// What a ClientHello asks for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Asked {
    /// The host that it names, if any: in lower case.
    pub sni: Option<String>,
    /// The protocols that it offers (ALPN), in its order.
    pub alpn: Vec<Vec<u8>>,
}

impl ClientHello {
    /// Takes the next bytes. Once it is a ClientHello, or none, it stays so.
    pub fn read(&mut self, mut bytes: &[u8]) -> Progress {
        while self.progress == Progress::Incomplete && !bytes.is_empty() {
            self.progress = match self.acceptor.read_tls(&mut bytes) {
                Ok(0) | Err(_) => Progress::Other,
                Ok(_) => self.parse(),
            };
        }
        self.progress.clone()
    }

    fn parse(&mut self) -> Progress {
        match self.acceptor.accept() {
            Ok(None) => Progress::Incomplete,
            Ok(Some(accepted)) => {
                let hello = accepted.client_hello();
                let sni = hello.server_name().map(str::to_owned);
                let alpn = hello.alpn().into_iter().flatten().map(<[u8]>::to_vec).collect();
                Progress::Hello(Asked { sni, alpn })
            }
            Err(_) => Progress::Other,
        }
    }
}

impl std::fmt::Debug for ClientHello {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientHello").field("progress", &self.progress).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // What `openssl s_client` 3.0.19 sends, up to the first answer: with `-servername Shop.Example`;
    // with `-tls1_2 -servername shop.example`; with `-noservername`; with `-tls1 -cipher
    // ALL:@SECLEVEL=0 -servername shop.example`.
    const TLS13: &[u8] = include_bytes!("../tests/client_hello/tls13.bin");
    const TLS12: &[u8] = include_bytes!("../tests/client_hello/tls12.bin");
    const NO_SNI: &[u8] = include_bytes!("../tests/client_hello/no-sni.bin");
    const TLS10: &[u8] = include_bytes!("../tests/client_hello/tls10.bin");

    fn read(pieces: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Progress {
        let mut hello = ClientHello::default();
        let read = pieces.into_iter().map(|piece| hello.read(piece.as_ref()));
        read.last().expect("at least a piece")
    }

    fn shop() -> Progress {
        Progress::Hello(Asked { sni: Some("shop.example".to_owned()), alpn: Vec::new() })
    }

    /// The same message in records of `size` bytes.
    fn in_records_of(size: usize, record: &[u8]) -> Vec<u8> {
        let (head, message) = record.split_at(5);
        let length = |piece: &[u8]| (piece.len() as u16).to_be_bytes();
        let pieces = message.chunks(size).map(|piece| [&head[..3], &length(piece), piece].concat());
        pieces.collect::<Vec<_>>().concat()
    }

    #[test]
    fn the_host_is_that_of_the_client_hello() {
        assert_eq!(read([TLS13]), shop());
        assert_eq!(read([TLS12]), shop());
        assert_eq!(read([NO_SNI]), Progress::Hello(Asked::default()));
    }

    #[test]
    fn it_may_come_in_any_pieces_and_records() {
        for size in [1, 2, 3, 5, 64, 317] {
            let records = in_records_of(size, TLS13);
            for piece in [1, 4, 7, 100, records.len()] {
                assert_eq!(read(records.chunks(piece)), shop(), "{size} {piece}");
            }
        }
    }

    /// The same ClientHello with `size` bytes more, in a padding extension (RFC 7685).
    fn padded(hello: &[u8], size: u16) -> Vec<u8> {
        extended(hello, 21, &vec![0; usize::from(size)])
    }

    /// The same ClientHello with one extension more.
    fn extended(hello: &[u8], kind: u8, body: &[u8]) -> Vec<u8> {
        let size = body.len() as u16;
        let mut padded = hello.to_vec();
        padded.extend([0, kind].into_iter().chain(size.to_be_bytes()));
        padded.extend(body);
        let after_session = 5 + 4 + 2 + 32 + 1 + usize::from(hello[43]);
        let ciphers = u16::from_be_bytes([hello[after_session], hello[after_session + 1]]);
        let after_ciphers = after_session + 2 + usize::from(ciphers);
        let extensions = after_ciphers + 1 + usize::from(hello[after_ciphers]);
        // The lengths of the record, of the message (its last two bytes) and of the extensions.
        for at in [3, 7, extensions] {
            let length = u16::from_be_bytes([padded[at], padded[at + 1]]) + 4 + size;
            padded[at..at + 2].copy_from_slice(&length.to_be_bytes());
        }
        padded
    }

    #[test]
    fn it_may_be_large() {
        let large = padded(TLS13, 12_000);
        assert_eq!(read([&large]), shop());
        assert_eq!(read(large.chunks(5_000)), shop());
        assert_eq!(read([in_records_of(999, &large)]), shop());
        assert_eq!(read([&large[..large.len() - 1]]), Progress::Incomplete);
    }

    #[test]
    fn the_protocols_are_those_that_it_offers() {
        let offer = |body: &[u8]| read([extended(TLS13, 16, body)]);
        let asked = |alpn: &[&[u8]]| {
            let alpn = alpn.iter().map(|protocol| protocol.to_vec()).collect();
            Progress::Hello(Asked { sni: Some("shop.example".to_owned()), alpn })
        };
        assert_eq!(offer(b"\x00\x0c\x02h2\x08http/1.1"), asked(&[b"h2", b"http/1.1"]));
        assert_eq!(offer(b"\x00\x03\x02\xff\x00"), asked(&[b"\xff\x00"]));
        // An offer that is malformed is no ClientHello: empty, longer than it is, a protocol of no bytes.
        for bad in [&b"\x00\x00"[..], b"\x00\xff\x02h2", b"\x00\x01\x00", b"\x00\x03\x09h2"] {
            assert_eq!(offer(bad), Progress::Other, "{bad:?}");
        }
    }

    #[test]
    fn any_byte_may_be_another_one() {
        let hello = extended(TLS13, 16, b"\x00\x03\x02h2");
        for at in 0..hello.len() {
            for value in [0, 1, 0x7f, 0xff, hello[at].wrapping_add(1)] {
                let mut bytes = hello.clone();
                bytes[at] = value;
                // At once and byte by byte is the same, and neither panics.
                assert_eq!(read([&bytes]), read(bytes.chunks(1)), "{at} {value}");
            }
        }
    }

    #[test]
    fn it_is_incomplete_until_its_last_byte() {
        for hello in [TLS13, TLS12, NO_SNI] {
            for end in 1..hello.len() {
                assert_eq!(read([&hello[..end]]), Progress::Incomplete, "{end}");
            }
        }
    }

    #[test]
    fn what_follows_does_not_matter() {
        let mut hello = ClientHello::default();
        assert_eq!(hello.read(&[TLS13, b"early data"].concat()), shop());
        assert_eq!(hello.read(NO_SNI), shop());
    }

    #[test]
    fn what_is_no_tls_is_told_by_its_first_bytes() {
        let alert = b"\x15\x03\x01\x00\x02\x02\x28";
        let mut server_hello = TLS13.to_vec();
        server_hello[5] = 2;
        for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"SSH-2.0-x\r\n", alert, &server_hello] {
            assert_eq!(read([bytes]), Progress::Other, "{bytes:?}");
        }
        assert_eq!(read([TLS10]), Progress::Other);
    }
}
