//! What became of each backend, and when, as the admin listener and the log tell it.
#![allow(clippy::disallowed_methods, reason = "a test measures real time")]

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::checks::SLACK;
use crate::client::{Connection, Reply};
use crate::process::{Lines, Proxy};
use crate::wait;

/// How often the admin listener is asked.
const EVERY: Duration = Duration::from_millis(4);

/// A backend as the admin listener shows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shown {
    /// What the proxy calls it.
    pub name: String,
    /// `up`, `down`, `ejected` and so on.
    pub state: String,
    /// Why, in words.
    pub reason: String,
    /// Requests or connections.
    pub in_flight: u32,
}

/// A change.
#[derive(Clone, Debug)]
pub struct Entry {
    /// When it was seen.
    pub at: Instant,
    /// Whose it is, by the name of the time-line; `-` is the pool's.
    pub who: String,
    /// The state; `log` for a line of the log, and `test` for what the test has done.
    pub state: String,
    /// Why, in words.
    pub reason: String,
}

/// Records all changes from its start to its drop, when it prints them; cargo shows that if the test fails,
/// or with `--nocapture`.
#[derive(Debug)]
pub struct Timeline {
    title: String,
    start: Instant,
    admin: SocketAddr,
    labels: Vec<(String, String)>,
    entries: Arc<Mutex<Vec<Entry>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Timeline {
    /// Starts it. `labels` are addresses, and what to call them.
    pub fn start(title: &str, proxy: &Proxy, labels: Vec<(String, String)>) -> Self {
        let entries = Arc::<Mutex<Vec<Entry>>>::default();
        let stop = Arc::<AtomicBool>::default();
        let admin = admin_address(proxy);
        let recorder = Recorder {
            lines: proxy.lines(),
            labels: labels.clone(),
            entries: Arc::clone(&entries),
            stop: Arc::clone(&stop),
        };
        let thread = Some(thread::spawn(move || recorder.run(admin)));
        let (title, start) = (title.to_owned(), Instant::now());
        Self { title, start, admin, labels, entries, stop, thread }
    }

    /// Notes what the test does, and when.
    pub fn note(&self, who: &str, what: &str) -> Instant {
        let at = Instant::now();
        let (who, state, reason) = (who.to_owned(), "test".to_owned(), what.to_owned());
        self.entries.lock().push(Entry { at, who, state, reason });
        at
    }

    /// Waits until this backend is in this state for a reason that has this piece, at or after `since`, and
    /// holds the time that it took against a bound.
    ///
    /// # Panics
    /// If it took longer than the bound and the slack.
    pub fn reaches(
        &self,
        who: &str,
        state: &str,
        reason: &str,
        since: Instant,
        bound: Duration,
    ) -> Entry {
        let what = format!("{who} to be {state}: {reason}");
        let entry = wait::for_some(&what, || self.find(who, state, reason, since));
        let took = entry.at - since;
        self.note(who, &format!("{state} after {took:.0?}, bound {bound:.0?}"));
        assert!(took <= bound + SLACK, "{what}: after {took:?}, the bound is {bound:?}");
        entry
    }

    /// The first entry that matches, at or after `since`.
    pub fn find(&self, who: &str, state: &str, reason: &str, since: Instant) -> Option<Entry> {
        let matches = |entry: &&Entry| {
            entry.at >= since
                && entry.who == who
                && entry.state == state
                && entry.reason.contains(reason)
        };
        self.entries.lock().iter().find(matches).cloned()
    }

    /// All entries of a backend, in this state.
    pub fn all(&self, who: &str, state: &str) -> Vec<Entry> {
        let matches = |entry: &&Entry| entry.who == who && entry.state == state;
        self.entries.lock().iter().filter(matches).cloned().collect()
    }

    /// The backends as they are now, by the names of the time-line.
    pub fn now(&self) -> Vec<Shown> {
        let mut shown = shown(self.admin);
        for backend in &mut shown {
            backend.name = label(&self.labels, &backend.name);
        }
        shown
    }

    /// One of them.
    ///
    /// # Panics
    /// If it is not there.
    pub fn of(&self, who: &str) -> Shown {
        self.now().into_iter().find(|shown| shown.name == who).expect("it is there")
    }

    /// Waits until this backend is in this state now.
    pub fn until(&self, who: &str, state: &str) {
        wait::until(&format!("{who} to be {state}"), || {
            self.now().iter().any(|shown| shown.name == who && shown.state == state)
        });
    }

    /// `POST /backends/NAME/{action}`.
    pub fn act(&self, who: &str, action: &str) -> Reply {
        self.note(who, action);
        let name = self.labels.iter().find(|(_, label)| label == who);
        let name = name.map_or(who, |(address, _)| address);
        Connection::open(self.admin).request(format!(
            "POST /backends/{name}/{action} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n"
        ))
    }

    /// The whole, a line a change.
    pub fn text(&self) -> String {
        let mut text = format!("--- {}\n", self.title);
        let mut entries = self.entries.lock().clone();
        entries.sort_by_key(|entry| entry.at);
        for Entry { at, who, state, reason } in entries {
            let millis = at.saturating_duration_since(self.start).as_millis();
            let _ = writeln!(text, "{millis:>6} ms  {who:<6} {state:<9} {reason}");
        }
        text
    }
}

impl Drop for Timeline {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        println!("{}", self.text());
    }
}

