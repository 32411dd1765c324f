//! Configurations that are refused, and those that are not. What both proxies share is tested in
//! l7-proxy.

use std::net::TcpListener;

use proxy_lab::backend::Backend;
use proxy_lab::client::get;
use proxy_lab::process::{self, Proxy};
use proxy_lab::table::{ConfigFile, assert_refused};

use crate::{PROXY, SCRATCH};

#[test]
fn bad_flags_are_refused() {
    let backends = ["--listen", "127.0.0.1:0", "--backend", "127.0.0.1:81"];
    let with = |more: &[&'static str]| [&backends, more].concat();
    for (args, named) in [
        (vec![], vec!["no backends"]),
        (with(&["--backend", "127.0.0.1:81"]), vec!["--backend", "duplicate", "`127.0.0.1:81`"]),
        (with(&["--backend", "a:80,weight=70000"]), vec!["`a:80`", "weight 70000", "65535"]),
        (with(&["--backend", "no-such-host.invalid:80"]), vec!["`no-such-host.invalid:80`"]),
        (with(&["--policy", "fastest"]), vec!["--policy", "`fastest`", "round_robin"]),
    ] {
        assert_refused(PROXY, &args, &named);
    }
}

#[test]
fn bad_files_are_refused() {
    let pool = "[pools.a]\nbackends = [\"127.0.0.1:81\"]\n";
    let listener = "[[listeners]]\naddress = \"127.0.0.1:0\"\npool = \"a\"\n";
    for (text, named) in [
        (pool.to_owned(), vec!["listeners"]),
        (format!("{pool}[[listeners]]\naddress = \"127.0.0.1:0\""), vec!["`pool`"]),
        (
            format!("{pool}{}", listener.replace("\"a\"", "\"b\"")),
            vec!["listeners[0].pool", "`b`", "allowed are a"],
        ),
        (format!("{listener}[pools.a]\n"), vec!["pools.a.backends", "no backends"]),
        (format!("{listener}{pool}[[routes]]\n"), vec!["`routes`", "`listeners`"]),
        (
            format!("{listener}{pool}[timeouts]\nshutdown_ms = 604800001\n"),
            vec!["timeouts.shutdown_ms", "1 to 604800000"],
        ),
        (
            format!("{listener}{pool}[timeouts]\nfirst_bytes_ms = 0\n"),
            vec!["timeouts.first_bytes_ms", "1 to 604800000"],
        ),
        (
            format!("{listener}{pool}key = \"sni\"\n"),
            vec!["pools.a.key", "`round_robin` picks without a key"],
        ),
    ] {
        let file = ConfigFile::new(SCRATCH, "refused", &text);
        let named: Vec<_> = [file.path()].into_iter().chain(named).collect();
        assert_refused(PROXY, &["--config", file.path()], &named);
    }
}

#[test]
fn a_port_in_use_is_refused() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let args = ["--listen", &address, "--backend", "127.0.0.1:81"];
    assert_refused(PROXY, &args, &[&address, "in use"]);
}

#[test]
fn each_listener_has_its_pool() {
    let (a, b) = (Backend::named("a"), Backend::named("b"));
    let config = format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\npool = \"b\"\n\
         [[listeners]]\naddress = \"127.0.0.1:0\"\npool = \"a\"\n\
         [pools.a]\npolicy = \"least_conn\"\nbackends = [\"{}\"]\n\
         [pools.b]\nbackends = [\"{}\"]\n",
        a.address, b.address
    );
    let file = ConfigFile::new(SCRATCH, "listeners", &config);
    let proxy = Proxy::start(PROXY, 2, ["--config", file.path()]);
    assert_eq!(get(proxy.addresses[0], "/").text(), "b");
    assert_eq!(get(proxy.addresses[1], "/").text(), "a");
}

#[test]
fn the_sample_is_good() {
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/proxy.toml");
    let expected = (0, format!("l4-proxy: {sample}: ok\n"), String::new());
    assert_eq!(process::run(PROXY, ["--check", "--config", sample]), expected);
}
