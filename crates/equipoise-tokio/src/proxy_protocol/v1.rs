//! Version 1: a line of text (section 2.1 of the specification).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::address::{Endpoints, Pair, Transport};
use super::{Decoded, Header, Invalid, V1_SIGNATURE, Version};

/// Bytes of the longest line, with its end.
const MAX: usize = 107;
const UNKNOWN: &[u8] = b"PROXY UNKNOWN\r\n";

/// Bytes that begin with the signature.
pub(super) fn decode(bytes: &[u8]) -> Result<Decoded, Invalid> {
    let head = &bytes[..bytes.len().min(MAX)];
    let Some(end) = head.iter().position(|byte| *byte == b'\n') else {
        return match head.len() {
            MAX => Err(Invalid::TooLong { limit: MAX }),
            _ => Ok(Decoded::Incomplete { signed: true }),
        };
    };
    let line = head[V1_SIGNATURE.len()..end].strip_suffix(b"\r").ok_or(Invalid::Line("end"))?;
    let endpoints = endpoints(line)?;
    Ok(Decoded::Whole(Box::new(Header::new(Version::V1, endpoints)), end + 1))
}

fn endpoints(line: &[u8]) -> Result<Endpoints, Invalid> {
    let line = str::from_utf8(line).map_err(|_| Invalid::Line("byte"))?;
    let mut words = line.split(' ');
    let is_v4 = match words.next() {
        Some("TCP4") => true,
        Some("TCP6") => false,
        // What follows it is to be ignored, whatever it is.
        Some("UNKNOWN") => return Ok(Endpoints::Unknown),
        _ => return Err(Invalid::Line("protocol")),
    };
    let address = |word: Option<&str>, name| {
        let address = match is_v4 {
            true => word.and_then(|word| word.parse::<Ipv4Addr>().ok()).map(IpAddr::V4),
            false => word.and_then(|word| word.parse::<Ipv6Addr>().ok()).map(IpAddr::V6),
        };
        address.ok_or(Invalid::Line(name))
    };
    let from = address(words.next(), "source address")?;
    let to = address(words.next(), "destination address")?;
    let source = SocketAddr::new(from, port(words.next()).ok_or(Invalid::Line("source port"))?);
    let port = port(words.next()).ok_or(Invalid::Line("destination port"))?;
    match words.next() {
        None => Ok(Endpoints::tcp(source, SocketAddr::new(to, port))),
        Some(_) => Err(Invalid::Line("end")),
    }
}

/// In decimal, without a sign or leading zeros.
fn port(word: Option<&str>) -> Option<u16> {
    let word = word?;
    let canonical = word == "0" || word.starts_with(|first: char| matches!(first, '1'..='9'));
    word.parse().ok().filter(|_| canonical)
}

pub(super) fn encode(endpoints: &Endpoints) -> Vec<u8> {
    let Endpoints::Inet { transport: Transport::Stream, source, destination } = endpoints else {
        return UNKNOWN.to_vec();
    };
    let ports = (source.port(), destination.port());
    match Pair::of(source.ip(), destination.ip()) {
        Pair::V4([from, to]) => format!("PROXY TCP4 {from} {to} {} {}\r\n", ports.0, ports.1),
        Pair::V6([from, to]) => format!("PROXY TCP6 {from} {to} {} {}\r\n", ports.0, ports.1),
    }
    .into_bytes()
}
