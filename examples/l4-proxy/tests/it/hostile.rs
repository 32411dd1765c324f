//! Clients that mean no good, or do not know what they do, at every kind of listener: each of them has its line in
//! the log, nothing is left of it, and the others are served.
#![allow(clippy::disallowed_methods, reason = "a test measures real time")]

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use equipoise_core::Rng;
use proxy_lab::LIMIT;
use proxy_lab::echo::{Echo, Pattern};
use proxy_lab::process::Proxy;
use proxy_lab::table::ConfigFile;
use proxy_lab::timeline::{admin_address, until_idle};
use proxy_lab::usage::Usage;
use proxy_lab::wait;
use socket2::SockRef;

use crate::tls_party::{Authority, PairFiles, connect};
use crate::{PROXY, SCRATCH};

const LINE: &[u8] = b"PROXY TCP4 203.0.113.7 203.0.113.9 4321 443\r\n";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const HELLO: &[u8] = include_bytes!("../client_hello/tls13.bin");
/// How long a client has for what has to come first.
const SHORT: Duration = Duration::from_millis(500);

/// A proxy with a listener of each kind, by its index.
struct Fronts {
    proxy: Proxy,
    backend: Echo,
    udp: SocketAddr,
    authority: Authority,
    before: Usage,
    _files: PairFiles,
}

const PLAIN: usize = 0;
const PREAMBLE: usize = 1;
const ROUTES: usize = 2;
const TLS: usize = 3;
const KINDS: [usize; 4] = [PLAIN, PREAMBLE, ROUTES, TLS];

impl Fronts {
    fn new() -> Self {
        let (backend, authority) = (Echo::start(PROXY, "b"), Authority::new());
        let files = authority.issue(&["shop.example"]).files();
        let listener = |(index, more): (usize, &str)| {
            format!("[[listeners]]\naddress = \"127.0.0.{index}:0\"\npool = \"a\"\n{more}\n")
        };
        let tls = format!("tls = {{ certificates = [{}] }}", files.toml());
        let listeners = [
            "",
            "trusted = [\"127.0.0.0/8\"]\nproxy_protocol = \"required\"",
            "routes = [{ sni = [\"other.example\"], pool = \"a\" }]",
            &tls,
        ];
        let listeners: String = (1..).zip(listeners).map(listener).collect();
        let short = SHORT.as_millis();
        let config = format!(
            "{listeners}[[udp]]\naddress = \"127.0.0.1:0\"\npool = \"a\"\nidle_ms = 300\n\
             [timeouts]\nproxy_protocol_ms = {short}\nfirst_bytes_ms = {short}\n\
             tls_handshake_ms = {short}\n\
             [admin]\naddress = \"127.0.0.1:0\"\n[pools.a]\nbackends = [\"{}\"]\n",
            backend.address
        );
        let file = ConfigFile::new(SCRATCH, "hostile", &config);
        let proxy = Proxy::configured(PROXY, KINDS.len(), file);
        let line = proxy.logged(&["serving udp "]);
        let udp = line.split_once("serving udp ").unwrap().1.parse().unwrap();
        let before = Usage::at_rest(proxy.id());
        let fronts = Self { proxy, backend, udp, authority, before, _files: files };
        fronts.serves();
        fronts
    }

    fn open(&self, kind: usize) -> TcpStream {
        let stream = TcpStream::connect(self.proxy.addresses[kind]).expect("a connection");
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.set_write_timeout(Some(LIMIT)).unwrap();
        stream
    }

    /// Whoever comes in order is served, at each of them. Returns how many connections that takes.
    fn serves(&self) -> usize {
        let served = |stream: &mut dyn ReadWrite| {
            stream.write_all(b"echo\nhello").unwrap();
            let mut got = Vec::new();
            let mut buffer = [0; 100];
            while !got.ends_with(b"hello") {
                let read = stream.read(&mut buffer).expect("an answer");
                assert!(read > 0, "{got:?}");
                got.extend(&buffer[..read]);
            }
        };
        for kind in [PLAIN, PREAMBLE, ROUTES] {
            let mut stream = self.open(kind);
            if kind == PREAMBLE {
                stream.write_all(LINE).unwrap();
            }
            served(&mut stream);
        }
        let client = self.authority.client(&[]);
        let mut talk = connect(client, self.proxy.addresses[TLS], "shop.example").unwrap();
        served(&mut talk);
        KINDS.len()
    }

