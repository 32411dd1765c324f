//! Bytes that are no preamble, or a wrong one: each mistake has its name.

use equipoise_tokio::proxy_protocol::{
    Decoded, Endpoints, Header, Invalid, Tlvs, Transport, UnixAddress, Version, decode,
};

use crate::{v2, whole};

#[test]
fn mistakes_in_the_line_are_named() {
    for (line, part) in [
        ("PROXY TCP4 1.2.3.4 1.2.3.5 1 2\n", "end"),
        ("PROXY TCP4 1.2.3.4 1.2.3.5 1 2 \r\n", "end"),
        ("PROXY TCP5 1.2.3.4 1.2.3.5 1 2\r\n", "protocol"),
        ("PROXY  TCP4 1.2.3.4 1.2.3.5 1 2\r\n", "protocol"),
        ("PROXY tcp4 1.2.3.4 1.2.3.5 1 2\r\n", "protocol"),
        ("PROXY UNKNOWNS\r\n", "protocol"),
        ("PROXY \r\n", "protocol"),
        ("PROXY TCP4 ::1 1.2.3.5 1 2\r\n", "source address"),
        ("PROXY TCP4 01.2.3.4 1.2.3.5 1 2\r\n", "source address"),
        ("PROXY TCP4  1.2.3.4 1.2.3.5 1 2\r\n", "source address"),
        ("PROXY TCP6 1.2.3.4 ::1 1 2\r\n", "source address"),
        ("PROXY TCP6 ::1 1::2::3 1 2\r\n", "destination address"),
        ("PROXY TCP4 1.2.3.4\r\n", "destination address"),
        ("PROXY TCP4 1.2.3.4 1.2.3.5\r\n", "source port"),
        ("PROXY TCP4 1.2.3.4 1.2.3.5 080 2\r\n", "source port"),
        ("PROXY TCP4 1.2.3.4 1.2.3.5 +80 2\r\n", "source port"),
        ("PROXY TCP4 1.2.3.4 1.2.3.5 65536 2\r\n", "source port"),
        ("PROXY TCP4 1.2.3.4 1.2.3.5 1 -2\r\n", "destination port"),
        ("PROXY TCP4 1.2.3.4 1.2.3.5 1 2\r\r\n", "destination port"),
        ("PROXY TCP4 1.2.3.4 1.2.3.5 1 00\r\n", "destination port"),
    ] {
        assert_eq!(decode(line.as_bytes()), Err(Invalid::Line(part)), "{line:?}");
    }
    assert_eq!(decode(b"PROXY UNKNOWN \xff\r\n"), Err(Invalid::Line("byte")));
    let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(92));
    assert_eq!(decode(long.as_bytes()), Err(Invalid::TooLong { limit: 107 }));
    assert_eq!(decode(&long.as_bytes()[..106]), Ok(Decoded::Incomplete { signed: true }));
}

#[test]
fn mistakes_in_the_first_sixteen_bytes_are_found_at_once() {
    for (bytes, invalid) in [
        (&[0x11][..], Invalid::Version(1)),
        (&[0x31, 0x11, 0, 12], Invalid::Version(3)),
        (&[0x22, 0x11, 0, 12], Invalid::Command(2)),
        (&[0x2f, 0x11, 0, 12], Invalid::Command(15)),
        (&[0x21, 0x41, 0, 12], Invalid::Family(4)),
        (&[0x21, 0x13, 0, 12], Invalid::Transport(3)),
        (&[0x21, 0x11, 0, 11], Invalid::Length { said: 11, needed: 12 }),
        (&[0x21, 0x22, 0, 35], Invalid::Length { said: 35, needed: 36 }),
        (&[0x21, 0x31, 0, 215], Invalid::Length { said: 215, needed: 216 }),
        (&[0x21, 0x11, 0xff, 0xff], Invalid::TooLong { limit: 16 + 12 + 4103 }),
        (&[0x20, 0x00, 0xff, 0xff], Invalid::TooLong { limit: 16 + 4103 }),
    ] {
        assert_eq!(decode(&v2(&[bytes])), Err(invalid));
    }
}

