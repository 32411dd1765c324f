//! SIGUSR2: another process takes over, and nobody notices.

use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;

use proxy_lab::backend::Backend;
use proxy_lab::client::{Connection, get};
use proxy_lab::process::Proxy;
use proxy_lab::table::ConfigFile;
use proxy_lab::wait;

use crate::{PROXY, SCRATCH};

fn config(backend: &Backend, workers: usize) -> String {
    format!(
        "workers = {workers}\n[[listeners]]\naddress = \"127.0.0.1:0\"\npool = \"a\"\n\
         [[listeners]]\naddress = \"[::1]:0\"\npool = \"a\"\n\
         [admin]\naddress = \"127.0.0.1:0\"\n\
         [pools.a]\nbackends = [{:?}]\n",
        backend.address
    )
}

/// A process that this test did not start itself, and ends.
pub(crate) struct Successor(String);

impl Successor {
    pub(crate) fn of(proxy: &Proxy) -> Self {
        let line = proxy.logged(&["has taken over"]);
        let mut words = line.split_whitespace().skip_while(|word| *word != "process");
        Self(words.nth(1).unwrap().to_owned())
    }

    fn signal(&self, name: &str) -> bool {
        Command::new("kill").args([&format!("-{name}"), &self.0]).status().unwrap().success()
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        self.signal("KILL");
    }
}

#[test]
fn another_process_takes_over_and_no_connection_is_lost() {
    takes_over(0, 0);
}

#[test]
fn another_process_may_have_more_workers() {
    takes_over(0, 2);
    takes_over(1, 3);
}

#[test]
fn another_process_may_have_fewer_workers() {
    takes_over(3, 2);
    takes_over(2, 0);
}

fn takes_over(before: usize, after: usize) {
    let (a, b) = (Backend::named("a"), Backend::named("b"));
    let file = ConfigFile::new(SCRATCH, "handover", &config(&a, before));
    let mut proxy = Proxy::start(PROXY, 2, ["--config", file.path()]);
    let addresses = proxy.addresses.clone();
    let mut open = Connection::open(addresses[0]);
    assert_eq!(open.request("GET / HTTP/1.1\r\n\r\n").text(), "a");

    file.rewrite(&config(&b, after));
    let (done, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    let successor = thread::scope(|scope| {
        for address in &addresses {
            scope.spawn(|| {
                while !done.load(Relaxed) {
                    let text = get(*address, "/").text();
                    assert!(text == "a" || text == "b", "{text:?}");
                    served.fetch_add(1, Relaxed);
                }
            });
        }
        wait::until("some load", || served.load(Relaxed) > 20);
        proxy.signal("USR2");
        let successor = Successor::of(&proxy);
        let at = served.load(Relaxed);
        wait::until("some load", || served.load(Relaxed) > at + 20);
        done.store(true, Relaxed);
        successor
    });
    for address in addresses {
        assert_eq!(get(address, "/").text(), "b");
    }
    // What the old process has in hand it serves to the end.
    assert_eq!(open.request("GET / HTTP/1.1\r\n\r\n").text(), "a");
    assert!(proxy.is_running());
    drop(open);
    assert_eq!(proxy.ended().code(), Some(0));
    // They have the same output: the new one stops as any other.
    assert!(successor.signal("TERM"));
    wait::until("both to stop", || proxy.times_logged("l4-proxy: stopped") == 2);
    assert_eq!(proxy.errors(), Vec::<String>::new());
}

#[test]
fn a_successor_that_does_not_start_changes_nothing() {
    let a = Backend::named("a");
    let file = ConfigFile::new(SCRATCH, "handover", &config(&a, 0));
    let mut proxy = Proxy::start(PROXY, 2, ["--config", file.path()]);
    file.rewrite("not toml");
    proxy.signal("USR2");
    proxy.complained("hand-over: the new process has ended: exit status: 2; this one goes on");
    for address in proxy.addresses.clone() {
        assert_eq!(get(address, "/").text(), "a");
    }
    assert!(proxy.is_running());
}