    /// All of so many connections, those of [`serves`](Self::serves) too, have ended and have a line each; nothing is
    /// left of them, and nobody has complained.
    fn end(mut self, connections: usize) {
        let connections = connections + 2 * self.serves();
        let lines =
            || self.proxy.times_logged(" attempts=") - self.proxy.times_logged(" datagrams=");
        wait::until("a line for each", || lines() >= connections);
        assert_eq!(lines(), connections);
        until_idle(admin_address(&self.proxy));
        self.proxy.closes_all_but(&self.before);
        assert_eq!(self.proxy.errors(), Vec::<String>::new());
        assert!(self.proxy.is_running());
    }
}

trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}

/// Goes with a reset.
fn reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(stream);
}

/// Waits until the other side has closed, whatever it says before.
fn until_closed(stream: &mut TcpStream) {
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(1..) => {}
            Ok(0) => return,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn garbage_harms_nobody() {
    let fronts = Fronts::new();
    let mut rng = Rng::seeded(6);
    let beginnings = [&b""[..], b"PROXY ", SIGNATURE, b"\x16\x03\x01", &HELLO[..60], &LINE[..30]];
    let mut connections = 0;
    for kind in KINDS {
        for round in 0..60 {
            let mut bytes = beginnings[round % beginnings.len()].to_vec();
            let mut garbage = vec![0; rng.below(3_000) as usize];
            Pattern::new(rng.next_u64()).fill(&mut garbage);
            bytes.extend(garbage);
            let mut stream = fronts.open(kind);
            // The other side may have had enough of it already.
            let _ = stream.write_all(&bytes);
            let _ = stream.shutdown(Shutdown::Write);
            until_closed(&mut stream);
            connections += 1;
        }
    }
    // To UDP it is all the same, and comes back.
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(fronts.udp).unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    for size in [0, 1, 3, 511, 1_472, 20_000] {
        let mut garbage = vec![0; size];
        Pattern::new(rng.next_u64()).fill(&mut garbage);
        socket.send(&garbage).unwrap();
        let mut answer = vec![0; 65_536];
        let length = socket.recv(&mut answer).unwrap();
        assert!(answer[..length].ends_with(&garbage), "{size}");
    }
    for (kind, cause) in [("PROXY protocol: ", "it is required"), ("TLS handshake: ", "")] {
        fronts.proxy.logged(&["backend=- attempts=0", &format!("end=\"{kind}"), cause]);
    }
    fronts.end(connections);
}

#[test]
fn a_port_scan_leaves_nothing_behind() {
    let fronts = Fronts::new();
    let scanned = 2_000;
    for index in 0..scanned {
        let stream = fronts.open(KINDS[index % 4]);
        match index % 3 {
            0 => reset(stream),
            1 => drop(stream),
            _ => stream.shutdown(Shutdown::Both).unwrap(),
        }
    }
    fronts.end(scanned);
}

#[test]
fn who_dawdles_is_let_go_in_time() {
    let fronts = Fronts::new();
    let v2 = [SIGNATURE, b"\x21\x11\x01\x00", &[1; 256]].concat();
    // Whoever says something else, or too little of a ClientHello, goes to the pool of the listener.
    let cases = [
        (PREAMBLE, &b""[..], "PROXY protocol: timeout after 0 bytes"),
        (PREAMBLE, LINE, "PROXY protocol: timeout after "),
        (PREAMBLE, &v2, "PROXY protocol: timeout after "),
        (TLS, b"", "TLS handshake: "),
        (TLS, HELLO, "TLS handshake: "),
        (ROUTES, b"", "broken by client"),
        (ROUTES, HELLO, "broken by client"),
    ];
    thread::scope(|scope| {
        for (kind, bytes, end) in cases {
            let fronts = &fronts;
            scope.spawn(move || {
                let (mut stream, began) = (fronts.open(kind), Instant::now());
                let client = stream.local_addr().unwrap().to_string();
                stream.set_nonblocking(true).unwrap();
                let mut bytes = bytes.chunks(1);
                // A byte at a time, each of them well in time, until somebody has had enough.
                let took = loop {
                    wait::pause(Duration::from_millis(20));
                    let sent = bytes.next().map(|byte| stream.write_all(byte));
                    let read = stream.read(&mut [0; 100]);
                    let is_waiting =
                        matches!(&read, Err(error) if error.kind() == ErrorKind::WouldBlock);
                    if !is_waiting || sent.is_some_and(|sent| sent.is_err()) {
                        break began.elapsed();
                    }
                    assert!(began.elapsed() < LIMIT, "{kind} {end}");
                };
                assert!(took >= SHORT, "{took:?}, {kind} {end}");
                if kind == ROUTES {
                    reset(stream);
                }
                fronts.proxy.logged(&[&client, &format!("end=\"{end}")]);
            });
        }
    });
    fronts.end(cases.len());
}

#[test]
fn a_reset_may_come_at_any_byte() {
    let fronts = Fronts::new();
    let word = b"echo\nhello";
    let v2 = [SIGNATURE, b"\x21\x11\x00\x0c", &[1; 12], word].concat();
    let mut connections = 0;
    for (kind, bytes, step) in [
        (PLAIN, &word[..], 1),
        (PREAMBLE, &[LINE, word].concat(), 3),
        (PREAMBLE, &v2, 2),
        (ROUTES, HELLO, 13),
        (TLS, HELLO, 13),
    ] {
        for length in (0..=bytes.len()).step_by(step) {
            let mut stream = fronts.open(kind);
            stream.write_all(&bytes[..length]).unwrap();
            if length % 2 == 1 {
                // It has been read, mostly.
                wait::pause(Duration::from_millis(2));
            }
            reset(stream);
            connections += 1;
        }
    }
    fronts.end(connections);
}

#[test]
fn a_reset_in_the_middle_of_bulk_ends_both_sides() {
    const BULK: &[u8] = b"make 1 1000000000\n";
    let mut fronts = Fronts::new();
    // The client's, while it takes, and while it gives.
    for (sent, end) in [(BULK, "broken by client"), (b"take 1\n", "broken by client")] {
        let mut stream = fronts.open(PLAIN);
        let client = stream.local_addr().unwrap().to_string();
        stream.write_all(sent).unwrap();
        let mut part = vec![0; 1 << 20];
        match sent == BULK {
            true => stream.read_exact(&mut part).unwrap(),
            false => stream.write_all(&part).unwrap(),
        }
        reset(stream);
        fronts.proxy.logged(&[&client, &format!("end=\"{end}\"")]);
    }
    // The backend's: its client sees a reset, too, and not the end.
    for sent in [BULK, b"take 1\n"] {
        let mut stream = fronts.open(PLAIN);
        let client = stream.local_addr().unwrap().to_string();
        // The backend has it: it has said who it is.
        stream.read_exact(&mut [0; 2]).unwrap();
        stream.write_all(sent).unwrap();
        let mut part = vec![0; 1 << 16];
        let mut go_on = |stream: &mut TcpStream| match sent == BULK {
            true => stream.read_exact(&mut part),
            false => stream.write_all(&part),
        };
        // It has been accepted, or there would be nothing to reset yet.
        stream.read_exact(&mut [0]).unwrap();
        (0..20).for_each(|_| go_on(&mut stream).unwrap());
        fronts.backend.reset();
        let error = (0..10_000).find_map(|_| go_on(&mut stream).err()).expect("an end");
        let kinds = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
        assert!(kinds.contains(&error.kind()), "{error}");
        fronts.proxy.logged(&[&client, "end=\"broken by backend\""]);
    }
    // Both at a time.
    let clients: Vec<_> = (0..20).map(|_| fronts.open(PLAIN)).collect();
    for mut client in &clients {
        client.write_all(BULK).unwrap();
        client.read_exact(&mut [0; 1 << 16]).unwrap();
    }
    thread::scope(|scope| {
        scope.spawn(|| clients.into_iter().for_each(reset));
        fronts.backend.reset();
    });
    fronts.end(4 + 20);
}
