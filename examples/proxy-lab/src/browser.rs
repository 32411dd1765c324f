//! A client that keeps its cookies, as a browser does.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::client::{Reply, raw};

/// A client of one address, with its cookies. Each request has a connection of its own.
#[derive(Clone, Debug)]
pub struct Browser {
    /// Where its requests go.
    pub address: SocketAddr,
    /// Names and values. What else a cookie says is not heeded, but for `Max-Age=0`, which ends it.
    pub cookies: BTreeMap<String, String>,
}

impl Browser {
    /// One without cookies.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, cookies: BTreeMap::new() }
    }

    /// A GET.
    pub fn get(&mut self, path: &str) -> Reply {
        self.request("GET", path, "*/*", "")
    }

    /// A POST of a form, written as it is sent: `user=ada`.
    pub fn post(&mut self, path: &str, form: &str) -> Reply {
        self.request("POST", path, "*/*", form)
    }

    /// A request. `accept` is what the client would like.
    pub fn request(&mut self, method: &str, path: &str, accept: &str, form: &str) -> Reply {
        let cookies: Vec<_> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let cookies = match cookies.is_empty() {
            true => String::new(),
            false => format!("Cookie: {}\r\n", cookies.join("; ")),
        };
        let reply = raw(
            self.address,
            format!(
                "{method} {path} HTTP/1.1\r\nHost: lab\r\nAccept: {accept}\r\n{cookies}\
                 Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
                form.len()
            ),
        );
        self.keep_cookies(&reply);
        reply
    }

    fn keep_cookies(&mut self, reply: &Reply) {
        for (_, value) in reply.headers.iter().filter(|(name, _)| name == "set-cookie") {
            let mut parts = value.split(';').map(str::trim);
            let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else {
                continue;
            };
            if parts.any(|attribute| attribute.eq_ignore_ascii_case("max-age=0")) {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }
}
