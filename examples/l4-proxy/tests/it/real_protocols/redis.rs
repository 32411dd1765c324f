//! `redis-cli`, and two Redis servers that know nothing of each other.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use proxy_lab::checks::Checks;
use proxy_lab::fleet::is_installed;
use proxy_lab::health::Watched;
use proxy_lab::process::Proxy;
use proxy_lab::redis::Redis;
use proxy_lab::server::{output_of, text_of};
use proxy_lab::table::ConfigFile;
use proxy_lab::wait;

use super::{BENCH, numbered};
use crate::{PROXY, SCRATCH};

/// The check of `docs/health.md`.
const PING: &str = "type = \"script\"\n\
     script = [{ send = 'PING\\r\\n' }, { expect_prefix = '+PONG' }]\n";

fn are_installed() -> bool {
    is_installed("redis-server") && is_installed("redis-cli")
}

fn port(address: SocketAddr) -> [String; 2] {
    ["-p".to_owned(), address.port().to_string()]
}

/// What `redis-cli` says, with this on its standard input.
fn cli(address: SocketAddr, args: &[&str], input: &str) -> String {
    let port = port(address);
    let args = [&[&*port[0], &*port[1], "--raw"], args].concat();
    text_of("redis-cli", &args, input)
}

/// A pool that keeps each client on one server: what it writes it finds again.
fn kept_together(servers: &[Redis; 2], more: &str) -> Proxy {
    let backends = servers.each_ref().map(|server| server.address.to_string());
    let config = format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\npool = \"cache\"\n[pools.cache]\n\
         backends = {backends:?}\nsticky = {{ mode = \"client\" }}\n[health.check]\n{PING}{more}"
    );
    Proxy::configured(PROXY, 1, ConfigFile::new(SCRATCH, "redis", &config))
}

/// The one that has keys, and the other one.
fn by_use(servers: [Redis; 2]) -> (Redis, Redis) {
    let sizes = servers.each_ref().map(|server| cli(server.address, &["DBSIZE"], ""));
    let [a, b] = servers;
    match sizes.each_ref().map(|size| size.trim() == "0") {
        [false, true] => (a, b),
        [true, false] => (b, a),
        _ => panic!("one of them has all keys: {sizes:?}"),
    }
}

#[test]
fn what_is_written_is_read_until_its_server_dies() {
    if !are_installed() {
        return;
    }
    let servers = [Redis::start(), Redis::start()];
    let proxy = kept_together(&servers, "");
    let ask = |args: &[&str]| cli(proxy.address(), args, "");
    assert_eq!(ask(&["SET", "greeting", "hello\r\nworld"]), "OK\n");
    assert_eq!(ask(&["GET", "greeting"]), "hello\r\nworld\n");
    // A value of a megabyte, from the standard input.
    let large = numbered(40_000);
    assert_eq!(cli(proxy.address(), &["-x", "SET", "large"], &large), "OK\n");
    assert!(ask(&["GET", "large"]) == format!("{large}\n"), "the large value is another one");
    // Errors are the server's.
    assert!(ask(&["INCR", "greeting"]).starts_with("ERR value is not an integer"));

    let (home, other) = by_use(servers);
    drop(home);
    assert_eq!(ask(&["SET", "greeting", "here now"]), "OK\n");
    assert_eq!(ask(&["GET", "greeting"]), "here now\n");
    assert_eq!(cli(other.address, &["GET", "greeting"], ""), "here now\n");
}

#[test]
fn a_bulk_load_by_pipe_arrives_whole_and_in_its_order() {
    if !are_installed() {
        return;
    }
    const COMMANDS: u32 = 50_000;
    let servers = [Redis::start(), Redis::start()];
    let proxy = kept_together(&servers, "");
    let numbered = numbered(COMMANDS);
    let mut load = String::new();
    for line in numbered.lines() {
        // The protocol itself, as its documentation of mass insertion advises.
        let _ = write!(load, "*3\r\n$5\r\nRPUSH\r\n$4\r\nlist\r\n${}\r\n{line}\r\n", line.len());
    }
    let said = cli(proxy.address(), &["--pipe"], &load);
    assert!(said.ends_with(&format!("errors: 0, replies: {COMMANDS}\n")), "{said}");
    assert_eq!(cli(proxy.address(), &["LLEN", "list"], ""), format!("{COMMANDS}\n"));
    assert!(cli(proxy.address(), &["LRANGE", "list", "0", "-1"], "") == numbered);
    by_use(servers);
    proxy.logged(&[&format!("received={}", numbered_replies(COMMANDS)), "end=\"closed\""]);
}

