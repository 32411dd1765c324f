//! As many clients as the system lets in, and what it takes to keep them.
#![allow(clippy::disallowed_methods, reason = "a test measures real time")]

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use proxy_lab::LIMIT;
use proxy_lab::backend::Backend;
use proxy_lab::client::Connection;
use proxy_lab::echo::Echo;
use proxy_lab::process::Proxy;
use proxy_lab::table::ConfigFile;
use proxy_lab::timeline::{admin_address, until_idle};
use proxy_lab::usage::Usage;
use proxy_lab::wait;

use crate::{PROXY, SCRATCH, udp};

/// How many idle clients: 10,000, or fewer where a process may not have two descriptors for each, beside those of the
/// other tests.
fn idle_clients() -> usize {
    let limits = fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let most: usize = line.split_whitespace().nth(3).unwrap().parse().unwrap_or(usize::MAX);
    (most / 2).saturating_sub(1_500).clamp(most / 8, 10_000)
}

/// What an idle connection may take, in KiB. A release build takes 3.5.
const EACH: usize = 12;

#[test]
fn idle_clients_take_little_and_no_place_of_others() {
    let (backend, most) = (Echo::start(PROXY, "b"), idle_clients());
    let config = format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\npool = \"a\"\n[pools.a]\nbackends = [\"{}\"]\n\
         [limits]\nmax_connections = {most}\n[admin]\naddress = \"127.0.0.1:0\"\n",
        backend.address
    );
    let proxy = Proxy::configured(PROXY, 1, ConfigFile::new(SCRATCH, "crowd", &config));
    let before = Usage::at_rest(proxy.id());
    let open = || {
        let stream = TcpStream::connect(proxy.address()).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream
    };
    // Each has its backend: it says so, in a line.
    let greet = |stream: &mut TcpStream| {
        let mut byte = [0];
        while byte != *b"\n" {
            stream.read_exact(&mut byte)?;
        }
        Ok::<_, std::io::Error>(())
    };
    let mut crowd: Vec<_> = (0..most).map(|_| open()).collect();
    crowd.iter_mut().for_each(|stream| greet(stream).unwrap());
    let full = Usage::of(proxy.id());
    let each = (full.memory - before.memory) / most;
    println!("{most} idle clients, {each} KiB each");
    assert!(each <= EACH, "{each} KiB for each of {most}");

    // Those who come now wait, and the log says for what.
    let mut late: Vec<_> = (0..20).map(|_| open()).collect();
    proxy.complained(&format!("accept: {most} connections, limits.max_connections; clients wait"));
    // Nobody who is there is the worse for it.
    crowd[0].write_all(b"echo\nhello").unwrap();
    let mut echoed = [0; 5];
    crowd[0].read_exact(&mut echoed).unwrap();
    assert_eq!(&echoed, b"hello");
    crowd.truncate(most - late.len());
    late.iter_mut().for_each(|stream| greet(stream).unwrap());
    drop((crowd, late));
    let lines = || proxy.times_logged(" attempts=1 ");
    wait::until("a line for each", || lines() == most + 20);
    until_idle(admin_address(&proxy));
    proxy.closes_all_but(&before);
    greet(&mut open()).unwrap();
    proxy.complained("accept: there is room again");
    assert_eq!(proxy.errors().len(), 2, "{:?}", proxy.errors());
}

/// The shell lowers the limit for the proxy, then becomes it.
fn with_descriptors(most: usize, file: &ConfigFile) -> Proxy {
    let limited = format!("ulimit -n {most}; exec \"$0\" \"$@\"");
    Proxy::start("sh", 1, ["-c", &limited, PROXY, "--config", file.path()])
}

/// What 128 descriptors leave for clients.
const FOR_64: &str = "for which there are 64 file descriptors, see ulimit -n";

