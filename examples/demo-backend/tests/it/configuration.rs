//! Flags that are refused, and those that are not.

use std::fs;
use std::net::TcpListener;

use proxy_lab::process;
use proxy_lab::table::assert_refused;

use crate::demo::Scratch;
use crate::{PROGRAM, SCRATCH};

#[test]
fn bad_flags_are_refused() {
    let scratch = Scratch::new();
    let url = scratch.url();
    let with =
        |more: &[&'static str]| [&["--database", &url, "--listen", "127.0.0.1:0"], more].concat();
    for (args, named) in [
        (vec![], vec!["--database"]),
        (with(&["--nonsense"]), vec!["--nonsense"]),
        (with(&["--name", ""]), vec!["--name"]),
        (
            with(&["--database-timeout-ms", "0"]),
            vec!["--database-timeout-ms", "`0`", "1 to 3600000"],
        ),
        (with(&["--warm-up-ms", "1s"]), vec!["--warm-up-ms", "`1s`", "1 to 3600000"]),
        (vec!["--database", &url, "--listen", "nowhere"], vec!["--listen", "nowhere"]),
        (vec!["--database", &url, "--listen", "192.0.2.1:80"], vec!["192.0.2.1:80"]),
        (vec!["--database", "demo.db"], vec!["--database", "sqlite:PATH", "redis://HOST:PORT"]),
        (vec!["--database", "sqlite:"], vec!["--database", "no path"]),
        (vec!["--database", "sqlite::memory:"], vec!["--database", "in memory"]),
        (vec!["--database", "redis://"], vec!["--database", "HOST:PORT"]),
        (vec!["--database", "redis://localhost"], vec!["--database", "`localhost`"]),
        (vec!["--database", "redis://user:secret@localhost:6379/0"], vec!["--database"]),
        (with(&["--sessions", "disk"]), vec!["--sessions", "memory or redis://HOST:PORT"]),
        (with(&["--sessions", "redis://localhost"]), vec!["--sessions", "`localhost`"]),
    ] {
        assert_refused(PROGRAM, &args, &named);
    }
    assert!(!fs::exists(scratch.path()).unwrap(), "a refused start makes no file");
}

#[test]
fn a_file_that_cannot_be_a_database_is_refused() {
    let listen = ["--listen", "127.0.0.1:0", "--database"];
    let scratch = Scratch::new();
    fs::write(scratch.path(), "x".repeat(4096)).unwrap();
    for (url, named) in [
        ("sqlite:/no/such/directory/a.db", "unable to open"),
        (&format!("sqlite:{SCRATCH}"), "unable to open"),
        (&scratch.url(), "not a database"),
    ] {
        assert_refused(PROGRAM, &[&listen[..], &[url]].concat(), &[url, named]);
    }
}

#[test]
fn a_port_in_use_is_refused_and_no_file_is_made() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let scratch = Scratch::new();
    let url = scratch.url();
    assert_refused(PROGRAM, &["--listen", &listen, "--database", &url], &[&listen, "in use"]);
    assert!(!fs::exists(scratch.path()).unwrap());
}

#[test]
fn help_and_version_are_no_errors() {
    for flag in ["--help", "--version"] {
        let (code, output, errors) = process::run(PROGRAM, [flag]);
        assert_eq!((code, errors.as_str()), (0, ""));
        assert!(output.contains("demo-backend"));
    }
    let (_, help, _) = process::run(PROGRAM, ["--help"]);
    for flag in
        ["--listen", "--name", "--database", "--sessions", "--database-timeout-ms", "--warm-up-ms"]
    {
        assert!(help.contains(flag), "{help}");
    }
}
