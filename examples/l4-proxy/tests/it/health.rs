//! Reliability: real processes that die and hang, under load and under open connections. `--nocapture` shows
//! the time-lines.

use std::net::TcpStream;
use std::time::Duration;

use proxy_lab::backend::Backend;
use proxy_lab::checks::{Checks, SLACK};
use proxy_lab::client::Connection;
use proxy_lab::health::{Bench, Watched};
use proxy_lab::process::Proxy;
use proxy_lab::table::ConfigFile;
use proxy_lab::wait;

use crate::{PROXY, SCRATCH};

const BENCH: Bench = Bench { proxy: PROXY, scratch: SCRATCH, listener: "pool = \"web\"\n" };
const NAMES: [&str; 2] = ["one", "two"];
const GET: &str = "GET / HTTP/1.1\r\nHost: lab\r\n\r\n";

/// An open connection to this backend.
fn connected_to(watched: &Watched, name: &str) -> Connection {
    wait::for_some(&format!("a connection to {name}"), || {
        let mut connection = Connection::open(watched.proxy.address());
        let reply = connection.try_request(GET).ok()?;
        reply.text().starts_with(&format!("{name}:")).then_some(connection)
    })
}

#[test]
fn one_that_is_killed_is_avoided_at_once_and_used_again_when_it_is_back() {
    let mut demos = BENCH.demos(NAMES);
    let checks = Checks::QUICK;
    let title = "l4: kill -9 of one of two";
    let watched = BENCH.watch(title, &demos, &checks.section("/live", ""));
    let timeline = &watched.timeline;
    let mut other = connected_to(&watched, "one");

    let killed = timeline.note("two", "kill -9");
    demos[1].kill();
    // A new connection goes on to the next backend, before anything has been found out.
    for _ in 0..6 {
        let reply = Connection::open(watched.proxy.address()).request(GET);
        assert!(reply.text().starts_with("one:"));
    }
    timeline.reaches("two", "down", "connection refused", killed, checks.detection());
    assert_eq!(other.request(GET).status, 200, "connections to the other one go on");

    let start = timeline.note("two", "start");
    demos[1].restart();
    let took = timeline.note("two", "listens") - start;
    let up = timeline.reaches("two", "up", "", start, took + checks.recovery());
    let _connection = connected_to(&watched, "two");
    assert!(timeline.note("two", "serves") - up.at <= SLACK);
}

#[test]
fn connections_to_one_that_hangs_are_closed_when_that_is_found_out() {
    let demos = BENCH.demos(NAMES);
    let checks = Checks::QUICK;
    let title = "l4: SIGSTOP of one of two";
    let watched = BENCH.watch(title, &demos, &checks.section("/live", ""));
    let timeline = &watched.timeline;
    let mut waiting = connected_to(&watched, "two");
    let mut other = connected_to(&watched, "one");

    let stopped = timeline.note("two", "SIGSTOP");
    demos[1].signal("STOP");
    waiting.send(GET);
    waiting.until_closed();
    let closed = timeline.note("two", "its connection is closed") - stopped;
    assert!(closed <= checks.detection() + SLACK, "{closed:?}");
    timeline.reaches("two", "down", "no answer", stopped, checks.detection());
    watched.proxy.logged(&["end=\"the backend was taken out\""]);
    assert_eq!(other.request(GET).status, 200, "connections to the other one go on");

    let continued = timeline.note("two", "SIGCONT");
    demos[1].signal("CONT");
    timeline.reaches("two", "up", "", continued, checks.recovery());
    let _connection = connected_to(&watched, "two");
}

#[test]
fn drain_leaves_connections_and_disable_closes_them() {
    let demos = BENCH.demos(NAMES);
    let watched = BENCH.watch("l4: drain, enable, disable", &demos, "");
    let timeline = &watched.timeline;
    let mut open = connected_to(&watched, "two");

    assert_eq!(timeline.act("two", "drain").status, 200);
    assert_eq!(timeline.of("two").state, "draining");
    for _ in 0..6 {
        let reply = Connection::open(watched.proxy.address()).request(GET);
        assert!(reply.text().starts_with("one:"), "no new connection");
        assert!(open.request(GET).text().starts_with("two:"), "the open one stays");
    }
    assert_eq!(timeline.act("two", "enable").status, 200);
    let mut another = connected_to(&watched, "two");

    assert_eq!(timeline.act("two", "disable").status, 200);
    open.until_closed();
    another.until_closed();
    wait::until("two to be idle", || timeline.of("two").in_flight == 0);
    for _ in 0..6 {
        let reply = Connection::open(watched.proxy.address()).request(GET);
        assert!(reply.text().starts_with("one:"), "no new connection");
    }
}

/// A pool whose circuit opens after two failures in a row, in front of this backend.
fn with_breaker(backend: &str, more: &str) -> (ConfigFile, Proxy) {
    let config = format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\npool = \"a\"\n[pools.a]\nbackends = [{backend:?}]\n\
         [health.passive]\nenabled = false\n\
         [health.breaker]\nconsecutive = 2\nopen_time_ms = 50\nopen_time_jitter = 0.0\n{more}"
    );
    let file = ConfigFile::new(SCRATCH, "breaker", &config);
    let proxy = Proxy::start(PROXY, 1, ["--config", file.path()]);
    (file, proxy)
}

#[test]
fn a_trial_of_the_circuit_breaker_ends_when_the_backend_is_reached() {
    let address = proxy_lab::demo::own_address();
    let (_file, proxy) = with_breaker(&address, "");
    for _ in 0..2 {
        Connection::open(proxy.address()).until_closed();
    }
    Connection::open(proxy.address()).until_closed();
    proxy.logged(&["end=\"circuit breaker: the circuit is open"]);

    // It comes up, and the first to reach it stays.
    let listener = std::net::TcpListener::bind(&address).unwrap();
    let trial = wait::for_some("a trial", || {
        let trial = TcpStream::connect(proxy.address()).unwrap();
        listener.set_nonblocking(true).unwrap();
        wait::pause(Duration::from_millis(20));
        Some((listener.accept().ok()?, trial))
    });
    let _another = TcpStream::connect(proxy.address()).unwrap();
    wait::until("another one beside it", || listener.accept().is_ok());
    drop(trial);
}

#[test]
fn the_circuit_breaker_counts_open_connections() {
    let backend = Backend::named("a");
    let (_file, proxy) = with_breaker(&backend.address, "max_in_flight = 1\n");
    let mut open = Connection::open(proxy.address());
    assert_eq!(open.request(GET).text(), "a");
    Connection::open(proxy.address()).until_closed();
    proxy.logged(&["end=\"circuit breaker: "]);
    drop(open);
    wait::until("the place to be free", || proxy.times_logged("end=\"closed\"") == 1);
    let mut next = Connection::open(proxy.address());
    assert_eq!(next.request(GET).text(), "a");
}
