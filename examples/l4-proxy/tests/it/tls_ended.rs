//! TLS that ends at the proxy.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use proxy_lab::backend::Backend;
use proxy_lab::client::Connection;
use proxy_lab::process::Proxy;
use proxy_lab::table::{ConfigFile, assert_refused};
use proxy_lab::wait;
use rustls::ProtocolVersion;
use rustls::version::{TLS12, TLS13};

use crate::tls_party::{Authority, PairFiles, connect, get, pair};
use crate::{PROXY, SCRATCH};

/// A proxy that ends TLS with these files; `tls` has more settings, and `more` more sections.
pub(crate) fn over(backend: &Backend, files: &[&PairFiles], tls: &str, more: &str) -> Proxy {
    let pairs: Vec<_> = files.iter().map(|files| files.toml()).collect();
    let config = format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\npool = \"a\"\n\
         tls = {{ certificates = [{}]{tls} }}\n[pools.a]\nbackends = [\"{}\"]\n{more}\n",
        pairs.join(", "),
        backend.address
    );
    Proxy::configured(PROXY, 1, ConfigFile::new(SCRATCH, "tls-ended", &config))
}

/// Sends back whatever it gets, and ends when the other side has.
fn echo() -> Backend {
    Backend::new(|connection| {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(read @ 1..) = connection.reader.read(&mut buffer) {
            connection.send(&buffer[..read]);
        }
    })
}

#[test]
fn the_certificate_is_that_of_the_name_and_the_backend_sees_the_clear() {
    let authority = Authority::new();
    let shop = authority.issue(&["shop.example", "*.shop.example"]);
    let blog = authority.issue(&["blog.example"]);
    let files = [shop.files(), blog.files()];
    let backend = Backend::named("clear");
    let proxy = over(&backend, &[&files[0], &files[1]], ", alpn = [\"h2\", \"http/1.1\"]", "");
    for (name, issued) in [
        ("shop.example", &shop),
        ("a.shop.example", &shop),
        ("blog.example", &blog),
        ("BLOG.example", &blog),
    ] {
        let client = authority.client(&["http/1.1"]);
        let mut talk = connect(client, proxy.address(), name).unwrap();
        assert!(issued.is_shown_by(&talk), "{name}");
        assert_eq!(talk.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
        assert_eq!(get(&mut talk), "clear");
    }
    // A name of nobody's, or one label too many, gets the first; the client says no to it.
    for name in ["other.example", "a.b.shop.example"] {
        let error = connect(authority.client(&[]), proxy.address(), name).unwrap_err();
        assert!(error.to_string().contains("not valid for name"), "{error}");
    }
    proxy.logged(&["backend=- attempts=0", "end=\"TLS handshake: the client says "]);
    // No protocol in common is an alert (RFC 7301, 3.2).
    let error = connect(authority.client(&["imap"]), proxy.address(), "shop.example").unwrap_err();
    assert!(error.to_string().contains("NoApplicationProtocol"), "{error}");
}

#[test]
fn what_is_agreed_upon_decides_the_route() {
    let authority = Authority::new();
    let files = authority.issue(&["shop.example", "blog.example"]).files();
    let [a, b, c] = ["a", "b", "c"].map(Backend::named);
    let config = format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\npool = \"a\"\n\
         tls = {{ certificates = [{}], alpn = [\"x\", \"y\"] }}\n\
         routes = [{{ sni = [\"blog.example\"], pool = \"b\" }}, {{ alpn = [\"y\"], pool = \"c\" }}]\n\
         [pools.a]\nbackends = [\"{}\"]\n[pools.b]\nbackends = [\"{}\"]\n\
         [pools.c]\nbackends = [\"{}\"]\n",
        files.toml(),
        a.address,
        b.address,
        c.address
    );
    let file = ConfigFile::new(SCRATCH, "tls-ended-routes", &config);
    let proxy = Proxy::start(PROXY, 1, ["--config", file.path()]);
    for (name, alpn, wanted) in [
        ("shop.example", &[][..], "a"),
        ("blog.example", &["y"], "b"),
        ("shop.example", &["y"], "c"),
        // It offers both, and this proxy prefers the other.
        ("shop.example", &["y", "x"], "a"),
    ] {
        let mut talk = connect(authority.client(alpn), proxy.address(), name).unwrap();
        assert_eq!(get(&mut talk), wanted, "{name} {alpn:?}");
    }
}

