//! Which connections have a line in the log.

use proxy_lab::backend::{Backend, free_address};
use proxy_lab::client::{Connection, get};
use proxy_lab::process::Proxy;
use proxy_lab::table::ConfigFile;
use proxy_lab::wait;

use crate::{PROXY, SCRATCH};

/// A proxy with a pool that is well, and one whose only backend is not there.
fn proxy(backend: &Backend, connections: &str) -> (ConfigFile, Proxy) {
    let config = format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\npool = \"a\"\n\
         [[listeners]]\naddress = \"127.0.0.1:0\"\npool = \"none\"\n\
         [pools.a]\nbackends = [{:?}]\n[pools.none]\nbackends = [{:?}]\n\
         [log]\nconnections = {connections:?}\n",
        backend.address,
        free_address()
    );
    let file = ConfigFile::new(SCRATCH, "log", &config);
    let proxy = Proxy::start(PROXY, 2, ["--config", file.path()]);
    (file, proxy)
}

fn good_and_bad(proxy: &Proxy) {
    assert_eq!(get(proxy.addresses[0], "/").text(), "a");
    Connection::open(proxy.addresses[1]).until_closed();
}

#[test]
fn all_have_one_unless_it_is_said() {
    let backend = Backend::named("a");
    let (_file, proxy) = proxy(&backend, "all");
    good_and_bad(&proxy);
    wait::until("both lines", || proxy.times_logged(" attempts=1") == 2);
}

#[test]
fn those_that_went_wrong_may_be_the_only_ones() {
    let backend = Backend::named("a");
    let (_file, mut proxy) = proxy(&backend, "failed");
    good_and_bad(&proxy);
    proxy.logged(&["pool=none", "attempts=1"]);
    proxy.signal("TERM");
    assert_eq!(proxy.ended().code(), Some(0));
    assert_eq!(proxy.times_logged("pool=a backend="), 0);
}

#[test]
fn there_may_be_none() {
    let backend = Backend::named("a");
    let (_file, mut proxy) = proxy(&backend, "off");
    good_and_bad(&proxy);
    proxy.signal("TERM");
    assert_eq!(proxy.ended().code(), Some(0));
    assert_eq!(proxy.times_logged(" attempts="), 0);
}

/// The pipe of its output is full, and nobody reads.
#[cfg(unix)]
#[test]
fn a_reader_who_stops_reading_stops_nobody() {
    let backend = Backend::named("a");
    let address = proxy_lab::demo::own_address();
    // Its output is read to the first line, and then no more.
    let mut child = std::process::Command::new(PROXY)
        .args(["--listen", &address, "--backend", &backend.address])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let address = address.parse().unwrap();
    wait::until("the proxy to listen", || std::net::TcpStream::connect(address).is_ok());
    // A pipe holds 64 KiB, and a line has more than 100 bytes.
    for _ in 0..1_500 {
        assert_eq!(get(address, "/").text(), "a");
    }
    proxy_lab::server::send_signal(child.id(), "TERM");
    let ended = wait::for_some("its end", || child.try_wait().unwrap());
    assert_eq!(ended.code(), Some(0));
}
