//! What is written is read, and anything is read.

use std::net::{IpAddr, SocketAddr};

use equipoise_tokio::proxy_protocol::{
    Decoded, Endpoints, Header, MAX_LENGTH, Tlvs, Transport, UnixAddress, Version, decode,
};
use proptest::collection::vec;
use proptest::prelude::*;

fn transport() -> impl Strategy<Value = Transport> {
    prop_oneof![Just(Transport::Stream), Just(Transport::Datagram)]
}

fn v4() -> impl Strategy<Value = SocketAddr> {
    any::<([u8; 4], u16)>().prop_map(|(ip, port)| SocketAddr::new(IpAddr::from(ip), port))
}

fn v6() -> impl Strategy<Value = SocketAddr> {
    let address = any::<([u8; 16], u16)>();
    address.prop_map(|(ip, port)| SocketAddr::new(IpAddr::from(ip), port))
}

fn endpoints() -> impl Strategy<Value = Endpoints> {
    let inet =
        |(transport, source, destination)| Endpoints::Inet { transport, source, destination };
    let name = || vec(1_u8.., 0..=108).prop_map(|name| UnixAddress::new(&name).unwrap());
    let unix = (transport(), name(), name());
    prop_oneof![
        Just(Endpoints::Local),
        Just(Endpoints::Unknown),
        (transport(), v4(), v4()).prop_map(inet),
        (transport(), v6(), v6()).prop_map(inet),
        unix.prop_map(|(transport, source, destination)| Endpoints::Unix {
            transport,
            source,
            destination
        }),
    ]
}

fn tlvs() -> impl Strategy<Value = Tlvs> {
    vec((any::<u8>(), vec(any::<u8>(), 0..400)), 0..12).prop_map(|all| {
        let mut tlvs = Tlvs::new();
        for (kind, value) in all {
            // Those that are too many are left out.
            let _ = tlvs.push(kind, &value);
        }
        tlvs
    })
}

proptest! {
    #[test]
    fn version_2_is_read_as_it_was_written(
        endpoints in endpoints(), tlvs in tlvs(), crc32c: bool, after in vec(any::<u8>(), 0..20)
    ) {
        let header = Header { version: Version::V2, endpoints, tlvs, crc32c };
        let mut bytes = header.encode();
        let length = bytes.len();
        prop_assert!(length <= MAX_LENGTH);
        bytes.extend(after);
        prop_assert_eq!(decode(&bytes), Ok(Decoded::Whole(Box::new(header), length)));
    }

    #[test]
    fn version_1_is_read_as_it_was_written(a in v4(), b in v4(), c in v6(), d in v6()) {
        for header in [Header::v1(a, b), Header::v1(c, d)] {
            let bytes = header.encode();
            let length = bytes.len();
            prop_assert_eq!(decode(&bytes), Ok(Decoded::Whole(Box::new(header), length)));
        }
    }

    #[test]
    fn any_bytes_after_a_signature_are_read(rest in vec(any::<u8>(), 0..300), v1: bool, tidy: bool) {
        let mut bytes = if v1 { b"PROXY ".to_vec() } else { crate::SIGNATURE.to_vec() };
        if tidy {
            bytes.extend([0x21, 0x11, 0, 40]);
        }
        bytes.extend(rest);
        match decode(&bytes) {
            Ok(Decoded::Whole(header, length)) => {
                prop_assert!(length <= bytes.len());
                // What was understood is told again in the same words.
                let again = header.encode();
                prop_assert_eq!(crate::whole(&again).encode(), again);
            }
            Ok(Decoded::Incomplete { signed }) => prop_assert!(signed && bytes.len() < MAX_LENGTH),
            Ok(Decoded::Other) => prop_assert!(false, "it is signed"),
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }
}
