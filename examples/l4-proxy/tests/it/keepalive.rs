//! TCP's probes of connections on which nothing happens.
#![cfg(target_os = "linux")]

use proxy_lab::backend::Backend;
use proxy_lab::client::Connection;
use proxy_lab::process::Proxy;
use proxy_lab::table::ConfigFile;
use proxy_lab::wait;

use crate::{PROXY, SCRATCH};

/// When established sockets of this port are probed next, in hundredths of a second from now: those that have the
/// timer of keep-alive running, `timer` in proc_net_tcp.
fn timers(port: u16) -> Vec<u64> {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let timer = |line: &str| {
        let words: Vec<_> = line.split_whitespace().collect();
        let is_it = words[1].ends_with(&format!(":{port:04X}")) && words[3] == "01";
        let left = words[5].strip_prefix("02:").filter(|_| is_it)?;
        Some(u64::from_str_radix(left, 16).unwrap())
    };
    table.lines().skip(1).filter_map(timer).collect()
}

fn probed(port: u16) -> usize {
    timers(port).len()
}

fn config(backend: &Backend, more: &str) -> String {
    format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\npool = \"a\"\n\
         [pools.a]\nbackends = [{:?}]\n{more}",
        backend.address
    )
}

/// The port of the proxy's own end of the one connection to the backend.
fn own_port(backend: &Backend) -> u16 {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let port: u16 = backend.port().parse().unwrap();
    let mut lines = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    let line = lines.find(|words| words[2].ends_with(&format!(":{port:04X}")) && words[3] == "01");
    u16::from_str_radix(line.unwrap()[1].rsplit(':').next().unwrap(), 16).unwrap()
}

#[test]
fn both_sides_are_probed_if_that_is_wanted() {
    let backend = Backend::named("a");
    let file = ConfigFile::new(SCRATCH, "keepalive", &config(&backend, ""));
    let proxy = Proxy::start(PROXY, 1, ["--config", file.path()]);
    let mut connection = Connection::open(proxy.address());
    assert_eq!(connection.request("GET / HTTP/1.1\r\n\r\n").text(), "a");
    let port = proxy.address().port();
    assert_eq!((probed(port), probed(own_port(&backend))), (0, 0));
    drop(connection);
    wait::until("the connection to end", || proxy.times_logged("end=\"closed\"") == 1);

    // A reload is for connections after it.
    let wanted = "[keepalive]\nidle_s = 30\ninterval_s = 5\nprobes = 3\n";
    file.rewrite(&config(&backend, wanted));
    proxy.signal("HUP");
    proxy.logged(&["reloaded"]);
    let mut connection = Connection::open(proxy.address());
    assert_eq!(connection.request("GET / HTTP/1.1\r\n\r\n").text(), "a");
    let mine = own_port(&backend);
    // An acknowledgement may be due first.
    wait::until("both to be probed", || probed(port) == 1 && probed(mine) == 1);

    file.rewrite(&config(&backend, ""));
    proxy.signal("HUP");
    wait::until("another reload", || proxy.times_logged("reloaded") == 2);
    let mut another = Connection::open(proxy.address());
    assert_eq!(another.request("GET / HTTP/1.1\r\n\r\n").text(), "a");
    assert_eq!(probed(port), 1);
}

#[test]
fn what_a_configuration_leaves_out_is_not_what_was_there_before() {
    const HOURS: u64 = 3 * 60 * 60 * 100;
    let backend = Backend::named("a");
    let file =
        ConfigFile::new(SCRATCH, "keepalive", &config(&backend, "[keepalive]\nidle_s = 32767\n"));
    let proxy = Proxy::start(PROXY, 1, ["--config", file.path()]);
    let port = proxy.address().port();
    let mut connection = Connection::open(proxy.address());
    assert_eq!(connection.request("GET / HTTP/1.1\r\n\r\n").text(), "a");
    wait::until("late probes", || timers(port).iter().any(|left| *left > HOURS));

    file.rewrite(&config(&backend, "[keepalive]\nprobes = 2\n"));
    proxy.signal("HUP");
    proxy.logged(&["reloaded"]);
    let mut another = Connection::open(proxy.address());
    assert_eq!(another.request("GET / HTTP/1.1\r\n\r\n").text(), "a");
    wait::until("earlier ones", || timers(port).iter().any(|left| *left < HOURS));
}

#[test]
fn numbers_that_are_wrong_are_refused() {
    let backend = Backend::named("a");
    let wrong = "[keepalive]\nidle_s = 0\n";
    let file = ConfigFile::new(SCRATCH, "keepalive", &config(&backend, wrong));
    let (_, _, errors) = proxy_lab::process::run(PROXY, ["--config", file.path(), "--check"]);
    assert!(errors.contains("keepalive.idle_s: 0 is out of range: 1 to 32767"), "{errors}");
}
