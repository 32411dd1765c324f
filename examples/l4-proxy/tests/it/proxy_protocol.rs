//! The PROXY protocol, from the client's side and to a backend.

use std::io::Read;
use std::net::SocketAddr;

use proxy_lab::backend::Backend;
use proxy_lab::client::Connection;
use proxy_lab::process::Proxy;
use proxy_lab::table::{ConfigFile, assert_refused};

use crate::{PROXY, SCRATCH};

pub(crate) const LINE: &str = "PROXY TCP4 203.0.113.7 203.0.113.9 4321 443\r\n";

/// Answers with what it got, up to the client's end.
pub(crate) fn echo() -> Backend {
    Backend::new(|connection| {
        let mut got = Vec::new();
        connection.reader.read_to_end(&mut got).unwrap();
        connection.send(got);
    })
}

fn config(listener: &str, pool: &str, backend: &str) -> String {
    format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\npool = \"a\"\n{listener}\n\
         [pools.a]\nbackends = [\"{backend}\"]\n{pool}\n[timeouts]\nproxy_protocol_ms = 300\n"
    )
}

pub(crate) fn start(listener: &str, pool: &str, backend: &str) -> Proxy {
    let file = ConfigFile::new(SCRATCH, "proxy_protocol", &config(listener, pool, backend));
    Proxy::start(PROXY, 1, ["--config", file.path()])
}

pub(crate) const FROM_HERE: &str = "trusted = [\"127.0.0.0/8\"]\nproxy_protocol =";

pub(crate) fn ask(proxy: SocketAddr, bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let mut client = Connection::open(proxy);
    client.send(bytes);
    client.half_close();
    client.rest()
}

#[test]
fn the_client_is_who_the_preamble_says() {
    let backend = echo();
    for mode in ["\"required\"", "\"optional\""] {
        let proxy = start(&format!("{FROM_HERE} {mode}"), "", &backend.address);
        assert_eq!(ask(proxy.address(), format!("{LINE}hello")), b"hello");
        let pieces = ["203.0.113.7:4321 via=127.0.0.1:", "sent=5 received=5", "end=\"closed\""];
        proxy.logged(&pieces);
    }
}

#[test]
fn a_backend_is_told_who_the_client_is() {
    let backend = echo();
    let received = format!("{FROM_HERE} \"required\"");
    let proxy = start(&received, "send_proxy = \"v1\"", &backend.address);
    assert_eq!(ask(proxy.address(), format!("{LINE}hello")), format!("{LINE}hello").as_bytes());

    // Binary, with a TLV that is kept and a checksum, which is that of this preamble.
    let signature = b"\r\n\r\n\0\r\nQUIT\n\x21\x11";
    let block = [203, 0, 113, 7, 203, 0, 113, 9, 0x10, 0xe1, 1, 0xbb, 5, 0, 1, b'i'];
    let sent = [&signature[..], &[0, 16], &block, b"hello"].concat();
    let proxy = start(&received, "send_proxy = \"v2\"", &backend.address);
    assert_eq!(ask(proxy.address(), &sent), sent);
    let proxy = start(&received, "send_proxy = \"v2-crc32c\"", &backend.address);
    let got = ask(proxy.address(), &sent);
    let with_sum = [&signature[..], &[0, 23], &block, &[3, 0, 4]].concat();
    assert_eq!(&got[..with_sum.len()], with_sum);
    assert_eq!(&got[with_sum.len() + 4..], b"hello");
    // Read by ourselves, with the checksum checked.
    assert_eq!(ask(proxy.address(), &got[..got.len() - 5]).len(), got.len() - 5);
    let mut forged = got.clone();
    forged[19] ^= 1;
    Connection::open(proxy.address()).send(&forged);
    proxy.logged(&["end=\"PROXY protocol: its checksum is"]);
}

#[test]
fn without_a_preamble_the_connection_itself_is_told() {
    let backend = echo();
    let proxy = start("", "send_proxy = \"v1\"", &backend.address);
    let mut client = Connection::open(proxy.address());
    let local = client.reader.get_ref().local_addr().unwrap();
    client.send(LINE);
    client.half_close();
    // A preamble where none is taken is the client's data, after the one that is true.
    let line =
        format!("PROXY TCP4 127.0.0.1 127.0.0.1 {} {}\r\n", local.port(), proxy.address().port());
    assert_eq!(String::from_utf8(client.rest()).unwrap(), format!("{line}{LINE}"));
}

#[test]
fn what_is_not_taken_is_refused_by_name() {
    let backend = echo();
    let strange = "trusted = [\"192.0.2.0/24\"]\nproxy_protocol =";
    for (listener, sent, end) in [
        (format!("{strange} \"optional\""), LINE, "127.0.0.1 is not trusted with it"),
        (format!("{strange} \"required\""), LINE, "127.0.0.1 is not trusted with it"),
        (format!("{FROM_HERE} \"required\""), "GET / HTTP/1.1\r\n\r\n", "it is required"),
        (format!("{FROM_HERE} \"required\""), "PROXY TCP4 1\r\n", "bad source address"),
        (format!("{FROM_HERE} \"required\""), "PROXY TCP4 1", "timeout after 12 bytes"),
        (format!("{FROM_HERE} \"required\""), "", "timeout after 0 bytes"),
    ] {
        let proxy = start(&listener, "", &backend.address);
        let mut client = Connection::open(proxy.address());
        client.send(sent);
        client.until_closed();
        proxy.logged(&["backend=- attempts=0", "end=\"PROXY protocol: ", end]);
    }
    assert_eq!(backend.accepted(), 0);
    let proxy = start(&format!("{strange} \"optional\""), "", &backend.address);
    assert_eq!(ask(proxy.address(), "hello"), b"hello");
}

#[test]
fn settings_that_say_nothing_are_refused() {
    for (listener, pool, named) in [
        ("proxy_protocol = \"required\"", "", ["listeners[0].trusted", "nobody"]),
        ("trusted = [\"10.0.0.0/8\"]", "", ["listeners[0].trusted", "proxy_protocol"]),
        (
            "proxy_protocol = \"optional\"\ntrusted = [\"10.0.0.1/8\"]",
            "",
            ["trusted", "`10.0.0.1/8`"],
        ),
        ("proxy_protocol = \"maybe\"", "", ["proxy_protocol = \"maybe\"", "`required`"]),
        ("", "send_proxy = \"v3\"", ["send_proxy = \"v3\"", "`v2-crc32c`"]),
    ] {
        let text = config(listener, pool, "127.0.0.1:81");
        let file = ConfigFile::new(SCRATCH, "proxy_protocol_refused", &text);
        assert_refused(PROXY, &["--config", file.path()], &named);
    }
}
