//! Version 2: binary (section 2.2 of the specification).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crc::{CRC_32_ISCSI, Crc};

use super::address::{Endpoints, Pair, Transport, UnixAddress};
use super::tlv::{Tlvs, kind, split};
use super::{Decoded, Header, Invalid, V2_SIGNATURE, Version};

/// Bytes before the addresses.
const FIXED: usize = 16;
/// Bytes of the checksum's TLV.
const CHECKSUM: usize = 7;
/// CRC-32C is called so where iSCSI uses it; RFC 4960 has it from there.
const CRC32C: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

const LOCAL: u8 = 0;
const PROXY: u8 = 1;
const UNSPEC: u8 = 0;
const INET: u8 = 1;
const INET6: u8 = 2;
const UNIX: u8 = 3;

/// Bytes that begin with the signature.
pub(super) fn decode(bytes: &[u8]) -> Result<Decoded, Invalid> {
    let rest = &bytes[V2_SIGNATURE.len()..];
    if let Some(version @ (0..=1 | 3..)) = rest.first().map(|byte| byte >> 4) {
        return Err(Invalid::Version(version));
    }
    let Some(&[command, family, high, low]) = rest.first_chunk() else {
        return Ok(Decoded::Incomplete { signed: true });
    };
    let (command, family, transport) = (command & 0xf, family >> 4, family & 0xf);
    let said = u16::from_be_bytes([high, low]);
    let needed = check(command, family, transport, said)?;
    let length = FIXED + usize::from(said);
    let Some(all) = bytes.get(..length) else {
        return Ok(Decoded::Incomplete { signed: true });
    };
    let addresses = &all[FIXED..FIXED + needed];
    let endpoints = match (command, transport) {
        (LOCAL, _) => Endpoints::Local,
        (_, 1) => endpoints(addresses, family, Transport::Stream),
        (_, 2) => endpoints(addresses, family, Transport::Datagram),
        _ => Endpoints::Unknown,
    };
    let mut header = Header::new(Version::V2, endpoints);
    match tlvs(all, FIXED + needed) {
        Ok((tlvs, crc32c)) => (header.tlvs, header.crc32c) = (tlvs, crc32c),
        // Without addresses all may be ignored, so it need not make sense. A wrong checksum does: the
        // command may be what was changed on the way.
        Err(Invalid::Tlv { .. } | Invalid::ChecksumTlv { .. })
            if matches!(header.endpoints, Endpoints::Local | Endpoints::Unknown) => {}
        Err(invalid) => return Err(invalid),
    }
    Ok(Decoded::Whole(Box::new(header), length))
}

/// What the first 16 bytes say, before the others are waited for: bytes that the addresses take.
fn check(command: u8, family: u8, transport: u8, said: u16) -> Result<usize, Invalid> {
    let needed = match family {
        INET => 12,
        INET6 => 36,
        UNIX => 216,
        _ => 0,
    };
    let limit = usize::from(needed) + Tlvs::MAX + CHECKSUM;
    if command > PROXY {
        return Err(Invalid::Command(command));
    } else if usize::from(said) > limit {
        return Err(Invalid::TooLong { limit: FIXED + limit });
    } else if command == LOCAL {
        // Whatever is there is to be skipped.
        return Ok(needed.min(said).into());
    } else if family > UNIX {
        return Err(Invalid::Family(family));
    } else if transport > 2 {
        return Err(Invalid::Transport(transport));
    } else if said < needed {
        return Err(Invalid::Length { said, needed });
    }
    Ok(needed.into())
}

/// The addresses, of a family that has any.
fn endpoints(bytes: &[u8], family: u8, transport: Transport) -> Endpoints {
    match family {
        INET => inet::<4>(bytes, transport),
        INET6 => inet::<16>(bytes, transport),
        UNIX => unix(bytes, transport),
        _ => None,
    }
    .unwrap_or(Endpoints::Unknown)
}

