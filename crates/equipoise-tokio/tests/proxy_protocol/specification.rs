//! Sections 2.1 and 2.2 of the specification, byte for byte.

use std::net::SocketAddr;

use equipoise_tokio::proxy_protocol::{
    Decoded, Endpoints, Header, Tlv, TlvTooLong, Tlvs, Transport, UnixAddress, Version, decode,
    kind,
};

use crate::{crc32c, v2, whole};

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[test]
fn the_example_of_version_1() {
    let line = b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n";
    let header = Header::v1(address("192.168.0.1:56324"), address("192.168.0.11:443"));
    assert_eq!(whole(line), header);
    assert_eq!(header.encode(), line);
    let request = [&line[..], b"GET / HTTP/1.1\r\nHost: 192.168.0.11\r\n\r\n"].concat();
    assert_eq!(decode(&request), Ok(Decoded::Whole(Box::new(header), line.len())));
}

#[test]
fn the_longest_lines_of_version_1() {
    let v4 = b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n";
    assert_eq!(v4.len(), 56);
    assert_eq!(whole(v4).encode(), v4);
    let all = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    let v6 = format!("PROXY TCP6 {all} {all} 65535 65535\r\n");
    assert_eq!(v6.len(), 104);
    assert_eq!(whole(v6.as_bytes()).encode(), v6.as_bytes());
    let unknown = format!("PROXY UNKNOWN {all} {all} 65535 65535\r\n");
    assert_eq!(unknown.len(), 107);
    assert_eq!(whole(unknown.as_bytes()), Header::new(Version::V1, Endpoints::Unknown));
    assert_eq!(Header::new(Version::V1, Endpoints::Unknown).encode(), b"PROXY UNKNOWN\r\n");
}

#[test]
fn what_follows_unknown_is_ignored() {
    for line in ["PROXY UNKNOWN\r\n", "PROXY UNKNOWN \r\n", "PROXY UNKNOWN what ever 1\r\n"] {
        assert_eq!(whole(line.as_bytes()).endpoints, Endpoints::Unknown);
    }
}

#[test]
fn version_2_over_each_family_and_transport() {
    let v4 = [&[192, 0, 2, 1, 192, 0, 2, 2][..], &[0x10, 0xe1, 0, 80]].concat();
    let mut v6 = vec![0; 36];
    (v6[..2]).copy_from_slice(&[0x20, 1]);
    (v6[16], v6[31], v6[35]) = (0xfe, 7, 53);
    let mut unix = vec![0; 216];
    unix[..4].copy_from_slice(b"/a/b");
    unix[108..112].copy_from_slice(b"\0abs");
    let inet = |transport, source, destination| Endpoints::Inet {
        transport,
        source: address(source),
        destination: address(destination),
    };
    let (source, destination) =
        (UnixAddress::new(b"/a/b").unwrap(), UnixAddress::new(b"\0abs").unwrap());
    assert_eq!((source.name(), destination.name()), (&b"/a/b"[..], &b"\0abs"[..]));
    for (code, transport) in [(1, Transport::Stream), (2, Transport::Datagram)] {
        for (family, block, endpoints) in [
            (0x10, &v4, inet(transport, "192.0.2.1:4321", "192.0.2.2:80")),
            (0x20, &v6, inet(transport, "[2001::]:0", "[fe00::7]:53")),
            (0x30, &unix, Endpoints::Unix { transport, source, destination }),
        ] {
            let length = u16::try_from(block.len()).unwrap().to_be_bytes();
            let bytes = v2(&[&[0x21, family | code], &length, block]);
            let header = Header::new(Version::V2, endpoints);
            assert_eq!(whole(&bytes), header);
            assert_eq!(header.encode(), bytes);
        }
    }
}

#[test]
fn a_connection_of_the_proxys_own() {
    let bytes = v2(&[&[0x20, 0, 0, 0]]);
    assert_eq!(whole(&bytes), Header::local());
    assert_eq!(Header::local().encode(), bytes);
    // "Must not assume zero": its block is skipped, whatever it holds.
    let like_a_checksum = [3, 0, 4, 1, 2, 3, 4, 4, 0, 2, 0, 0];
    for block in [&like_a_checksum[..], &[255; 12], &[1, 2]] {
        for family in [0x11, 0x21, 0x31, 0xff] {
            let length = [0, u8::try_from(block.len()).unwrap()];
            let bytes = v2(&[&[0x20, family], &length, block]);
            if family == 0xff && block == like_a_checksum {
                continue;
            }
            assert_eq!(whole(&bytes).endpoints, Endpoints::Local, "{family:x} {block:?}");
        }
    }
}

#[test]
fn an_unspecified_family_or_transport_has_no_addresses() {
    assert_eq!(whole(&v2(&[&[0x21, 0, 0, 0]])), Header::new(Version::V2, Endpoints::Unknown));
    for family in [0x00, 0x01, 0x02, 0x10] {
        let header = whole(&v2(&[&[0x21, family, 0, 12], &[255; 12]]));
        assert_eq!(header, Header::new(Version::V2, Endpoints::Unknown), "{family:x}");
    }
}

