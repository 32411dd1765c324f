//! A part of a key as one request has it.

use alloc::borrow::Cow;
use alloc::format;
use alloc::vec::Vec;
use core::hash::Hasher;
use core::net::{IpAddr, SocketAddr};

use super::hasher::Sum;

/// How an address becomes bytes, where another balancer's way is followed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AddressForm {
    /// As text, such as `192.0.2.1` and `2001:db8::1`: nginx's `hash $remote_addr`, Envoy.
    Text,
    /// As the 4 or 16 bytes of the packet: HAProxy's `balance source`, nginx's `ip_hash`.
    Bytes,
}

/// What a request has for a part of its key. It is not empty.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Value<'a> {
    /// Bytes, taken as they are.
    Bytes(Cow<'a, [u8]>),
    /// A host name as it was sent, and what of it names the host: this is compared without regard
    /// to case.
    Host { sent: &'a [u8], name: &'a [u8] },
    /// A client's address, or the network that it is in.
    Address(IpAddr),
    /// Both ends of a connection.
    Ends(SocketAddr, SocketAddr),
}

impl<'a> Value<'a> {
    /// Bytes, unless there are none.
    pub(super) fn bytes(bytes: Cow<'a, [u8]>) -> Option<Self> {
        (!bytes.is_empty()).then_some(Self::Bytes(bytes))
    }

    /// The host of a Host header, without the port, or of an SNI.
    pub(super) fn host(sent: &'a [u8]) -> Option<Self> {
        let sent = sent.trim_ascii();
        let host = without_port(sent);
        let name = host.strip_suffix(b".").unwrap_or(host);
        (!name.is_empty()).then_some(Self::Host { sent, name })
    }

    /// The network of an address. IPv4 in IPv6 is IPv4.
    pub(super) fn network(address: IpAddr, v4_prefix: u8, v6_prefix: u8) -> Self {
        Self::Address(match address.to_canonical() {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(v4_prefix)).unwrap_or(0);
                IpAddr::V4((address.to_bits() & mask).into())
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(v6_prefix)).unwrap_or(0);
                IpAddr::V6((address.to_bits() & mask).into())
            }
        })
    }

    /// Both ends of a connection. IPv4 in IPv6 is IPv4; scopes and flow labels don't count.
    pub(super) fn ends(client: SocketAddr, local: SocketAddr) -> Self {
        let canonical = |end: SocketAddr| SocketAddr::new(end.ip().to_canonical(), end.port());
        Self::Ends(canonical(client), canonical(local))
    }

    /// Adds it to a key.
    pub(super) fn add_to<H: Hasher>(&self, sum: &mut Sum<H>) {
        match self {
            Self::Bytes(bytes) => sum.add(bytes),
            Self::Host { name, .. } => sum.add_lower_case(name),
            Self::Address(IpAddr::V4(address)) => sum.add(&address.octets()),
            Self::Address(IpAddr::V6(address)) => sum.add(&address.octets()),
            Self::Ends(client, local) => {
                for end in [client, local] {
                    let (bytes, length) = end_bytes(*end);
                    sum.add(&bytes[..length]);
                }
            }
        }
    }

    /// Appends it as another balancer would take it: what was sent is as it was sent.
    pub(super) fn append_to(&self, bytes: &mut Vec<u8>, addresses: AddressForm) {
        match (self, addresses) {
            (Self::Bytes(sent), _) => bytes.extend_from_slice(sent),
            (Self::Host { sent, .. }, _) => bytes.extend_from_slice(sent),
            (Self::Address(address), AddressForm::Text) => {
                bytes.extend_from_slice(format!("{address}").as_bytes());
            }
            (Self::Address(IpAddr::V4(address)), AddressForm::Bytes) => {
                bytes.extend_from_slice(&address.octets());
            }
            (Self::Address(IpAddr::V6(address)), AddressForm::Bytes) => {
                bytes.extend_from_slice(&address.octets());
            }
            (Self::Ends(client, local), AddressForm::Text) => {
                bytes.extend_from_slice(format!("{client}{local}").as_bytes());
            }
            (Self::Ends(client, local), AddressForm::Bytes) => {
                for end in [client, local] {
                    let (end, length) = end_bytes(*end);
                    bytes.extend_from_slice(&end[..length]);
                }
            }
        }
    }
}

/// An address and a port, most significant byte first, and how many bytes those are.
fn end_bytes(end: SocketAddr) -> ([u8; 18], usize) {
    let mut bytes = [0; 18];
    let length = match end.ip() {
        IpAddr::V4(address) => {
            bytes[..4].copy_from_slice(&address.octets());
            4
        }
        IpAddr::V6(address) => {
            bytes[..16].copy_from_slice(&address.octets());
            16
        }
    };
    bytes[length..length + 2].copy_from_slice(&end.port().to_be_bytes());
    (bytes, length + 2)
}

/// A host without its port. What has more colons and no brackets is no host with a port.
fn without_port(host: &[u8]) -> &[u8] {
    let Some(colon) = host.iter().rposition(|&byte| byte == b':') else { return host };
    let (name, port) = (&host[..colon], &host[colon + 1..]);
    let has_port = port.iter().all(u8::is_ascii_digit);
    let has_name = name.ends_with(b"]") || !name.contains(&b':');
    if has_port && has_name { name } else { host }
}

