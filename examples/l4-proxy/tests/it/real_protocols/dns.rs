//! `dig`, and dnsmasq behind one address for UDP and TCP.

use std::net::SocketAddr;
use std::process::Command;

use proxy_lab::backend::free_address;
use proxy_lab::checks::Checks;
use proxy_lab::fleet::is_installed;
use proxy_lab::process::Proxy;
use proxy_lab::server::{Server, text_of};
use proxy_lab::table::ConfigFile;
use proxy_lab::timeline::Timeline;

use crate::{PROXY, SCRATCH};

/// The check of `docs/health.md`: over TCP, for the TXT record of `who.test`, of which there must be one.
const QUESTION: &str = r"type = 'script'
script = [{ send = '\x00\x1a\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03who\x04test\x00\x00\x10\x00\x01' },
          { expect_regex = '(?s-u)^..\x00\x01..\x00\x01\x00\x01', within = 10 }]
";

/// A name server; its `who.test` is its name, and its `big.test` has close to three kilobytes.
struct NameServer {
    name: &'static str,
    address: SocketAddr,
    server: Option<Server>,
}

impl NameServer {
    fn start(name: &'static str) -> Self {
        let mut server = Self { name, address: free_address().parse().unwrap(), server: None };
        server.restart();
        server
    }

    fn restart(&mut self) {
        let mut command = Command::new("dnsmasq");
        command
            .args(["--keep-in-foreground", "--conf-file=/dev/null", "--pid-file=", "--user=root"])
            .args(["--no-resolv", "--no-hosts", "--bind-interfaces", "--listen-address=127.0.0.1"])
            .args(["--local=/test/", "--host-record=web.test,192.0.2.7,2001:db8::7"])
            .args(["--edns-packet-max=4096", &format!("--port={}", self.address.port())])
            .arg(format!("--txt-record=who.test,{}", self.name));
        for text in big() {
            command.arg(format!("--txt-record=big.test,{text}"));
        }
        self.server = Some(Server::listening(&mut command, "KILL", self.address));
    }
}

/// Fifteen texts of 200 bytes.
fn big() -> Vec<String> {
    (10..25).map(|index| format!("{index}-of-big").repeat(20)).collect()
}

/// What `dig` says to a question for one address for all, which it may ask again after a second.
fn dig(address: SocketAddr, args: &[&str]) -> String {
    let port = address.port().to_string();
    let args = [&["@127.0.0.1", "-p", &port, "+timeout=1", "+tries=3", "+noidnout"], args].concat();
    text_of("dig", &args, "")
}

/// The records alone, sorted: dnsmasq changes their order from answer to answer.
fn short(address: SocketAddr, args: &[&str]) -> Vec<String> {
    let text = dig(address, &[&["+short"], args].concat());
    // A line of another kind says that it asks again.
    let mut lines: Vec<_> =
        text.lines().filter(|line| !line.starts_with(';')).map(str::to_owned).collect();
    lines.sort();
    lines
}

/// UDP and TCP at the same address, as a name server has them.
fn start(servers: &[NameServer; 2], more: &str) -> (Proxy, SocketAddr) {
    let backends = servers.each_ref().map(|server| server.address.to_string());
    let address = free_address();
    let config = format!(
        "[[udp]]\naddress = \"{address}\"\npool = \"dns\"\nresponses = 1\n\
         [[listeners]]\naddress = \"{address}\"\npool = \"dns\"\n\
         [admin]\naddress = \"127.0.0.1:0\"\n[pools.dns]\nbackends = {backends:?}\n{more}"
    );
    let proxy = Proxy::configured(PROXY, 1, ConfigFile::new(SCRATCH, "dns", &config));
    (proxy, address.parse().unwrap())
}

fn are_installed() -> bool {
    is_installed("dig") && is_installed("dnsmasq")
}

#[test]
fn answers_of_any_size_come_by_udp_and_by_tcp() {
    if !are_installed() {
        return;
    }
    let servers = ["one", "two"].map(NameServer::start);
    let (proxy, address) = start(&servers, "");
    let quoted: Vec<_> = big().iter().map(|text| format!("\"{text}\"")).collect();
    for how in ["+notcp", "+tcp"] {
        assert_eq!(
            short(address, &[how, "web.test", "A", "web.test", "AAAA"]),
            ["192.0.2.7", "2001:db8::7"]
        );
        assert!(dig(address, &[how, "no.test"]).contains("status: NXDOMAIN"));
        // Each question is a session, and each connection, by itself.
        let mut names = [(); 2].map(|()| short(address, &[how, "who.test", "TXT"]).concat());
        names.sort();
        assert_eq!(names, ["\"one\"", "\"two\""], "{how}");
        assert_eq!(short(address, &[how, "+bufsize=4096", "big.test", "TXT"]), quoted, "{how}");
    }
    // A datagram of more than 1,232 bytes, the usual limit, and of more than a frame of Ethernet.
    let whole = dig(address, &["+bufsize=4096", "+ignore", "big.test", "TXT"]);
    assert!(whole.contains("(UDP)") && !whole.contains("Truncated"), "{whole}");
    let size = whole.lines().find_map(|line| line.strip_prefix(";; MSG SIZE  rcvd: ")).unwrap();
    assert!(size.parse::<u32>().unwrap() > 2_900, "{size}");
    // One with less room is cut off, and says so; dig then asks by TCP.
    let cut = dig(address, &["+bufsize=1232", "+ignore", "big.test", "TXT"]);
    assert!(cut.contains("flags: qr aa tc rd") && cut.contains("(UDP)"), "{cut}");
    let again = dig(address, &["+bufsize=1232", "big.test", "TXT"]);
    assert!(
        again.contains(";; Truncated, retrying in TCP mode.") && again.contains("(TCP)"),
        "{again}"
    );
    for text in &quoted {
        assert!(again.contains(text), "no {text} in {again}");
    }
    proxy.logged(&[" pool=dns ", "datagrams=1/1", "end=\"answered\""]);
}

#[test]
fn questions_are_answered_when_one_of_two_is_killed() {
    if !are_installed() {
        return;
    }
    let mut servers = ["one", "two"].map(NameServer::start);
    let checks = Checks::QUICK;
    let (proxy, address) = start(&servers, &checks.asking(QUESTION));
    let labels = servers.iter().map(|server| (server.address.to_string(), server.name.to_owned()));
    let timeline = Timeline::start("l4: dig, one of two killed", &proxy, labels.collect());
    let names = |how: &str| [(); 4].map(|()| short(address, &[how, "who.test", "TXT"]).concat());

    let killed = timeline.note("two", "SIGKILL");
    servers[1].server = None;
    // A connection goes on to the next one. A datagram that was sent to it is lost, as UDP may lose any: dig
    // asks again.
    let port = address.port().to_string();
    let at = ["@127.0.0.1", "-p", &port, "+short", "+timeout=1", "+tries=1", "who.test", "TXT"];
    for _ in 0..4 {
        assert_eq!(text_of("dig", &[&at[..], &["+tcp"]].concat(), ""), "\"one\"\n");
    }
    assert_eq!(names("+notcp"), ["\"one\""; 4]);
    timeline.reaches("two", "down", "", killed, checks.detection());
    // From now on, none is lost.
    for _ in 0..8 {
        assert_eq!(text_of("dig", &at, ""), "\"one\"\n");
    }

    let start = timeline.note("two", "start");
    servers[1].restart();
    let took = timeline.note("two", "listens") - start;
    timeline.reaches("two", "up", "", start, took + checks.recovery());
    assert!(names("+notcp").contains(&"\"two\"".to_owned()));
}