struct Recorder {
    lines: Lines,
    labels: Vec<(String, String)>,
    entries: Arc<Mutex<Vec<Entry>>>,
    stop: Arc<AtomicBool>,
}

impl Recorder {
    fn run(self, admin: SocketAddr) {
        let (mut last, mut last_panic, mut read) = (Vec::<Shown>::new(), String::new(), 0);
        while !self.stop.load(Relaxed) {
            let reply = Connection::open(admin).request(GET);
            let (shown, panic) = parse(&reply.text());
            for gone in last.iter().filter(|old| shown.iter().all(|new| new.name != old.name)) {
                self.push(&gone.name, "gone", "");
            }
            for new in &shown {
                let same = |old: &&Shown| (&old.name, &old.state) == (&new.name, &new.state);
                let old = last.iter().find(same);
                if old.is_none_or(|old| steady(&old.reason) != steady(&new.reason)) {
                    self.push(&new.name, &new.state, steady(&new.reason));
                }
            }
            if panic != last_panic {
                self.push("-", "panic", &panic);
            }
            (last, last_panic) = (shown, panic);
            read = self.read_log(read);
            wait::pause(EVERY);
        }
    }

    fn read_log(&self, read: usize) -> usize {
        let lines: Vec<String> = self.lines.lock()[read..].to_vec();
        for line in lines.iter().filter(|line| line.contains("health pool=")) {
            let who = line.split_once(" backend=").and_then(|(_, rest)| rest.split_once(' '));
            let words = line.split_once(" state=\"").map(|(_, words)| words.trim_end_matches('"'));
            self.push(who.map_or("-", |(who, _)| who), "log", words.unwrap_or(line));
        }
        read + lines.len()
    }

    fn push(&self, who: &str, state: &str, reason: &str) {
        let who = label(&self.labels, who);
        let (state, reason) = (state.to_owned(), reason.to_owned());
        self.entries.lock().push(Entry { at: Instant::now(), who, state, reason });
    }
}

/// The backends of all pools, as this admin listener shows them now.
pub fn shown(admin: SocketAddr) -> Vec<Shown> {
    parse(&Connection::open(admin).request(GET).text()).0
}

/// Waits until no backend has a connection or session, in the eyes of this admin listener.
pub fn until_idle(admin: SocketAddr) {
    wait::until("nothing to be in flight", || {
        shown(admin).iter().all(|backend| backend.in_flight == 0)
    });
}

const GET: &str = "GET /backends HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";

/// Where the proxy's admin listener is.
///
/// # Panics
/// If it has none.
pub fn admin_address(proxy: &Proxy) -> SocketAddr {
    let line = proxy.logged(&["admin at http://"]);
    let rest = line.split_once("admin at http://").map(|(_, rest)| rest);
    let address = rest.and_then(|rest| rest.strip_suffix("/backends"));
    address.and_then(|address| address.parse().ok()).expect("an address")
}

fn label(labels: &[(String, String)], name: &str) -> String {
    let found = labels.iter().find(|(address, _)| address == name);
    found.map_or(name, |(_, label)| label).to_owned()
}

/// Without what changes with the time alone.
fn steady(reason: &str) -> &str {
    reason.split_once("; back in ").map_or(reason, |(reason, _)| reason)
}

/// The backends, and why the pool is in panic. It is JSON with one member a line.
fn parse(json: &str) -> (Vec<Shown>, String) {
    let (mut shown, mut panic) = (Vec::<Shown>::new(), String::new());
    let mut name = String::new();
    for line in json.lines() {
        let Some((member, value)) = line.trim().split_once(": ") else { continue };
        let value = value.trim_end_matches(',').trim_matches('"').replace("\\\"", "\"");
        match (member, shown.last_mut()) {
            ("\"name\"", _) => name = value,
            ("\"panic\"", _) if value != "null" => panic = value,
            ("\"state\"", _) => {
                let (name, reason) = (std::mem::take(&mut name), String::new());
                shown.push(Shown { name, state: value, reason, in_flight: 0 });
            }
            ("\"reason\"", Some(last)) => last.reason = value,
            ("\"in_flight\"", Some(last)) => last.in_flight = value.parse().expect("a number"),
            _ => {}
        }
    }
    (shown, panic)
}
