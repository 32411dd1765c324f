//! Configurations that are refused, and those that are not.

use std::net::TcpListener;

use proxy_lab::backend::Backend;
use proxy_lab::process;
use proxy_lab::table::{ConfigFile, assert_refused};

use crate::{PROXY, SCRATCH};

#[test]
fn bad_flags_are_refused() {
    let backends = ["--listen", "127.0.0.1:0", "--backend", "127.0.0.1:81"];
    let with = |more: &[&'static str]| [&backends, more].concat();
    for (args, named) in [
        (with(&["--nonsense"]), vec!["--nonsense"]),
        (with(&["--backend", "127.0.0.1:81"]), vec!["duplicate backend `127.0.0.1:81`"]),
        (with(&["--backend", "127.0.0.1"]), vec!["--backend", "`127.0.0.1`", "no port"]),
        (with(&["--backend", "::1:80"]), vec!["`::1:80`", "brackets"]),
        (with(&["--backend", "a:80,weight=70000"]), vec!["`a:80`", "weight 70000", "65535"]),
        (
            with(&["--backend", "a:80,spare"]),
            vec!["`spare`", "allowed are weight=N, backup, max=N"],
        ),
        (with(&["--backend", "no-such-host.invalid:80"]), vec!["`no-such-host.invalid:80`"]),
        (
            with(&["--policy", "fastest"]),
            vec!["--policy", "`fastest`", "round_robin", "least_conn"],
        ),
        (with(&["--listen", "nowhere"]), vec!["--listen", "`nowhere`"]),
        (with(&["--listen", "127.0.0.1:65536"]), vec!["`127.0.0.1:65536`"]),
        (with(&["--listen", "192.0.2.1:80"]), vec!["192.0.2.1:80"]),
        (with(&["--config", "x.toml"]), vec!["--config"]),
        (with(&["--demo"]), vec!["--demo"]),
        (vec!["--listen", "127.0.0.1:0"], vec!["no backends"]),
        (vec!["--check"], vec!["no backends"]),
        (vec!["--config", "/no/such/file.toml"], vec!["/no/such/file.toml", "No such file"]),
    ] {
        assert_refused(PROXY, &args, &named);
    }
}

#[test]
fn bad_files_are_refused() {
    let listener = "[[listeners]]\naddress = \"127.0.0.1:0\"\n";
    let pool = "[pools.a]\nbackends = [\"127.0.0.1:81\"]\n";
    let good = format!("{listener}{pool}");
    let two_pools = format!("{good}[pools.b]\nbackends = [\"127.0.0.1:82\"]\n");
    let after = |more: &str| format!("{good}{more}\n");
    for (text, named) in [
        (String::new(), vec!["listeners"]),
        ("x = ".to_owned(), vec![":1:", "x ="]),
        ("\u{0}".to_owned(), vec![":1:2"]),
        (after("[[listeners]]\naddress = \"x\""), vec!["listeners[1].address", "`x`"]),
        (
            "[[listeners]]\naddress = \"127.0.0.1:9\"\n".repeat(2) + pool,
            vec!["listeners[1].address", "duplicate listener `127.0.0.1:9`"],
        ),
        (listener.to_owned(), vec!["pools", "no backends"]),
        (format!("{listener}[pools.a]\nbackends = []\n"), vec!["pools.a.backends", "no backends"]),
        (
            format!("{listener}[pools.a]\nbackends = [\"H:81\", \"h:81\"]\n"),
            vec!["pools.a.backends", "duplicate backend `h:81`"],
        ),
        (
            format!("{listener}[pools.a]\nbackends = [{{ address = \"a:1\", weight = 70000 }}]\n"),
            vec![":4:", "weight 70000 is out of range: 0 to 65535 are allowed"],
        ),
        (
            format!("{listener}[pools.a]\nbackends = [{{ address = \"a:1\", wait = 1 }}]\n"),
            vec!["`wait`", "`weight`", "`backup`"],
        ),
        (
            format!("{listener}[pools.a]\nbackends = [{{ address = \"a:1\", max = 0 }}]\n"),
            vec!["max `0`"],
        ),
        (after("[pools.\"a b\"]\nbackends = [\"x:1\"]"), vec!["pools.a b", "letters"]),
        (after("[pools.b]\npolicy = \"fastest\""), vec!["`fastest`", "least_conn"]),
        (
            after("[pools.b]\npolicy = { name = \"p2c\", choices = 99 }"),
            vec!["policy.choices", "2 to 16"],
        ),
        (after("key = \"client\""), vec!["pools.a.key", "`round_robin` picks without a key"]),
        (after("secret = \"\""), vec!["pools.a.secret", "`round_robin` picks without a key"]),
        (after("key = \"user\""), vec![":5:7", "unknown part `user`", "client, header, cookie"]),
        (after("[pool.b]"), vec!["`pool`", "`pools`"]),
        (after("[timeouts]\nconnect_ms = 0"), vec!["timeouts.connect_ms", "1 to 604800000"]),
        (after("[timeouts]\nconnect_ms = \"2s\""), vec!["connect_ms", "2s"]),
        (after("[timeouts]\nread_ms = 1"), vec!["`read_ms`", "`connect_ms`"]),
        (two_pools, vec!["routes", "several pools"]),
        (after("[[routes]]\npool = \"c\""), vec!["routes[0].pool", "`c`", "allowed are a"]),
        (after("[[routes]]\npool = \"a\"\nhost = \"a:80\""), vec!["routes[0].host"]),
        (after("[[routes]]\npool = \"a\"\npath_prefix = \"x\""), vec!["routes[0].path_prefix"]),
        (
            after("[[routes]]\npool = \"a\"\nheader = { name = \"a b\" }"),
            vec!["routes[0].header.name", "`a b`"],
        ),
        (
            after("[[routes]]\npool = \"a\"\ncookie = { name = \"a=b\" }"),
            vec!["routes[0].cookie.name", "`a=b`"],
        ),
    ] {
        let file = ConfigFile::new(SCRATCH, "refused", &text);
        let named: Vec<_> = [file.path()].into_iter().chain(named).collect();
        assert_refused(PROXY, &["--config", file.path()], &named);
        assert_refused(PROXY, &["--config", file.path(), "--check"], &named);
    }
}

#[test]
fn a_name_that_nobody_knows_is_refused() {
    let text = "[[listeners]]\naddress = \"127.0.0.1:0\"\n\
                [pools.a]\nbackends = [\"no-such-host.invalid:80\"]\n";
    let file = ConfigFile::new(SCRATCH, "unresolvable", text);
    let named = ["pools.a.backends", "`no-such-host.invalid:80`"];
    assert_refused(PROXY, &["--config", file.path()], &named);
}

#[test]
fn a_port_in_use_is_refused_and_nothing_is_started() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken_address = taken.local_addr().unwrap().to_string();
    let backend = Backend::named("never asked");
    let args =
        ["--listen", "127.0.0.1:0", "--listen", &taken_address, "--backend", &backend.address];
    assert_refused(PROXY, &args, &[&taken_address, "in use"]);
    assert_eq!(backend.accepted(), 0);
    assert_refused(PROXY, &["--demo", "--listen", &taken_address], &[&taken_address, "in use"]);
}

