//! Connections that go by a key.

use std::collections::BTreeSet;
use std::io::Read;

use proxy_lab::backend::Backend;
use proxy_lab::client::{Connection, get};
use proxy_lab::process::Proxy;
use proxy_lab::table::{ConfigFile, assert_refused};

use crate::{PROXY, SCRATCH};

/// What `openssl s_client -servername Shop.Example` (3.0.19) sends, up to the first answer.
const HELLO: &[u8] = include_bytes!("../client_hello/tls13.bin");
const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// A proxy over these backends, with more lines in the section of its pool.
fn over(backends: &[Backend], key: &str, more: &str) -> Proxy {
    let addresses: Vec<_> = backends.iter().map(|backend| backend.address.as_str()).collect();
    let config = format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\npool = \"a\"\n\
         [pools.a]\npolicy = \"maglev\"\nkey = {key}\nbackends = {addresses:?}\n{more}\n",
    );
    let file = ConfigFile::new(SCRATCH, "keys", &config);
    Proxy::start(PROXY, 1, ["--config", file.path()])
}

/// Backends that say their name, and then send back whatever they get.
fn talkative() -> [Backend; 4] {
    NAMES.map(|name| {
        Backend::new(move |connection| {
            connection.send(name);
            let mut buffer = vec![0; 1 << 16];
            while let Ok(read @ 1..) = connection.reader.read(&mut buffer) {
                connection.send(&buffer[..read]);
            }
        })
    })
}

/// The name of the backend that gets a client that says this.
fn backend_of(proxy: &Proxy, said: &[u8]) -> String {
    let mut client = Connection::open(proxy.address());
    client.send(said);
    client.half_close();
    let reply = client.rest();
    let (name, echo) = reply.split_at(1);
    assert!(echo == said, "all that was read before passes, once");
    String::from_utf8(name.to_vec()).unwrap()
}

/// The ClientHello for another host, whose name is as long.
fn hello_for(index: u8) -> Vec<u8> {
    let at = HELLO.windows(12).position(|window| window == b"Shop.Example").unwrap();
    let mut hello = HELLO.to_vec();
    hello[at..at + 4].copy_from_slice(&[b's', b'h', b'a' + index / 26, b'a' + index % 26]);
    hello
}

#[test]
fn hosts_of_a_client_hello_stay_where_they_are() {
    let proxy = over(&talkative(), "\"sni\"", "");
    let mut used = BTreeSet::new();
    for index in 0..20 {
        let hello = hello_for(index);
        let first = backend_of(&proxy, &hello);
        assert_eq!(backend_of(&proxy, &hello), first);
        used.insert(first);
    }
    assert!(used.len() > 1, "{used:?}");
    let lower = [HELLO, b"early"].concat();
    assert_eq!(backend_of(&proxy, &lower), backend_of(&proxy, HELLO));
}

#[test]
fn a_client_hello_may_come_in_pieces() {
    let proxy = over(&talkative(), "\"sni\"", "");
    let whole = backend_of(&proxy, HELLO);
    let mut client = Connection::open(proxy.address());
    for piece in HELLO.chunks(100) {
        client.send(piece);
        proxy_lab::wait::pause(std::time::Duration::from_millis(20));
    }
    client.half_close();
    assert_eq!(client.rest(), [whole.as_bytes(), HELLO].concat());
}

#[test]
fn clients_without_a_client_hello_are_spread() {
    let proxy = over(&talkative(), "\"sni\"", "");
    for said in [&b"GET / HTTP/1.1\r\n\r\n"[..], &HELLO[..100], b""] {
        let used: BTreeSet<_> = (0..40).map(|_| backend_of(&proxy, said)).collect();
        assert!(used.len() > 1, "{used:?}");
    }
}

/// Sends this, and does not end it: the backend must be there all the same.
fn assert_served(proxy: &Proxy, said: &[u8]) {
    let mut client = Connection::open(proxy.address());
    client.send(said);
    let mut name = [0];
    client.reader.read_exact(&mut name).expect("a backend");
    assert!(NAMES.contains(&std::str::from_utf8(&name).unwrap()));
    client.send("the end");
    client.half_close();
    assert!(client.rest() == [said, b"the end"].concat());
}

#[test]
fn a_client_that_waits_for_the_backend_is_served_when_the_time_is_over() {
    let proxy = over(&talkative(), "\"sni\"", "[timeouts]\nfirst_bytes_ms = 200");
    assert_served(&proxy, b"");
    assert_served(&proxy, &HELLO[..10]);
}

#[test]
fn who_says_something_else_or_too_much_is_not_waited_for() {
    let proxy = over(&talkative(), "\"sni\"", "[timeouts]\nfirst_bytes_ms = 3600000");
    assert_served(&proxy, b"GET / HTTP/1.1\r\n");
    // Records that say they are a ClientHello, larger than anybody waits for.
    let record = [&b"\x16\x03\x01\x10\x00"[..], b"\x01\x00\xff\xff", &[3; 4092]].concat();
    let endless = record.repeat(4);
    assert_served(&proxy, &endless);
}

#[test]
fn nothing_is_read_first_unless_the_key_wants_it() {
    let proxy = over(&talkative(), "\"client\"", "[timeouts]\nfirst_bytes_ms = 3600000");
    assert_served(&proxy, b"");
}

#[test]
fn a_client_stays_where_it_is_and_its_connections_need_not() {
    let backends = NAMES.map(Backend::named);
    let used = |key: &str| {
        let proxy = over(&backends, key, "");
        (0..40).map(|_| get(proxy.address(), "/").text()).collect::<BTreeSet<_>>()
    };
    assert_eq!(used("\"client\"").len(), 1);
    assert_eq!(used("{ client = { v4 = 8 } }").len(), 1);
    assert!(used("\"connection\"").len() > 1);
}

#[test]
fn a_client_without_a_key_may_be_refused() {
    let backend = Backend::named("a");
    let config = format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\npool = \"a\"\n\
         [pools.a]\npolicy = {{ name = \"ring\", without_key = \"refuse\" }}\nkey = \"sni\"\n\
         backends = [\"{}\"]\n",
        backend.address
    );
    let file = ConfigFile::new(SCRATCH, "refuse", &config);
    let proxy = Proxy::start(PROXY, 1, ["--config", file.path()]);
    let mut client = Connection::open(proxy.address());
    client.send("GET / HTTP/1.1\r\n\r\n");
    client.until_closed();
    proxy.logged(&["backend=- attempts=0", "end=\"the request has no key to pick a backend by\""]);
    assert_eq!(backend.accepted(), 0);
}

#[test]
fn what_a_tcp_proxy_does_not_see_is_refused() {
    for key in ["{ header = \"x-user\" }", "[\"client\", { path = 1 }]", "{ cookie = \"a\" }"] {
        let config = format!(
            "[[listeners]]\naddress = \"127.0.0.1:0\"\npool = \"a\"\n\
             [pools.a]\npolicy = \"maglev\"\nkey = {key}\nbackends = [\"127.0.0.1:81\"]\n"
        );
        let file = ConfigFile::new(SCRATCH, "unseen", &config);
        let named = [
            file.path(),
            "pools.a.key",
            "does not read HTTP",
            "allowed are client, sni, connection",
        ];
        assert_refused(PROXY, &["--config", file.path()], &named);
    }
}
