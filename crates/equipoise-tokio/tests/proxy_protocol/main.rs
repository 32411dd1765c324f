//! The PROXY protocol: the specification's own cases, whatever can be wrong, and streams.

mod round_trips;
mod specification;
mod streams;
mod wrong;

use equipoise_tokio::proxy_protocol::{Decoded, Header, decode};

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// What follows the signature of version 2.
fn v2(rest: &[&[u8]]) -> Vec<u8> {
    [&[SIGNATURE], rest].concat().concat()
}

/// The preamble that these bytes are, all of them.
fn whole(bytes: &[u8]) -> Header {
    match decode(bytes) {
        Ok(Decoded::Whole(header, length)) if length == bytes.len() => *header,
        other => panic!("{}: {other:?}", bytes.escape_ascii()),
    }
}

/// CRC-32C bit by bit, as RFC 4960 has it (the polynomial 0x1EDC6F41, reflected).
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| sum >> 1 ^ (0x82F6_3B78 * (sum & 1)))
    })
}
