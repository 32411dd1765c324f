//! What an operator sees of UDP, at `/udp` of the admin address.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use proxy_lab::process::Proxy;
use proxy_lab::table::ConfigFile;
use proxy_lab::wait;

use super::{Client, Echo};
use crate::{PROXY, SCRATCH};

fn config(backend: &Echo, more: &str) -> String {
    format!(
        "[[udp]]\naddress = \"127.0.0.1:0\"\npool = \"a\"\n{more}\n\
         [pools.a]\nbackends = [\"{}\"]\n[admin]\naddress = \"127.0.0.1:0\"\n",
        backend.address
    )
}

/// Where the proxy says that it serves.
fn logged_address(proxy: &Proxy, before: &str, after: &str) -> SocketAddr {
    let line = proxy.logged(&[before]);
    let address = line.split_once(before).unwrap().1.strip_suffix(after).unwrap();
    address.parse().unwrap_or_else(|error| panic!("{error}: {line}"))
}

/// `/udp`, each `"name": number` of it by itself.
fn shown(admin: SocketAddr) -> String {
    let mut stream = TcpStream::connect(admin).unwrap();
    let request = "GET /udp HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    answer
}

fn until_shown(admin: SocketAddr, counts: &[(&str, u64)]) {
    wait::until(&format!("{counts:?}"), || {
        let text = shown(admin);
        let is_shown = |(name, count): &(&str, u64)| {
            let line = format!("\"{name}\": {count}");
            text.lines().any(|shown| shown.trim().trim_end_matches(',') == line)
        };
        counts.iter().all(is_shown)
    });
}

#[test]
fn an_operator_sees_sessions_and_datagrams_through_a_reload() {
    let backend = Echo::new("a");
    let file = ConfigFile::new(SCRATCH, "udp-shown", &config(&backend, "max_sessions = 1"));
    let proxy = Proxy::start(PROXY, 0, ["--config", file.path()]);
    let address = logged_address(&proxy, "serving udp ", "");
    let admin = logged_address(&proxy, "admin at http://", "/backends");
    let text = shown(admin);
    assert!(text.contains(&format!("\"address\": \"{address}\"")), "{text}");
    assert!(text.contains("\"pool\": \"a\""), "{text}");
    until_shown(admin, &[("now", 0), ("max", 1), ("opened", 0), ("from_clients", 0)]);
    let client = Client::new(address);
    for question in [b"1", b"2", b"3"] {
        assert_eq!(client.ask(question), "a");
    }
    assert_eq!(Client::new(address).try_ask(b"one too many"), None);
    until_shown(admin, &[("now", 1), ("opened", 1), ("from_clients", 4), ("to_backends", 3)]);
    until_shown(admin, &[("from_backends", 3), ("to_clients", 3), ("full", 1), ("unsent", 0)]);
    // Other limits end the sessions, and the counts go on.
    file.rewrite(&config(&backend, "max_sessions = 2\nresponses = 1"));
    proxy.signal("HUP");
    proxy.logged(&["reloaded: "]);
    until_shown(admin, &[("now", 0), ("max", 2), ("stopped", 1), ("full", 1)]);
    assert_eq!(client.ask(b"4"), "a");
    until_shown(admin, &[("now", 0), ("opened", 2), ("answered", 1), ("to_clients", 4)]);
    // A port where nobody listens refuses.
    drop(backend);
    assert_eq!(client.try_ask(b"5"), None);
    until_shown(admin, &[("now", 0), ("opened", 3), ("refused", 1), ("to_backends", 5)]);
}
