//! The file of a socket that listens, from a start to a stop.

use std::fs;
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use proxy_lab::backend::Backend;
use proxy_lab::process::Proxy;
use proxy_lab::table::{ConfigFile, assert_refused};
use proxy_lab::wait;

use super::party::{Path, config, start};
use crate::handover::Successor;
use crate::{PROXY, SCRATCH};

#[test]
fn a_file_that_is_left_is_replaced_and_no_other() {
    let (a, path) = (Backend::named("a"), Path::new());
    let text = config(&path.written(), "", &[&a.address], "", "");
    drop(UnixListener::bind(&path.0).unwrap());
    assert!(path.exists());
    let mut proxy = start(&text);
    assert_eq!(path.get(), "a");

    let file = ConfigFile::new(SCRATCH, "unix-second", &text);
    let listen = format!("listen on {}: ", path.written());
    let args = ["--config", file.path()];
    assert_refused(PROXY, &args, &[&listen, "somebody listens there"]);
    assert_eq!(path.get(), "a", "it still does");
    proxy.signal("TERM");
    assert_eq!(proxy.ended().code(), Some(0));
    assert!(!path.exists());

    fs::write(&path.0, "text").unwrap();
    assert_refused(PROXY, &args, &[&listen, "there is a file that is no socket"]);
    assert_eq!(fs::read(&path.0).unwrap(), b"text");
    let _ = fs::remove_file(&path.0);
    // What was bound for a start that fails is removed again.
    let more = "[[listeners]]\naddress = \"unix:/nowhere/at/all\"\npool = \"a\"";
    file.rewrite(&config(&path.written(), more, &[&a.address], "", ""));
    assert_refused(PROXY, &args, &["listen on unix:/nowhere/at/all: ", "No such file"]);
    assert!(!path.exists());
}

#[test]
fn a_reload_opens_and_closes() {
    let (a, b) = (Backend::named("a"), Backend::named("b"));
    let (stays, goes, comes) = (Path::new(), Path::new(), Path::new());
    let with = |other: &Path, backend: &Backend| {
        let more = format!("[[listeners]]\naddress = \"{}\"\npool = \"a\"", other.written());
        config(&stays.written(), &more, &[&backend.address], "", "")
    };
    let file = ConfigFile::new(SCRATCH, "unix-reload", &with(&goes, &a));
    let proxy = Proxy::start(PROXY, 0, ["--config", file.path()]);
    proxy.logged(&[&format!("listening on {}", goes.written())]);
    assert_eq!((stays.get(), goes.get()), ("a".to_owned(), "a".to_owned()));
    let held = goes.open().unwrap();

    file.rewrite(&with(&comes, &b));
    proxy.signal("HUP");
    proxy.logged(&["reloaded: "]);
    proxy.logged(&[&format!("no longer listening on {}", goes.written())]);
    assert_eq!((stays.get(), comes.get()), ("b".to_owned(), "b".to_owned()));
    assert!(!goes.exists() && goes.open().is_err());
    // Whoever was there stays.
    held.set_nonblocking(true).unwrap();
    let error = std::io::Read::read(&mut &held, &mut [0]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn another_process_takes_over() {
    for (before, after) in [(0, 0), (2, 1), (1, 3)] {
        takes_over(before, after);
    }
}

fn takes_over(before: usize, after: usize) {
    let (a, b) = (Backend::named("a"), Backend::named("b"));
    let path = Path::new();
    let text = |backend: &Backend, workers: usize| {
        let workers = format!("workers = {workers}");
        config(&path.written(), "", &[&backend.address], "", &workers)
    };
    let file = ConfigFile::new(SCRATCH, "unix-handover", &text(&a, before));
    let mut proxy = Proxy::start(PROXY, 0, ["--config", file.path()]);
    proxy.logged(&["listening on unix:"]);
    assert_eq!(path.get(), "a");
    file.rewrite(&text(&b, after));
    let done = AtomicBool::new(false);
    let _successor = thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Relaxed) {
                let text = path.get();
                assert!(text == "a" || text == "b", "{text:?}");
            }
        });
        proxy.signal("USR2");
        let successor = Successor::of(&proxy);
        wait::until("the old one to end", || !proxy.is_running());
        done.store(true, Relaxed);
        successor
    });
    // The old one has left the file.
    for _ in 0..8 {
        assert_eq!(path.get(), "b");
    }
}
