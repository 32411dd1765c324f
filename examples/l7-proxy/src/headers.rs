//! Hop-by-hop and forwarded headers.

use std::net::IpAddr;

use hyper::HeaderMap;
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderName, HeaderValue, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};

use crate::target::Target;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Headers that concern one connection only, named by `Connection` or not (RFC 9110, section
/// 7.6.1, and what older clients still send).
static HOP_BY_HOP: [HeaderName; 8] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Makes a client's headers those of the request to a backend, all but Host.
pub(crate) fn forward_request(headers: &mut HeaderMap, target: &Target, client: IpAddr) {
    // Those of a request are not passed on; those of a response are.
    headers.remove(TRAILER);
    let wants_trailers = headers.get_all(TE).iter().any(has_trailers);
    remove_hop_by_hop(headers);
    if wants_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    // The server side of this proxy has answered it.
    headers.remove(EXPECT);

    // All lines become one, so that no reader can overlook the address that we vouch for.
    let mut chain: Vec<u8> = Vec::new();
    for line in headers.get_all(&X_FORWARDED_FOR) {
        chain.extend_from_slice(line.as_bytes());
        chain.extend_from_slice(b", ");
    }
    chain.extend_from_slice(client.to_canonical().to_string().as_bytes());
    if let Ok(chain) = HeaderValue::from_bytes(&chain) {
        headers.insert(X_FORWARDED_FOR, chain);
    }
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static("http"));
    headers.remove(&X_FORWARDED_HOST);
    if let Some(host) = &target.host_header {
        headers.insert(X_FORWARDED_HOST, host.clone());
    }
}

/// Sets the Host header: the client's, unchanged. An HTTP/1.0 client may have sent none; HTTP/1.1,
/// which we speak to the backend, requires it, so then it is the backend's name.
pub(crate) fn set_host(headers: &mut HeaderMap, target: &Target, backend: Option<HeaderValue>) {
    if let Some(host) = target.host_header.clone().or(backend) {
        headers.insert(HOST, host);
    }
}

/// Makes a backend's headers those of the response to the client.
pub(crate) fn forward_response(headers: &mut HeaderMap) {
    // RFC 9112, section 6.3: the coding overrides the length, which must not be passed on.
    if headers.contains_key(TRANSFER_ENCODING) {
        headers.remove(CONTENT_LENGTH);
    }
    remove_hop_by_hop(headers);
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|line| line.as_bytes().split(|&byte| byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        // These say where the message goes and where it ends; no sender may have them dropped.
        .filter(|name| *name != HOST && *name != CONTENT_LENGTH)
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

fn has_trailers(line: &HeaderValue) -> bool {
    let is_trailers = |part: &[u8]| part.trim_ascii().eq_ignore_ascii_case(b"trailers");
    line.as_bytes().split(|&byte| byte == b',').any(is_trailers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_cant_drop_what_frames_the_message() {
        let mut headers = HeaderMap::new();
        headers.insert(CONNECTION, "x-a ,Host,content-length, close,, bad name".parse().unwrap());
        for name in ["x-a", "host", "content-length", "x-b", "te"] {
            headers.insert(HeaderName::from_static(name), "1".parse().unwrap());
        }
        remove_hop_by_hop(&mut headers);
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["content-length", "host", "x-b"]);
    }
}
