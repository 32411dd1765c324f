//! iperf3: streams at full speed, one way and the other, and datagrams. Its data goes over connections and
//! datagrams beside a connection that controls the test, all of them to the same port.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use proxy_lab::demo::own_address;
use proxy_lab::fleet::is_installed;
use proxy_lab::process::Proxy;
use proxy_lab::server::{Server, text_of};
use proxy_lab::table::ConfigFile;
use proxy_lab::wait;
use serde_json::Value;

use crate::{PROXY, SCRATCH};

/// Two servers, each of which takes one test at a time, and a proxy with a listener and a UDP socket at one
/// address.
struct Lab {
    proxy: Proxy,
    address: SocketAddr,
    _servers: [Server; 2],
}

impl Lab {
    fn start() -> Self {
        let (backends, address) = ([own_address(), own_address()], own_address());
        let servers = backends.each_ref().map(|backend| {
            let (ip, port) = backend.rsplit_once(':').unwrap();
            let said = format!("{SCRATCH}/iperf-{backend}.log");
            let mut command = Command::new("iperf3");
            command.args(["-s", "-B", ip, "-p", port, "--forceflush", "--logfile", &said]);
            // A connection to see whether it listens would be a test to it.
            let listens = || fs::read_to_string(&said).is_ok_and(|log| log.contains("listening"));
            Server::start(&mut command, "KILL", listens)
        });
        // All of a test goes to one server.
        let config = format!(
            "[[udp]]\naddress = \"{address}\"\npool = \"a\"\nidle_ms = 500\n\
             [[listeners]]\naddress = \"{address}\"\npool = \"a\"\n\
             [pools.a]\nbackends = {backends:?}\nsticky = {{ mode = \"client\" }}\n"
        );
        let proxy = Proxy::configured(PROXY, 1, ConfigFile::new(SCRATCH, "iperf", &config));
        Self { proxy, address: address.parse().unwrap(), _servers: servers }
    }

    /// What the client reports at the end.
    fn report(&self, args: &[&str]) -> Value {
        let (ip, port) = (self.address.ip().to_string(), self.address.port().to_string());
        let args = [&["-c", &ip, "-p", &port, "--json"], args].concat();
        let report: Value = serde_json::from_str(&text_of("iperf3", &args, "")).unwrap();
        report["end"].clone()
    }

    /// Waits for so many ends, and gives their lines.
    fn ends(&self, count: usize) -> Vec<String> {
        wait::until("the lines of the log", || self.proxy.times_logged(" end=\"") >= count);
        let lines = self.proxy.output();
        let ends: Vec<_> = lines.into_iter().filter(|line| line.contains(" end=\"")).collect();
        assert_eq!(ends.len(), count, "{ends:#?}");
        ends
    }
}

/// This field of every line that has it.
fn fields<'a>(lines: &'a [String], name: &'a str) -> impl Iterator<Item = &'a str> {
    lines.iter().flat_map(|line| line.split(' ')).filter_map(move |field| field.strip_prefix(name))
}

fn number(value: &Value) -> u64 {
    value.as_f64().unwrap_or_else(|| panic!("no number: {value}")) as u64
}

#[test]
fn streams_go_both_ways_beside_each_other() {
    if !is_installed("iperf3") {
        return;
    }
    const BYTES: u64 = 256 << 20;
    /// More than what controls a test.
    const CONTROL: u64 = 1 << 16;
    for (how, data, other) in [("", "sent=", "received="), ("-R", "received=", "sent=")] {
        let lab = Lab::start();
        let args = ["-P", "4", "-n", &BYTES.to_string(), how];
        let report = lab.report(if how.is_empty() { &args[..4] } else { &args });
        let [at_source, at_end] =
            ["sum_sent", "sum_received"].map(|sum| number(&report[sum]["bytes"]));
        // The reader stops in the middle of what is on the way.
        assert!(at_source >= BYTES && at_end >= BYTES / 2, "{how}: {at_source} {at_end}");
        // The four, and the one that controls them, whose bytes neither side counts.
        let ends = lab.ends(5);
        let sum = |field| fields(&ends, field).map(|sum| sum.parse::<u64>().unwrap()).sum::<u64>();
        let bounds = at_end..=at_source + CONTROL;
        assert!(bounds.contains(&sum(data)), "{how}: {} is not in {bounds:?}", sum(data));
        assert!(sum(other) <= CONTROL, "{how}: {}", sum(other));
    }
}

#[test]
fn datagrams_go_to_the_server_that_the_connection_went_to() {
    if !is_installed("iperf3") {
        return;
    }
    for how in [&[][..], &["-R"]] {
        let lab = Lab::start();
        let datagrams = ["-u", "-b", "8M", "-l", "1200", "-n", "480000"];
        let report = lab.report(&[&datagrams, how].concat());
        let (packets, lost) =
            (number(&report["sum"]["packets"]), number(&report["sum"]["lost_packets"]));
        // Where the machine is busy a socket may be full for a moment.
        assert!(packets >= 380 && lost * 10 <= packets, "{how:?}: {lost} of {packets} lost");
        let ends = lab.ends(2);
        let counts = fields(&ends, "datagrams=").next().unwrap().split_once('/').unwrap();
        let passed: u64 = if how.is_empty() { counts.0 } else { counts.1 }.parse().unwrap();
        // And those of the greeting.
        assert!(
            (packets - lost..=packets + 8).contains(&passed),
            "{how:?}: {passed} passed of {packets}"
        );
    }
}