#[test]
fn there_are_no_more_clients_than_descriptors_for_them_and_their_backends() {
    let backend = Backend::named("ok");
    let config = format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\npool = \"a\"\n[pools.a]\nbackends = [\"{}\"]\n",
        backend.address
    );
    let file = ConfigFile::new(SCRATCH, "descriptors", &config);
    let proxy = with_descriptors(128, &file);
    let mut clients = [(); 60].map(|()| Connection::open(proxy.address()));
    clients.iter_mut().for_each(|client| client.send("GET / HTTP/1.1\r\n\r\n"));
    proxy.complained(&format!("accept: 32 connections and 0 UDP sessions, {FOR_64}; clients wait"));
    for mut client in clients {
        assert_eq!(client.reply().text(), "ok");
    }
    proxy.complained("accept: there is room again");
    assert_eq!(proxy.errors().len(), 2, "{:?}", proxy.errors());
}

#[test]
fn connections_and_sessions_of_udp_share_the_descriptors() {
    let (backend, echo) = (Backend::named("ok"), udp::Echo::new("u"));
    let config = format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\npool = \"a\"\n[pools.a]\nbackends = [\"{}\"]\n\
         [[udp]]\naddress = \"127.0.0.1:0\"\npool = \"u\"\nidle_ms = 3000\n[pools.u]\nbackends = [\"{}\"]\n",
        backend.address, echo.address
    );
    let proxy = with_descriptors(128, &ConfigFile::new(SCRATCH, "descriptors", &config));
    let line = proxy.logged(&["serving udp "]);
    let address = line.split_once("serving udp ").unwrap().1.parse().unwrap();
    let clients = [(); 34].map(|()| udp::Client::new(address));
    let answered = clients.iter().filter(|client| client.try_ask(b"?").is_some()).count();
    assert_eq!(answered, 32, "half of the descriptors at most");
    let why = format!("no file descriptor for it: 0 connections and 32 UDP sessions, {FOR_64}");
    proxy.logged(&["backend=-", &why]);
    let mut clients = [(); 20].map(|()| Connection::open(proxy.address()));
    clients.iter_mut().for_each(|client| client.send("GET / HTTP/1.1\r\n\r\n"));
    proxy.complained(&format!("connections and 32 UDP sessions, {FOR_64}; clients wait"));
    // Sessions end, and there is room.
    for mut client in clients {
        assert_eq!(client.reply().text(), "ok");
    }
}

#[test]
fn without_file_descriptors_accept_sleeps() {
    let backend = Backend::named("ok");
    // Clients that have yet to say who they are take one each, and the others wait with the system.
    let config = format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\npool = \"a\"\n\
         proxy_protocol = \"required\"\ntrusted = [\"127.0.0.0/8\"]\n\
         [timeouts]\nproxy_protocol_ms = 60000\n[pools.a]\nbackends = [\"{}\"]\n\
         [limits]\nmax_connections = 1000\n",
        backend.address
    );
    let file = ConfigFile::new(SCRATCH, "descriptors", &config);
    let proxy = with_descriptors(32, &file);
    proxy.complained("would need 2064 file descriptors; this process may have 32");
    let held = [(); 40].map(|()| Connection::open(proxy.address()));
    proxy.complained("accept: Too many open files");
    // A loop without a pause would take all of the time.
    let (before, began) = (Usage::of(proxy.id()).cpu, Instant::now());
    wait::pause(Duration::from_secs(1));
    let (worked, took) = (Usage::of(proxy.id()).cpu - before, began.elapsed());
    assert!(worked < took / 10, "{worked:?} of {took:?}");
    drop(held);
    proxy.complained("accept: works again");
    for _ in 0..20 {
        let mut client = Connection::open(proxy.address());
        client.send("PROXY UNKNOWN\r\n");
        assert_eq!(client.request("GET / HTTP/1.1\r\n\r\n").text(), "ok");
    }
    // It is told once that it began, and that it was over.
    assert_eq!(proxy.errors().len(), 3, "{:?}", proxy.errors());
}
