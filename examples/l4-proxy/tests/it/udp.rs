//! Datagrams: each client has a backend until it falls silent.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use proxy_lab::process::Proxy;
use proxy_lab::table::{ConfigFile, assert_refused};
use proxy_lab::wait;

use crate::{PROXY, SCRATCH};

mod shown;

const SHORT: Duration = Duration::from_millis(200);

/// Answers each datagram with its name and what came. Dropped, nobody listens there.
pub(crate) struct Echo {
    pub(crate) address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Echo {
    pub(crate) fn new(name: &str) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
        let (address, stop) = (socket.local_addr().unwrap(), Arc::new(AtomicBool::new(false)));
        let (stopped, name) = (Arc::clone(&stop), name.to_owned());
        let thread = thread::spawn(move || {
            let mut buffer = vec![0; 65_536];
            while !stopped.load(SeqCst) {
                if let Ok((length, client)) = socket.recv_from(&mut buffer) {
                    let answer = [name.as_bytes(), b":", &buffer[..length]].concat();
                    let _ = socket.send_to(&answer, client);
                }
            }
        });
        Self { address, stop, thread: Some(thread) }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop.store(true, SeqCst);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

pub(crate) struct Client(UdpSocket);

impl Client {
    pub(crate) fn new(proxy: SocketAddr) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        // Answers of another address do not come in.
        socket.connect(proxy).unwrap();
        socket.set_read_timeout(Some(SHORT)).unwrap();
        Self(socket)
    }

    pub(crate) fn try_ask(&self, question: &[u8]) -> Option<Vec<u8>> {
        self.0.send(question).unwrap();
        let mut buffer = vec![0; 65_536];
        let length = self.0.recv(&mut buffer).ok()?;
        buffer.truncate(length);
        Some(buffer)
    }

    /// Who answers, in the end.
    fn ask(&self, question: &[u8]) -> String {
        let answer = wait::for_some("an answer", || self.try_ask(question));
        let (name, rest) = answer.split_at(answer.iter().position(|byte| *byte == b':').unwrap());
        assert_eq!(&rest[1..], question);
        String::from_utf8(name.to_vec()).unwrap()
    }
}

fn start(backends: &[&Echo], udp: &str, more: &str) -> (Proxy, SocketAddr) {
    let backends: Vec<_> = backends.iter().map(|echo| echo.address.to_string()).collect();
    let config = format!(
        "[[udp]]\naddress = \"127.0.0.1:0\"\npool = \"a\"\n{udp}\n\
         [pools.a]\nbackends = {backends:?}\n{more}\n"
    );
    let proxy = Proxy::configured(PROXY, 0, ConfigFile::new(SCRATCH, "udp", &config));
    let line = proxy.logged(&["serving udp "]);
    (proxy, line.split_once("serving udp ").unwrap().1.parse().unwrap())
}

#[test]
fn a_client_stays_with_its_backend_until_it_falls_silent() {
    let (a, b) = (Echo::new("a"), Echo::new("b"));
    let (proxy, address) = start(&[&a, &b], "idle_ms = 100", "");
    let clients = [Client::new(address), Client::new(address)];
    let homes = clients.each_ref().map(|client| client.ask(b"hello"));
    assert_ne!(homes[0], homes[1], "they take turns");
    for size in [0, 1, 512, 1_452, 65_000] {
        for (client, home) in clients.iter().zip(&homes) {
            assert_eq!(client.ask(&vec![7; size]), *home);
        }
    }
    let from = clients[0].0.local_addr().unwrap();
    let line = proxy.logged(&[&from.to_string(), " pool=a ", "datagrams=6/6", "end=\"idle\""]);
    assert!(line.contains("sent=66970 received=66982"), "{line}");
}

#[test]
fn when_nobody_listens_the_next_datagram_goes_elsewhere() {
    let (a, b) = (Echo::new("a"), Echo::new("b"));
    let (proxy, address) = start(&[&a, &b], "", "sticky = { mode = \"client\" }");
    let client = Client::new(address);
    let home = client.ask(b"1");
    let (gone, other) = if home == "a" { (a, "b") } else { (b, "a") };
    let lost = gone.address.to_string();
    drop(gone);
    assert_eq!(client.ask(b"2"), other);
    proxy.logged(&[&format!("backend={lost}"), "end=\"refused by backend\""]);
    assert_eq!(client.ask(b"3"), other);
}

#[test]
fn a_session_may_end_with_its_answers() {
    let (a, b) = (Echo::new("a"), Echo::new("b"));
    let (proxy, address) = start(&[&a, &b], "responses = 1", "");
    let client = Client::new(address);
    let mut seen = [client.ask(b"1"), client.ask(b"2")];
    seen.sort();
    assert_eq!(seen, ["a", "b"], "each question by itself");
    proxy.logged(&["datagrams=1/1", "end=\"answered\""]);
}

#[test]
fn a_reload_gives_new_clients_the_new_backends_and_shutdown_ends_all() {
    let (a, b) = (Echo::new("a"), Echo::new("b"));
    let config = |backend: &Echo| {
        format!(
            "[[udp]]\naddress = \"127.0.0.1:0\"\npool = \"a\"\n[pools.a]\nbackends = [\"{}\"]\n",
            backend.address
        )
    };
    let file = ConfigFile::new(SCRATCH, "udp-reload", &config(&a));
    let mut proxy = Proxy::start(PROXY, 0, ["--config", file.path()]);
    let line = proxy.logged(&["serving udp "]);
    let address = line.split_once("serving udp ").unwrap().1.parse().unwrap();
    let first = Client::new(address);
    assert_eq!(first.ask(b"1"), "a");
    file.rewrite(&config(&b));
    proxy.signal("HUP");
    proxy.logged(&["reloaded: pools kept 1"]);
    assert_eq!(Client::new(address).ask(b"2"), "b");
    assert_eq!(first.ask(b"3"), "a");
    proxy.signal("TERM");
    assert_eq!(proxy.ended().code(), Some(0));
    proxy.logged(&["datagrams=2/2", "end="]);
}

#[test]
fn a_client_too_many_waits_and_the_log_says_for_what() {
    let a = Echo::new("a");
    let (proxy, address) = start(&[&a], "max_sessions = 2\nidle_ms = 1500", "");
    let clients = [Client::new(address), Client::new(address)];
    clients.iter().for_each(|client| assert_eq!(client.ask(b"1"), "a"));
    let late = Client::new(address);
    assert_eq!(late.try_ask(b"2"), None);
    let full = "2 sessions, max_sessions; datagrams of new clients are dropped";
    proxy.complained(&format!("udp {address}: {full}"));
    // When the first two have fallen silent there is room.
    assert_eq!(late.ask(b"3"), "a");
    proxy.complained(&format!("udp {address}: there is room for new clients; dropped were "));
    assert_eq!(proxy.errors().len(), 2, "{:?}", proxy.errors());
}

#[test]
fn shutdown_loses_no_session_from_the_log() {
    let a = Echo::new("a");
    let (mut proxy, address) = start(&[&a], "", "");
    let clients: Vec<_> = (0..100).map(|_| Client::new(address)).collect();
    for client in &clients {
        assert_eq!(client.ask(b"1"), "a");
    }
    proxy.signal("TERM");
    assert_eq!(proxy.ended().code(), Some(0));
    wait::until("a line with what has passed for each", || {
        proxy.times_logged("sent=1 received=3 datagrams=1/1") == clients.len()
    });
}

#[test]
fn on_all_addresses_an_answer_comes_from_the_one_that_was_asked() {
    let (a, b) = (Echo::new("a"), Echo::new("b"));
    let config = format!(
        "[[udp]]\naddress = \"0.0.0.0:0\"\npool = \"a\"\n\
         [pools.a]\nbackends = [\"{}\", \"{}\"]\n",
        a.address, b.address
    );
    let proxy = Proxy::configured(PROXY, 0, ConfigFile::new(SCRATCH, "udp-any", &config));
    let line = proxy.logged(&["serving udp "]);
    let port = line.rsplit_once(':').unwrap().1.parse().unwrap();
    for address in [[127, 0, 0, 1], [127, 0, 0, 2], [127, 8, 0, 9]] {
        let client = Client::new(SocketAddr::from((address, port)));
        let home = client.ask(b"1");
        assert_eq!(client.ask(&[7; 1_000]), home);
    }
}

#[test]
fn a_flood_that_nobody_serves_is_a_line_a_second() {
    let echo = Echo::new("a");
    let config = format!(
        "[[udp]]\naddress = \"127.0.0.1:0\"\npool = \"a\"\n[pools.a]\nbackends = [\"{},max=1\"]\n",
        echo.address
    );
    let proxy = Proxy::configured(PROXY, 0, ConfigFile::new(SCRATCH, "udp-flood", &config));
    let line = proxy.logged(&["serving udp "]);
    let address: SocketAddr = line.rsplit_once(' ').unwrap().1.parse().unwrap();
    let served = Client::new(address);
    assert_eq!(served.ask(b"1"), "a");
    for clients in [200, 1] {
        for _ in 0..clients {
            let client = UdpSocket::bind("127.0.0.1:0").unwrap();
            client.send_to(b"1", address).unwrap();
        }
        wait::pause(Duration::from_millis(1100));
    }
    proxy.logged(&["end=\"", " more since the last line\""]);
    assert!(proxy.times_logged(" pool=a backend=- ") <= 3, "{:#?}", proxy.output());
}

#[test]
fn settings_that_are_wrong_are_named() {
    let pool = "[pools.a]\nbackends = [\"127.0.0.1:1\"]\n";
    for (udp, named) in [
        ("address = \"127.0.0.1\"\npool = \"a\"", "udp[0].address: "),
        ("address = \"127.0.0.1:0\"\npool = \"b\"", "udp[0].pool: no pool `b`"),
        (
            "address = \"127.0.0.1:0\"\npool = \"a\"\nidle_ms = 0",
            "udp[0].idle_ms: 0 is out of range",
        ),
        ("address = \"127.0.0.1:0\"\npool = \"a\"\nresponses = 0", "responses = 0"),
    ] {
        let file = ConfigFile::new(SCRATCH, "udp-wrong", &format!("[[udp]]\n{udp}\n{pool}"));
        assert_refused(PROXY, &["--config", file.path()], &[named]);
    }
    for (unfit, named) in [
        ("send_proxy = \"v2\"", "udp[0].pool: the pool has `send_proxy`"),
        ("policy = \"maglev\"\nkey = \"sni\"", "udp[0].pool: the pool has a key of `sni`"),
    ] {
        let udp = "[[udp]]\naddress = \"127.0.0.1:0\"\npool = \"a\"";
        let file = ConfigFile::new(SCRATCH, "udp-wrong", &format!("{udp}\n{pool}\n{unfit}\n"));
        assert_refused(PROXY, &["--config", file.path()], &[named]);
    }
}