#[test]
fn every_byte_passes_both_ways_and_each_direction_ends_by_itself() {
    let authority = Authority::new();
    let files = authority.issue(&["shop.example"]).files();
    let backend = echo();
    let proxy = over(&backend, &[&files], "", "");
    let bytes: Vec<u8> =
        (0..8_u32 << 20).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for versions in [&[&TLS12][..], &[&TLS13]] {
        let client = authority.client_of(&[], versions);
        let mut talk = connect(client, proxy.address(), "shop.example").unwrap();
        let mut echoed = vec![0; 64 << 10];
        for piece in bytes.chunks(64 << 10) {
            talk.write_all(piece).unwrap();
            let echoed = &mut echoed[..piece.len()];
            talk.read_exact(echoed).unwrap();
            assert!(echoed == piece);
        }
        talk.conn.send_close_notify();
        talk.flush().unwrap();
        // The backend has seen the end, and its own end comes back in order.
        assert_eq!(talk.read_to_end(&mut Vec::new()).unwrap(), 0);
        drop(talk);
        let all = format!("sent={0} received={0} ", bytes.len());
        proxy.logged(&[&all, "end=\"closed\""]);
    }
}

#[test]
fn an_end_that_tls_does_not_confirm_is_a_break() {
    let authority = Authority::new();
    let files = authority.issue(&["shop.example"]).files();
    let (tell, ends) = mpsc::channel();
    let backend = Backend::new(move |connection| {
        let end = connection.reader.read_to_end(&mut Vec::new());
        let _ = tell.send(end.map_err(|error| error.kind()));
    });
    let proxy = over(&backend, &[&files], "", "");
    let mut talk = connect(authority.client(&[]), proxy.address(), "shop.example").unwrap();
    talk.write_all(b"half of it").unwrap();
    talk.sock.shutdown(Shutdown::Write).unwrap();
    proxy.logged(&["sent=10 ", "end=\"broken by client\""]);
    let end = ends.recv_timeout(Duration::from_secs(20)).unwrap();
    assert_eq!(end, Err(ErrorKind::ConnectionReset), "no orderly end");
}

#[test]
fn the_oldest_version_can_be_set() {
    let authority = Authority::new();
    let files = authority.issue(&["shop.example"]).files();
    let backend = Backend::named("a");
    let proxy = over(&backend, &[&files], ", min_version = \"1.3\"", "");
    let old = authority.client_of(&[], &[&TLS12]);
    assert!(connect(old, proxy.address(), "shop.example").is_err());
    proxy.logged(&["end=\"TLS handshake: peer is incompatible: "]);
    let talk = connect(authority.client(&[]), proxy.address(), "shop.example").unwrap();
    assert_eq!(talk.conn.protocol_version(), Some(ProtocolVersion::TLSv1_3));
}

