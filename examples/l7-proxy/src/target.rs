//! Which host a request asks, and whether the request is well formed. What hyper's parser lets
//! through and the standard does not, is refused here.

use hyper::header::{HOST, HeaderValue};
use hyper::http::request::Parts;
use hyper::http::uri::Authority;
use hyper::{Method, StatusCode, Version};

use crate::refusal::Refusal;

/// What a request asks for.
#[derive(Debug)]
pub(crate) struct Target {
    /// For routes: in lower case, without a port; empty if the request has none.
    pub(crate) host: String,
    /// What goes into the Host header of the forwarded request, unless the client gave none.
    pub(crate) host_header: Option<HeaderValue>,
}

impl Target {
    /// Checks a request's head.
    pub(crate) fn of(head: &Parts) -> Result<Self, Refusal> {
        if head.method == Method::CONNECT {
            let reason = "this proxy opens no tunnels: CONNECT is not supported";
            return Err(Refusal::new(StatusCode::NOT_IMPLEMENTED, reason));
        }
        let path = head.uri.path();
        if !(path.starts_with('/') || (path == "*" && head.method == Method::OPTIONS)) {
            return Err(bad("the request target is not a path"));
        }
        let mut hosts = head.headers.get_all(HOST).iter();
        let given = hosts.next();
        if hosts.next().is_some() {
            return Err(bad("more than one Host header"));
        }
        // RFC 9112, section 3.2: HTTP/1.1 requires it, even if it is empty.
        if given.is_none() && head.version == Version::HTTP_11 {
            return Err(bad("no Host header"));
        }
        let authority = match given {
            Some(value) if !value.is_empty() => {
                Some(Authority::try_from(value.as_bytes()).map_err(|_| bad("bad Host header"))?)
            }
            _ => None,
        };
        // RFC 9112, section 3.2.2: a target in absolute form wins over the Host header.
        let (authority, host_header) = match head.uri.authority() {
            Some(authority) => {
                let value = HeaderValue::try_from(authority.as_str());
                let value = value.map_err(|_| bad("bad host in the request target"))?;
                (Some(authority.clone()), Some(value))
            }
            None => (authority, given.cloned()),
        };
        if authority.as_ref().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(bad("a user name in the host"));
        }
        let host = authority.as_ref().map_or("", Authority::host);
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        Ok(Self { host, host_header })
    }
}

fn bad(reason: &str) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, reason)
}