/// The beginning of a path that has `depth` segments: all of it, if it has no more than those.
/// Empty segments don't count.
pub(super) fn first_segments(path: &[u8], depth: u8) -> &[u8] {
    let mut segments = 0;
    let mut in_segment = false;
    for (index, &byte) in path.iter().enumerate() {
        if byte != b'/' {
            segments += usize::from(!in_segment);
            in_segment = true;
        } else {
            if in_segment && segments == usize::from(depth) {
                return &path[..index];
            }
            in_segment = false;
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(value: &Value<'_>) -> Vec<u8> {
        let mut bytes = Vec::new();
        value.append_to(&mut bytes, AddressForm::Text);
        bytes
    }

    #[test]
    fn the_first_segments_of_a_path() {
        for (path, depth, expected) in [
            ("/a/b/c", 1, "/a"),
            ("/a/b/c", 2, "/a/b"),
            ("/a/b/c", 3, "/a/b/c"),
            ("/a/b/c", 255, "/a/b/c"),
            ("/a/b/", 2, "/a/b"),
            ("/a", 1, "/a"),
            ("/a/", 1, "/a"),
            ("/a/", 2, "/a/"),
            ("/", 1, "/"),
            ("//", 1, "//"),
            ("//a", 1, "//a"),
            ("//a//b", 1, "//a"),
            ("/a//b/c", 2, "/a//b"),
            ("*", 1, "*"),
            ("", 1, ""),
        ] {
            assert_eq!(
                first_segments(path.as_bytes(), depth),
                expected.as_bytes(),
                "{path} {depth}"
            );
        }
    }

    #[test]
    fn a_host_has_no_port_and_no_dot_at_its_end() {
        for (sent, expected) in [
            ("a.example", "a.example"),
            ("A.example.:8080", "A.example"),
            ("a.example:", "a.example"),
            (" a.example ", "a.example"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
            ("::1", "::1"),
            ("a:b", "a:b"),
        ] {
            let Some(Value::Host { name, .. }) = Value::host(sent.as_bytes()) else {
                panic!("{sent}")
            };
            assert_eq!(name, expected.as_bytes(), "{sent}");
        }
        for nothing in ["", " ", ".", ":80", ".:80"] {
            assert_eq!(Value::host(nothing.as_bytes()), None, "{nothing}");
        }
    }

    #[test]
    fn addresses_have_two_forms() {
        let value = Value::network("::ffff:192.0.2.77".parse().unwrap(), 24, 64);
        assert_eq!(text(&value), b"192.0.2.0");
        let mut bytes = Vec::new();
        value.append_to(&mut bytes, AddressForm::Bytes);
        assert_eq!(bytes, [192, 0, 2, 0]);
        let value = Value::network("2001:db8:0:1:2::3".parse().unwrap(), 24, 64);
        assert_eq!(text(&value), b"2001:db8:0:1::");

        let ends = Value::ends("[::ffff:1.2.3.4]:5".parse().unwrap(), "[::1]:6".parse().unwrap());
        assert_eq!(text(&ends), b"1.2.3.4:5[::1]:6");
        let mut bytes = Vec::new();
        ends.append_to(&mut bytes, AddressForm::Bytes);
        assert_eq!(bytes[..6], [1, 2, 3, 4, 0, 5]);
        assert_eq!(bytes[6..], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 6]);
    }

    proptest! {
        /// Against the definition: the first bits are the same, the others 0.
        #[test]
        fn a_prefix_keeps_the_first_bits(v4: u32, v6: u128, p4 in 1_u8..=32, p6 in 1_u8..=128) {
            let Value::Address(IpAddr::V4(net)) = Value::network(IpAddr::V4(v4.into()), p4, p6)
                else { panic!("not IPv4") };
            for bit in 0..32 {
                let kept = bit < u32::from(p4) && v4 >> (31 - bit) & 1 == 1;
                prop_assert_eq!(net.to_bits() >> (31 - bit) & 1 == 1, kept);
            }
            let address = IpAddr::V6(v6.into());
            prop_assume!(address.to_canonical().is_ipv6());
            let Value::Address(IpAddr::V6(net)) = Value::network(address, p4, p6)
                else { panic!("not IPv6") };
            for bit in 0..128 {
                let kept = bit < u32::from(p6) && v6 >> (127 - bit) & 1 == 1;
                prop_assert_eq!(net.to_bits() >> (127 - bit) & 1 == 1, kept);
            }
        }

        /// Against the definition by lists of segments.
        #[test]
        fn the_beginning_of_a_path_has_its_segments(path in "[/ab]{0,12}", depth in 1_u8..5) {
            let beginning = first_segments(path.as_bytes(), depth);
            prop_assert!(path.as_bytes().starts_with(beginning));
            let segments = |path: &[u8]| {
                let all = path.split(|&byte| byte == b'/').filter(|segment| !segment.is_empty());
                all.map(<[u8]>::to_vec).collect::<Vec<_>>()
            };
            let (all, first) = (segments(path.as_bytes()), segments(beginning));
            prop_assert_eq!(&all[..all.len().min(depth.into())], &first[..]);
            prop_assert!(all.len() > depth.into() || beginning.len() == path.len()
                || all.len() == usize::from(depth));
        }
    }
}
