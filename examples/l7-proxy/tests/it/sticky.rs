//! Sessions that stay with their backend: `docs/sessions.md`, line by line.

mod cookie;
mod hostile;
mod lost;
mod modes;
mod surplus;
mod tokens;

use std::collections::BTreeSet;
use std::net::SocketAddr;

use proxy_lab::backend::Backend;
use proxy_lab::client::{Connection, Reply, raw};
use proxy_lab::process::Proxy;
use proxy_lab::table::ConfigFile;

use crate::{PROXY, SCRATCH};

const NAMES: [&str; 3] = ["one", "two", "three"];

/// A proxy over backends at these addresses. `sticky` goes on the section of the pool's sessions, which says
/// what came of them in `x-session`; other sections may follow.
fn proxy(addresses: &[&str], sticky: &str) -> Proxy {
    proxy_over(&format!("backends = {addresses:?}"), sticky)
}

/// The same, over what the section of the pool says.
fn proxy_over(pool: &str, sticky: &str) -> Proxy {
    let text = format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"127.0.0.1:0\"\n\
         [pools.a]\npolicy = \"round_robin\"\n{pool}\n\
         [pools.a.sticky]\nreport = \"x-session\"\n{sticky}\n"
    );
    let file = ConfigFile::new(SCRATCH, "sticky", &text);
    Proxy::start(PROXY, 1, ["--config", file.path()])
}

fn over(backends: &[Backend], sticky: &str) -> Proxy {
    let addresses: Vec<_> = backends.iter().map(|backend| backend.address.as_str()).collect();
    proxy(&addresses, sticky)
}

/// An answer, and what it says of the session.
#[derive(Debug)]
struct Answer(Reply);

/// A GET with these header lines, on a connection of its own.
fn ask(proxy: &Proxy, target: &str, lines: &str) -> Answer {
    Answer(raw(proxy.address(), get(target, lines)))
}

fn get(target: &str, lines: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: lab\r\n{lines}\r\n")
}

fn cookie(cookies: &str) -> String {
    format!("Cookie: {cookies}\r\n")
}

impl Answer {
    /// The name of the backend that answered, which is the body up to a colon.
    fn backend(&self) -> String {
        assert_eq!(self.0.status, 200, "{self:?}");
        self.0.text().split(':').next().unwrap_or_default().to_owned()
    }

    /// What came of the session; empty if nothing is said.
    fn word(&self) -> &str {
        self.0.header("x-session").unwrap_or_default()
    }

    /// All that it has the client keep.
    fn set(&self) -> Vec<&str> {
        let set = self.0.headers.iter().filter(|(name, _)| name == "set-cookie");
        set.map(|(_, value)| value.as_str()).collect()
    }

    /// The cookie of this name as the client sends it: `srv=...`.
    fn kept(&self, name: &str) -> String {
        let pair = |value: &&str| value.starts_with(&format!("{name}="));
        let value = self.set().into_iter().find(pair).expect("the cookie is set");
        value.split(';').next().unwrap_or_default().to_owned()
    }
}

/// A session that is new, as a header line, and its backend.
fn session(proxy: &Proxy, name: &str) -> (String, String) {
    let first = ask(proxy, "/", "");
    assert_eq!(first.word(), "new");
    (cookie(&first.kept(name)), first.backend())
}

/// Sends this again and again: it must be of no use each time, and not all go to one backend.
fn assert_misses(proxy: &Proxy, target: &str, lines: &str) {
    let mut used = BTreeSet::new();
    for _ in 0..6 {
        let answer = ask(proxy, target, lines);
        assert_eq!(answer.word(), "miss", "{target} {lines:.200}");
        used.insert(answer.backend());
    }
    assert!(used.len() > 1, "{target} {lines:.200}: {used:?}");
}

fn admin(proxy: &Proxy) -> SocketAddr {
    let line = proxy.logged(&["admin at http://"]);
    let (_, rest) = line.split_once("admin at http://").expect("an address");
    rest.trim_end_matches("/backends").parse().expect("an address")
}

/// `POST /backends/NAME/{action}`.
fn act(proxy: &Proxy, backend: &str, action: &str) {
    let request = format!(
        "POST /backends/{backend}/{action} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n"
    );
    let reply = Connection::open(admin(proxy)).request(request);
    assert_eq!(reply.status, 200, "{}", reply.text());
}

/// How many requests came to this, as the admin listener says.
fn counted(proxy: &Proxy, word: &str) -> usize {
    let shown = raw(admin(proxy), "GET /backends HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").text();
    let line = shown.lines().find_map(|line| line.trim().strip_prefix(&format!("\"{word}\": ")));
    let count = line.unwrap_or_else(|| panic!("no {word} in {shown}"));
    count.trim_end_matches(',').parse().expect("a number")
}