#[test]
fn check_says_ok_and_exits() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    // The port may be in use: by the proxy that runs with the old configuration.
    let args = ["--check", "--listen", &listen, "--backend", "localhost:81,weight=0,backup,max=3"];
    let expected = (0, "l7-proxy: command line: ok\n".to_owned(), String::new());
    assert_eq!(process::run(PROXY, args), expected);
}

#[test]
fn the_sample_is_good() {
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/proxy.toml");
    let expected = (0, format!("l7-proxy: {sample}: ok\n"), String::new());
    assert_eq!(process::run(PROXY, ["--check", "--config", sample]), expected);
}

#[test]
fn the_configurations_of_the_cases_are_good_and_linked() {
    let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs");
    let page = std::fs::read_to_string(format!("{docs}/cases.md")).unwrap();
    let mut checked = 0;
    for entry in std::fs::read_dir(format!("{docs}/cases")).unwrap() {
        let path = entry.unwrap().path();
        let (name, path) = (path.file_name().unwrap().to_str().unwrap(), path.to_str().unwrap());
        let expected = (0, format!("l7-proxy: {path}: ok\n"), String::new());
        assert_eq!(process::run(PROXY, ["--check", "--config", path]), expected);
        assert!(page.contains(&format!("](cases/{name})")), "{name} is not in cases.md");
        checked += 1;
    }
    assert_eq!(checked, 8);
}

#[test]
fn help_and_version_are_no_errors() {
    for flag in ["--help", "--version"] {
        let (code, output, errors) = process::run(PROXY, [flag]);
        assert_eq!((code, errors.as_str()), (0, ""));
        assert!(output.contains("l7-proxy"));
    }
}