#[test]
fn tlvs_that_do_not_fit_are_refused() {
    let with = |tlvs: &[u8]| {
        let length = u16::try_from(12 + tlvs.len()).unwrap().to_be_bytes();
        decode(&v2(&[&[0x21, 0x11], &length, &[0; 12], tlvs]))
    };
    assert_eq!(with(&[4]), Err(Invalid::Tlv { at: 28 }));
    assert_eq!(with(&[4, 0, 0, 4, 0, 1]), Err(Invalid::Tlv { at: 31 }));
    assert_eq!(with(&[4, 0xff, 0xff, 0]), Err(Invalid::Tlv { at: 28 }));
    assert_eq!(with(&[3, 0, 3, 0, 0, 0]), Err(Invalid::ChecksumTlv { at: 28 }));
    let twice = [3, 0, 4, 0, 0, 0, 0, 3, 0, 4, 0, 0, 0, 0];
    assert_eq!(with(&twice), Err(Invalid::ChecksumTlv { at: 35 }));
    assert!(matches!(with(&twice[..7]), Err(Invalid::Checksum { said: 0, .. })));
    let most = [&[9, 0x0f, 0xfd][..], &vec![0; 4093]].concat();
    assert!(matches!(with(&most), Ok(Decoded::Whole(..))));
    let more = [&[9, 0x0f, 0xfe][..], &vec![0; 4094]].concat();
    assert!(matches!(with(&more), Err(Invalid::TooLong { .. })));
    let mut tlvs = Tlvs::new();
    assert!(tlvs.push(9, &[0; 4094]).is_err() && tlvs.is_empty());
    assert!(tlvs.push(9, &vec![0; 1 << 17]).is_err() && tlvs.is_empty());
    assert!(tlvs.push(9, &[0; 4093]).is_ok() && tlvs.push(9, &[]).is_err());
}

/// One preamble of each kind.
pub(crate) fn samples() -> Vec<Header> {
    let (v4, other) = ("192.0.2.1:4321".parse().unwrap(), "192.0.2.2:443".parse().unwrap());
    let (v6, local) = ("[2001:db8::1]:1".parse().unwrap(), "[2001:db8::2]:443".parse().unwrap());
    let unix = Endpoints::Unix {
        transport: Transport::Stream,
        source: UnixAddress::new(b"/run/a").unwrap(),
        destination: UnixAddress::new(b"\0b").unwrap(),
    };
    let mut with_tlvs = Header::v2(v4, other);
    with_tlvs.tlvs.push(1, b"h2").unwrap();
    with_tlvs.tlvs.push(2, b"shop.example").unwrap();
    vec![
        Header::v1(v4, other),
        Header::v1(v6, local),
        Header::v2(v4, other),
        Header::v2(v6, local).with_crc32c(),
        Header::new(Version::V2, unix).with_crc32c(),
        Header::local(),
        Header::local().with_crc32c(),
        Header::new(Version::V2, Endpoints::Unknown).with_crc32c(),
        with_tlvs.clone(),
        with_tlvs.with_crc32c(),
    ]
}

#[test]
fn every_truncation_is_incomplete() {
    for header in samples() {
        let bytes = header.encode();
        let signature = if header.version == Version::V1 { 6 } else { 12 };
        for length in 0..bytes.len() {
            let signed = length >= signature;
            assert_eq!(decode(&bytes[..length]), Ok(Decoded::Incomplete { signed }), "{length}");
        }
        assert_eq!(whole(&bytes), header);
    }
}

#[test]
fn no_byte_can_be_changed_under_a_checksum() {
    let mut refused = 0;
    for header in samples() {
        let bytes = header.encode();
        for (at, by) in (0..bytes.len()).flat_map(|at| (1..=255).map(move |by| (at, by))) {
            let mut changed = bytes.clone();
            changed[at] ^= by;
            match decode(&changed) {
                // The checksum's own TLV may have been hidden, but then none was checked.
                Ok(Decoded::Whole(got, _)) => assert!(!got.crc32c, "{at} {by:x} {got:?}"),
                Err(Invalid::Checksum { .. }) => refused += 1,
                _ => {}
            }
        }
    }
    assert!(refused > 50_000, "{refused}");
}

#[test]
fn other_protocols_are_told_from_it_by_the_first_byte_that_differs() {
    for bytes in [&b"G"[..], b"PO", b"PWD\r\n", b"PROXYx", b"\r\n\r\nQ", b"\x16\x03\x01", b"\0"] {
        assert_eq!(decode(bytes), Ok(Decoded::Other), "{}", bytes.escape_ascii());
    }
}