/// The length of the replies to so many RPUSH, `:1\r\n` and on, and to the ECHO of 20 bytes with which
/// `redis-cli` finds the end.
fn numbered_replies(commands: u32) -> usize {
    let replies: usize = (1..=commands).map(|index| format!(":{index}\r\n").len()).sum();
    replies + "$20\r\n".len() + 20 + "\r\n".len()
}

#[test]
fn a_subscriber_may_be_silent_for_as_long_as_is_allowed() {
    if !are_installed() {
        return;
    }
    let servers = [Redis::start(), Redis::start()];
    let (patient, hasty) =
        (kept_together(&servers, ""), kept_together(&servers, "[timeouts]\nidle_ms = 500\n"));
    let mut subscribers = [&patient, &hasty].map(|proxy| {
        let mut child = Command::new("redis-cli")
            .args(port(proxy.address()))
            .args(["SUBSCRIBE", "news"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let greeting: Vec<_> = lines.by_ref().take(3).collect();
        assert_eq!(greeting, ["subscribe", "news", "1"]);
        (child, lines)
    });
    wait::pause(Duration::from_millis(1_500));
    hasty.logged(&["end=\"idle for too long\""]);
    // The subscriber's own line comes when it ends.
    assert_eq!(patient.times_logged(" end="), 0);
    assert_eq!(cli(patient.address(), &["PUBLISH", "news", "still here"], ""), "1\n");
    let message: Vec<_> = subscribers[0].1.by_ref().take(3).collect();
    assert_eq!(message, ["message", "news", "still here"]);
    for (child, _) in &mut subscribers {
        let _ = child.kill();
        child.wait().unwrap();
    }
}

#[test]
fn a_server_that_says_something_else_than_pong_is_taken_out() {
    if !are_installed() {
        return;
    }
    let servers = [Redis::start(), Redis::start()];
    let names = ["one", "two"];
    for (server, name) in servers.iter().zip(names) {
        assert_eq!(cli(server.address, &["SET", "name", name], ""), "OK\n");
    }
    let checks = Checks::QUICK;
    let labels = servers.iter().zip(names);
    let labels = labels.map(|(server, name)| (server.address.to_string(), name.to_owned()));
    let backends = servers.each_ref().map(|server| server.address.to_string());
    let watched = BENCH.watch_pool(
        "l4: redis-cli, one of two wants a password",
        labels.collect(),
        &format!("backends = {backends:?}\n"),
        &checks.asking(PING),
    );
    let Watched { timeline, proxy, .. } = &watched;
    let names = || (0..4).map(|_| cli(proxy.address(), &["GET", "name"], "")).collect::<Vec<_>>();
    let seen = names();
    assert!(seen.contains(&"one\n".to_owned()) && seen.contains(&"two\n".to_owned()), "{seen:?}");

    // It still takes connections.
    let since = timeline.note("two", "CONFIG SET requirepass");
    assert_eq!(cli(servers[1].address, &["CONFIG", "SET", "requirepass", "secret"], ""), "OK\n");
    timeline.reaches("two", "down", "NOAUTH Authentication required", since, checks.detection());
    assert_eq!(names(), ["one\n"; 4]);
    let since = timeline.note("two", "CONFIG SET requirepass, none");
    let no_password = ["-a", "secret", "--no-auth-warning", "CONFIG", "SET", "requirepass", ""];
    let port = port(servers[1].address);
    let args = [&[&*port[0], &*port[1]], &no_password[..]].concat();
    assert_eq!(output_of("redis-cli", &args, "").stdout, b"OK\n");
    timeline.reaches("two", "up", "", since, checks.recovery());
    assert!(names().contains(&"two\n".to_owned()));
}