fn inet<const N: usize>(bytes: &[u8], transport: Transport) -> Option<Endpoints>
where
    IpAddr: From<[u8; N]>,
{
    let (source, rest) = bytes.split_first_chunk::<N>()?;
    let (destination, ports) = rest.split_first_chunk::<N>()?;
    let &[a, b, c, d] = ports.first_chunk()?;
    let source = SocketAddr::new((*source).into(), u16::from_be_bytes([a, b]));
    let destination = SocketAddr::new((*destination).into(), u16::from_be_bytes([c, d]));
    Some(Endpoints::Inet { transport, source, destination })
}

fn unix(bytes: &[u8], transport: Transport) -> Option<Endpoints> {
    let (source, destination) = bytes.split_at_checked(UnixAddress::LENGTH)?;
    let (source, destination) = (UnixAddress::new(source)?, UnixAddress::new(destination)?);
    Some(Endpoints::Unix { transport, source, destination })
}

/// The TLVs from there on, and whether there is a checksum among them, which is right.
fn tlvs(all: &[u8], start: usize) -> Result<(Tlvs, bool), Invalid> {
    let mut tlvs = Tlvs::new();
    let mut checksum = None;
    let mut rest = &all[start..];
    while !rest.is_empty() {
        let at = all.len() - rest.len();
        let (tlv, more) = split(rest).ok_or(Invalid::Tlv { at })?;
        if tlv.kind == kind::CRC32C {
            let value = tlv.value.try_into().map_err(|_| Invalid::ChecksumTlv { at })?;
            if checksum.replace((at + 3, u32::from_be_bytes(value))).is_some() {
                return Err(Invalid::ChecksumTlv { at });
            }
        } else if tlvs.push(tlv.kind, tlv.value).is_err() {
            return Err(Invalid::TooLong { limit: start + Tlvs::MAX + CHECKSUM });
        }
        rest = more;
    }
    let Some((at, said)) = checksum else { return Ok((tlvs, false)) };
    match crc32c(all, at) {
        is if is == said => Ok((tlvs, true)),
        is => Err(Invalid::Checksum { said, is }),
    }
}

/// The checksum of a preamble whose own four bytes are there, and count as zeros.
fn crc32c(all: &[u8], at: usize) -> u32 {
    let mut digest = CRC32C.digest();
    digest.update(&all[..at]);
    digest.update(&[0; 4]);
    digest.update(&all[at + 4..]);
    digest.finalize()
}

pub(super) fn encode(header: &Header) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(FIXED + 36 + header.tlvs.bytes().len() + CHECKSUM);
    bytes.extend(V2_SIGNATURE);
    let command = if header.endpoints == Endpoints::Local { LOCAL } else { PROXY };
    // The family and the length follow once they are known.
    bytes.extend([2 << 4 | command, UNSPEC, 0, 0]);
    match &header.endpoints {
        Endpoints::Local | Endpoints::Unknown => {}
        Endpoints::Inet { transport, source, destination } => {
            let family = match Pair::of(source.ip(), destination.ip()) {
                Pair::V4(pair) => {
                    bytes.extend(pair.iter().flat_map(Ipv4Addr::octets));
                    INET
                }
                Pair::V6(pair) => {
                    bytes.extend(pair.iter().flat_map(Ipv6Addr::octets));
                    INET6
                }
            };
            bytes.extend([source, destination].iter().flat_map(|end| end.port().to_be_bytes()));
            bytes[13] = code(family, *transport);
        }
        Endpoints::Unix { transport, source, destination } => {
            bytes.extend(source.bytes());
            bytes.extend(destination.bytes());
            bytes[13] = code(UNIX, *transport);
        }
    }
    bytes.extend(header.tlvs.bytes());
    if header.crc32c {
        bytes.extend([kind::CRC32C, 0, 4, 0, 0, 0, 0]);
    }
    // At most 216 bytes of addresses, and as many of TLVs as `Tlvs` allows.
    let length = u16::try_from(bytes.len() - FIXED).unwrap_or(u16::MAX);
    bytes[14..FIXED].copy_from_slice(&length.to_be_bytes());
    if header.crc32c {
        let at = bytes.len() - 4;
        let sum = crc32c(&bytes, at);
        bytes[at..].copy_from_slice(&sum.to_be_bytes());
    }
    bytes
}

const fn code(family: u8, transport: Transport) -> u8 {
    family << 4
        | match transport {
            Transport::Stream => 1,
            Transport::Datagram => 2,
        }
}
