//! Any text for a key and any request: a missing part is a missing key, equal requests have equal
//! keys, and a ClientHello is the same however it is divided.
//!
//! The input is a key as a configuration has it, the two ends of the connection, the request's
//! target and its headers, each on a line; after an empty line a ClientHello.
#![no_main]

use std::borrow::Cow;
use std::net::SocketAddr;

use equipoise_hash::key::{AddressForm, KeyHasher, KeyPart, KeySource, KeySpec};
use hyper::header::{HeaderName, HeaderValue};
use hyper::{HeaderMap, Uri};
use l4_proxy::client_hello::{ClientHello, Progress};
use l7_proxy::seen::{Ends, Seen};
use libfuzzer_sys::fuzz_target;

const HASHER: KeyHasher = KeyHasher::new(*b"any secret is ok");

#[derive(serde::Deserialize)]
struct Section {
    key: KeySpec,
}

/// A request, and the ClientHello before it.
struct Request<'a> {
    seen: Seen<'a>,
    sni: Option<&'a str>,
}

impl KeySource for Request<'_> {
    fn client(&self) -> Option<SocketAddr> {
        self.seen.client()
    }
    fn local(&self) -> Option<SocketAddr> {
        self.seen.local()
    }
    fn header(&self, name: &str) -> Option<&[u8]> {
        self.seen.header(name)
    }
    fn cookie(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        self.seen.cookie(name)
    }
    fn query(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        self.seen.query(name)
    }
    fn path(&self) -> Option<&[u8]> {
        self.seen.path()
    }
    fn sni(&self) -> Option<&[u8]> {
        self.sni.map(str::as_bytes)
    }
}

struct Nothing;

impl KeySource for Nothing {}

/// The ClientHello, read at once, and in pieces of every size that it says.
fn hello(bytes: &[u8]) -> Progress {
    let whole = ClientHello::default().read(bytes);
    let size = bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    let mut divided = ClientHello::default();
    let read = bytes.chunks(usize::from(size).max(1)).map(|piece| divided.read(piece)).last();
    assert_eq!(read.unwrap_or_default(), whole);
    whole
}

fn headers<'a>(lines: impl Iterator<Item = &'a [u8]>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines.take(100) {
        let Some(colon) = line.iter().position(|&byte| byte == b':') else { continue };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    headers
}

fn check(spec: &KeySpec, request: &Request<'_>) {
    let key = spec.key(request, &HASHER);
    assert_eq!(key, spec.key(request, &HASHER));
    let alone = |part: &KeyPart| KeySpec::from(part.clone()).key(request, &HASHER);
    assert_eq!(key.is_some(), spec.parts().iter().all(|part| alone(part).is_some()));
    assert_eq!(spec.key(&Nothing, &HASHER), None);
    for form in [AddressForm::Text, AddressForm::Bytes] {
        let bytes = spec.bytes(request, form);
        assert_eq!(bytes.is_some(), spec.parts().iter().any(|part| alone(part).is_some()));
        assert!(bytes.is_none_or(|bytes| !bytes.is_empty()));
    }
}

fuzz_target!(|input: &[u8]| {
    let end = input.windows(2).position(|pair| pair == b"\n\n");
    let (head, hello_bytes) =
        end.map_or((input, &[][..]), |end| (&input[..end], &input[end + 2..]));
    let mut lines = head.split(|&byte| byte == b'\n');
    let mut line = || lines.next().unwrap_or_default();
    let text = format!("key = {}", String::from_utf8_lossy(line()));
    let ends = String::from_utf8_lossy(line()).into_owned();
    let target = line();
    let headers = headers(lines);
    let hello = hello(hello_bytes);

    let spec = match toml::from_str::<Section>(&text) {
        Ok(section) => section.key,
        Err(error) => return assert!(!error.message().is_empty()),
    };
    let (client, local) = ends.split_once(' ').unwrap_or((&ends, ""));
    let (Ok(client), local) = (client.parse(), local.parse().ok()) else { return };
    let Ok(uri) = Uri::try_from(target) else { return };
    let ends = Ends { client, local };
    let host = uri.authority().map_or(&b""[..], |authority| authority.as_str().as_bytes());
    let seen = Seen { ends, host, uri: &uri, headers: &headers };
    let sni = match &hello {
        Progress::Hello(asked) => asked.sni.as_deref(),
        _ => None,
    };
    check(&spec, &Request { seen, sni });
});