#[test]
fn a_tlv_takes_the_place_of_all_of_its_type() {
    let all = |tlvs: &Tlvs| {
        let pair = |tlv: Tlv<'_>| (tlv.kind, tlv.value.to_vec());
        tlvs.iter().map(pair).collect::<Vec<_>>()
    };
    let mut tlvs = Tlvs::new();
    tlvs.set(kind::ALPN, b"h2").unwrap();
    assert_eq!(all(&tlvs), [(kind::ALPN, b"h2".to_vec())]);
    for (kind, value) in [(kind::UNIQUE_ID, "7"), (kind::ALPN, "imap"), (kind::AUTHORITY, "a")] {
        tlvs.push(kind, value.as_bytes()).unwrap();
    }
    tlvs.set(kind::ALPN, b"http/1.1").unwrap();
    let [alpn, id, host] =
        [(kind::ALPN, "http/1.1"), (kind::UNIQUE_ID, "7"), (kind::AUTHORITY, "a")]
            .map(|(kind, value)| (kind, value.as_bytes().to_vec()));
    assert_eq!(all(&tlvs), [alpn, id, host]);
    // One that does not fit changes nothing.
    let before = tlvs.clone();
    assert_eq!(tlvs.set(kind::ALPN, &[0; Tlvs::MAX]), Err(TlvTooLong));
    assert_eq!(tlvs, before);
    // The checksum is none of them.
    tlvs.set(kind::CRC32C, &[0; 4]).unwrap();
    assert_eq!(tlvs, before);
}

#[test]
fn tlvs_are_kept_in_their_order() {
    let block = [192, 0, 2, 1, 192, 0, 2, 2, 0, 1, 0, 2];
    // Two of one type, an empty one, one that nobody knows, and TLS's, with its own TLVs inside.
    let tls = [0x20, 0, 13, 1, 0, 0, 0, 0, 0x21, 0, 5, b'T', b'L', b'S', b'v', b'1'];
    let tlvs = [&[4, 0, 0, 0xe0, 0, 1, 9, 0xe0, 0, 1, 8, 2, 0, 1, b'a'][..], &tls].concat();
    let length = [0, u8::try_from(block.len() + tlvs.len()).unwrap()];
    let bytes = v2(&[&[0x21, 0x11], &length, &block, &tlvs]);
    let header = whole(&bytes);
    assert_eq!(header.tlvs.get(kind::AUTHORITY), Some(&b"a"[..]));
    assert_eq!(header.tlvs.get(kind::SSL), Some(&tls[3..]));
    assert_eq!(header.tlvs.get(0xe0), Some(&[9][..]));
    assert_eq!(
        header.tlvs.iter().map(|tlv| tlv.kind).collect::<Vec<_>>(),
        [4, 0xe0, 0xe0, 2, 0x20]
    );
    assert_eq!(header.encode(), bytes);
}

#[test]
fn the_checksum_is_that_of_rfc_4960_wherever_it_stands() {
    // RFC 3720, B.4: 32 bytes of zeros.
    assert_eq!(crc32c(&[0; 32]), 0x8A91_36AA);
    for (before, after) in [(&[][..], &[][..]), (&[4, 0, 1, 7], &[]), (&[], &[1, 0, 2, b'h', b'2'])]
    {
        let block = [192, 0, 2, 1, 192, 0, 2, 2, 0, 1, 0, 2];
        let length = [0, u8::try_from(12 + before.len() + 7 + after.len()).unwrap()];
        let mut bytes =
            v2(&[&[0x21, 0x11], &length, &block, before, &[3, 0, 4, 0, 0, 0, 0], after]);
        let at = 16 + 12 + before.len() + 3;
        let sum = crc32c(&bytes).to_be_bytes();
        bytes[at..at + 4].copy_from_slice(&sum);
        let header = whole(&bytes);
        assert!(header.crc32c);
        assert_eq!(header.tlvs.get(kind::CRC32C), None);
        if after.is_empty() {
            assert_eq!(header.encode(), bytes);
        }
    }
}

#[test]
fn mixed_families_are_written_as_one() {
    let (v4, v6) = (address("192.0.2.1:4321"), address("[2001:db8::2]:80"));
    let mapped = address("[::ffff:192.0.2.1]:4321");
    assert_eq!(Header::v1(v4, v6).encode(), b"PROXY TCP6 ::ffff:192.0.2.1 2001:db8::2 4321 80\r\n");
    assert_eq!(whole(&Header::v1(v4, v6).encode()), Header::v1(mapped, v6));
    assert_eq!(whole(&Header::v2(v4, v6).encode()), Header::v2(mapped, v6));
    assert_eq!(whole(&Header::v2(v6, v4).encode()), Header::v2(v6, mapped));
    // What a socket for both families says of an IPv4 client.
    let local = address("[::ffff:192.0.2.2]:80");
    assert_eq!(Header::v1(mapped, local).encode(), b"PROXY TCP4 192.0.2.1 192.0.2.2 4321 80\r\n");
}