#[test]
fn handshakes_that_fail_are_logged_with_the_reason_and_counted() {
    let authority = Authority::new();
    let issued = authority.issue(&["shop.example"]);
    let files = issued.files();
    let backend = Backend::named("a");
    let limit = "[timeouts]\ntls_handshake_ms = 300";
    let mut proxy = over(&backend, &[&files], "", limit);
    let address = proxy.address();

    // One says nothing, one stops in the middle, one drips a byte at a time.
    let silent = TcpStream::connect(address).unwrap();
    let mut stops = Connection::open(address);
    stops.send(b"\x16\x03\x01\x01\x00\x01");
    let mut drips = TcpStream::connect(address).unwrap();
    for byte in b"\x16\x03\x01\x01\x00\x01\x00\x00\xfc\x03\x03".iter().cycle().take(40) {
        wait::pause(Duration::from_millis(20));
        if drips.write_all(&[*byte]).is_err() {
            break;
        }
    }
    let late = "end=\"TLS handshake: not complete after 300 ms\"";
    wait::until("three that are late", || {
        proxy.output().iter().filter(|line| line.contains(late)).count() == 3
    });
    stops.until_closed();
    drop(silent);

    for (said, why) in [
        (&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..], "the client speaks plain HTTP to a TLS port"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "the client does not speak TLS"),
        (b"\x16\x03\x01", "the client closed in the middle"),
        (b"", "the client closed without a word"),
    ] {
        let mut client = Connection::open(address);
        client.send(said);
        client.half_close();
        client.until_closed();
        proxy.logged(&["backend=- attempts=0 sent=0 ", &format!("end=\"TLS handshake: {why}\"")]);
    }
    let mut talk = connect(authority.client(&[]), address, "shop.example").unwrap();
    assert_eq!(get(&mut talk), "a");
    assert_eq!(backend.accepted(), 1, "no other has cost a connection");
    drop(talk);
    proxy.signal("TERM");
    assert!(proxy.ended().success());
    proxy.logged(&["l4-proxy: tls: 127.0.0.1:", ": handshakes complete=1 failed=7 late=3"]);
    for line in issued.key_lines() {
        assert!(!proxy.output().join("\n").contains(&line));
    }
}

#[test]
fn settings_and_files_that_are_wrong_are_refused() {
    let authority = Authority::new();
    let (a, b) = (authority.issue(&["a.example"]), authority.issue(&["b.example"]));
    let (files, other) = (a.files(), b.files());
    let swapped = pair(&files.certificate, &other.key);
    let garbage = authority.issue(&["c.example"]).files();
    fs::write(&garbage.key, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
        .unwrap();
    let missing = pair(Path::new("/no/such/chain.pem"), &files.key);
    let device = pair(Path::new("/dev/zero"), &files.key);
    let reversed = pair(&files.key, &files.certificate);
    let at = "listeners[0].tls.certificates";
    let good = files.toml();
    for (tls, named) in [
        ("certificates = []".to_owned(), format!("{at}: no certificate")),
        (String::new(), "missing field `certificates`".to_owned()),
        (format!("certificates = [{good}, {}]", missing), format!("{at}[1]: /no/such/chain.pem: ")),
        (format!("certificates = [{}]", device), format!("{at}[0]: /dev/zero: not a file")),
        (format!("certificates = [{}]", swapped), "not the key of ".to_owned()),
        (
            format!("certificates = [{}]", garbage.toml()),
            "not a private key that can be used".to_owned(),
        ),
        (format!("certificates = [{}]", reversed), "no certificate in it".to_owned()),
        (
            format!("certificates = [{good}], min_version = \"1.1\""),
            "listeners[0].tls.min_version: `1.1`: allowed are \"1.2\" and \"1.3\"".to_owned(),
        ),
        (
            format!("certificates = [{good}], alpn = [\"\"]"),
            "listeners[0].tls.alpn[0]: ".to_owned(),
        ),
        (
            format!("certificates = [{good}], alpn = [\"a\", \"a\"]"),
            "listeners[0].tls.alpn[1]: duplicate protocol `a`".to_owned(),
        ),
        (format!("certificates = [{good}], alpm = []"), "unknown field `alpm`".to_owned()),
    ] {
        let text = format!(
            "[[listeners]]\naddress = \"127.0.0.1:0\"\npool = \"a\"\ntls = {{ {tls} }}\n\
             [pools.a]\nbackends = [\"127.0.0.1:81\"]\n"
        );
        let file = ConfigFile::new(SCRATCH, "bad-tls", &text);
        assert_refused(PROXY, &["--check", "--config", file.path()], &[&named]);
    }
}
