//! Backends that die, are full, drain, weigh nothing or are gone, and what becomes of their sessions then.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;

use proxy_lab::backend::Backend;
use proxy_lab::checks::Checks;
use proxy_lab::demo::Demo;
use proxy_lab::process::Proxy;
use proxy_lab::table::ConfigFile;
use proxy_lab::wait;

use super::{Answer, act, ask, cookie, counted, over, proxy, proxy_over, session};
use crate::{PROXY, SCRATCH};

const POLICIES: [&str; 3] = ["repin", "hold", "refuse"];

/// A proxy for each policy over the same two servers, and a session at the first one through each.
struct Lab {
    demos: [Demo; 2],
    proxies: [Proxy; 3],
    sessions: [String; 3],
}

impl Lab {
    /// `sections` are the rest of each configuration.
    fn new(sections: &str) -> Self {
        let demos = ["one", "two"].map(|name| Demo::start(PROXY, SCRATCH, name));
        let addresses = demos.each_ref().map(|demo| demo.address.as_str());
        let proxies = POLICIES.map(|on_lost| {
            proxy(&addresses, &format!("mode = \"cookie\"\non_lost = \"{on_lost}\"\n{sections}"))
        });
        let sessions = proxies.each_ref().map(|proxy| at(proxy, "one"));
        Self { demos, proxies, sessions }
    }

    fn ask(&self) -> [Answer; 3] {
        [0, 1, 2].map(|n| ask(&self.proxies[n], "/", &self.sessions[n]))
    }

    /// What became of them while the first server was away: repin, held and refused, with the reason.
    fn assert_lost(&mut self, attempts: [usize; 3], why: &str) {
        let [repin, hold, refuse] = self.ask();
        assert_eq!((repin.word(), repin.backend().as_str()), ("repin", "two"));
        assert_eq!((hold.word(), hold.backend().as_str()), ("held", "two"));
        assert_eq!((refuse.word(), refuse.0.status), ("refused", 503));
        assert!(refuse.0.text().contains(why), "{}", refuse.0.text());
        assert_eq!((hold.set().len(), refuse.set().len()), (0, 0), "they keep what they have");
        self.sessions[0] = cookie(&repin.kept("srv"));
        for (proxy, (word, attempts)) in
            self.proxies.iter().zip(["repin", "held", "refused"].into_iter().zip(attempts))
        {
            proxy.logged(&[&format!("attempts={attempts} pin={word}")]);
        }
        self.proxies[2].logged(&["503", "pin=refused", &format!("refused=\"{}", why)]);
        // And again: one has moved, and the others have not.
        let [repin, hold, refuse] = self.ask();
        assert_eq!((repin.word(), hold.word(), refuse.word()), ("hit", "held", "refused"));
        assert_eq!(counted(&self.proxies[2], "refused"), 2);
    }

    /// It is back: who was to stay is at home again.
    fn assert_back(&self) {
        let [repin, hold, refuse] = self.ask();
        assert_eq!((repin.word(), repin.backend().as_str()), ("hit", "two"));
        assert_eq!((hold.word(), hold.backend().as_str()), ("hit", "one"));
        assert_eq!((refuse.word(), refuse.backend().as_str()), ("hit", "one"));
    }
}

/// A new session at this backend.
fn at(proxy: &Proxy, name: &str) -> String {
    wait::for_some(&format!("a session at {name}"), || {
        let (line, backend) = session(proxy, "srv");
        (backend == name).then_some(line)
    })
}

/// Who gets sessions that are new.
fn new_sessions(proxy: &Proxy) -> Vec<String> {
    (0..6).map(|_| session(proxy, "srv").1).collect()
}

#[test]
fn a_backend_that_is_killed_loses_its_sessions_as_the_policy_says() {
    // Nothing is found out: each request has to try it.
    let mut lab = Lab::new("[health.passive]\nenabled = false");
    lab.demos[0].kill();
    lab.assert_lost([2, 2, 1], "the backend of its session was tried in vain");
    lab.demos[0].restart();
    lab.assert_back();
}

#[test]
fn a_backend_that_its_check_finds_dead_is_not_even_tried() {
    let mut lab = Lab::new(&Checks::QUICK.section("/live", ""));
    let says = |proxy: &Proxy, backend: &str, word: &str| {
        let line = |line: &String| {
            line.contains("health pool=a")
                && line.contains(backend)
                && line.contains(&format!("state=\"{word}"))
        };
        proxy.output().iter().filter(|text| line(text)).count()
    };
    let address = lab.demos[0].address.clone();
    let before: Vec<_> = lab.proxies.iter().map(|proxy| says(proxy, &address, "up")).collect();
    lab.demos[0].kill();
    for proxy in &lab.proxies {
        wait::until("it to be down", || says(proxy, &address, "down") > 0);
    }
    lab.assert_lost([1, 1, 0], "the backend of its session is out of service");
    lab.demos[0].restart();
    for (proxy, before) in lab.proxies.iter().zip(before) {
        wait::until("it to be up", || says(proxy, &address, "up") > before);
    }
    lab.assert_back();
}

#[test]
fn a_session_that_is_held_stays_at_home_when_its_cookie_is_renewed() {
    let backends = ["one", "two"].map(Backend::named);
    let proxy = over(&backends, "mode = \"cookie\"\non_lost = \"hold\"\nidle_ms = 4000");
    let line = at(&proxy, "one");
    act(&proxy, &backends[0].address, "disable");
    let renewed = wait::for_some("a renewed cookie", || {
        let answer = ask(&proxy, "/", &line);
        assert_eq!((answer.word(), answer.backend().as_str()), ("held", "two"));
        (!answer.set().is_empty()).then_some(answer)
    });
    act(&proxy, &backends[0].address, "enable");
    let back = ask(&proxy, "/", &cookie(&renewed.kept("srv")));
    assert_eq!((back.word(), back.backend().as_str()), ("hit", "one"));
}

#[test]
fn a_full_backend_is_left_for_once() {
    for (on_lost, word, status) in
        [("repin", "held", 200), ("hold", "held", 200), ("refuse", "refused", 503)]
    {
        let is_over = Arc::<AtomicBool>::default();
        let waits = Arc::clone(&is_over);
        let home = Backend::new(move |connection| {
            while let Some(request) = connection.request() {
                if request.line.contains("/wait") {
                    wait::until("the end of the wait", || waits.load(SeqCst));
                }
                connection.reply(200, "one");
            }
        });
        let backends = format!(
            "backends = [\"{},max=1\", \"{}\"]",
            home.address,
            Backend::named("two").address
        );
        let proxy = proxy_over(&backends, &format!("mode = \"cookie\"\non_lost = \"{on_lost}\""));
        let line = at(&proxy, "one");
        thread::scope(|scope| {
            let long = scope.spawn(|| ask(&proxy, "/wait", &line));
            wait::until("a request at home", || {
                home.requests().iter().any(|request| request.line.contains("/wait"))
            });
            let visit = ask(&proxy, "/", &line);
            assert_eq!((visit.word(), visit.0.status), (word, status), "{on_lost}");
            assert!(visit.set().is_empty());
            if status == 503 {
                assert!(visit.0.text().contains("is full"), "{}", visit.0.text());
            }
            is_over.store(true, SeqCst);
            assert_eq!(long.join().expect("an answer").word(), "hit");
        });
        wait::until("its place to be free", || ask(&proxy, "/", &line).word() == "hit");
        assert_eq!(ask(&proxy, "/", &line).backend(), "one");
    }
}

#[test]
fn a_backend_that_drains_or_weighs_nothing_keeps_its_sessions_and_gets_no_new_ones() {
    let backends = ["one", "two"].map(Backend::named);
    let proxy = over(&backends, "mode = \"cookie\"");
    let line = at(&proxy, "one");
    for (action, back) in [("drain", "enable"), ("weight?value=0", "weight?value=1")] {
        act(&proxy, &backends[0].address, action);
        for _ in 0..4 {
            let answer = ask(&proxy, "/", &line);
            assert_eq!((answer.word(), answer.backend().as_str()), ("hit", "one"), "{action}");
        }
        assert_eq!(new_sessions(&proxy), ["two"; 6], "{action}");
        act(&proxy, &backends[0].address, back);
        assert!(new_sessions(&proxy).contains(&"one".to_owned()), "{back}");
    }
}

#[test]
fn a_drain_ends_with_its_limit() {
    let backends = ["one", "two"].map(Backend::named);
    let limited = |on_lost: &str| {
        let more = "[health]\ndrain_limit_ms = 1000";
        over(&backends, &format!("mode = \"cookie\"\non_lost = \"{on_lost}\"\n{more}"))
    };
    for (on_lost, word) in [("repin", "repin"), ("refuse", "refused")] {
        let proxy = limited(on_lost);
        let line = at(&proxy, "one");
        act(&proxy, &backends[0].address, "drain");
        assert_eq!(ask(&proxy, "/", &line).word(), "hit", "it drains");
        let end = wait::for_some("the end of the drain", || {
            let answer = ask(&proxy, "/", &line);
            (answer.word() != "hit").then_some(answer)
        });
        assert_eq!(end.word(), word);
    }
}

#[test]
fn a_backend_that_is_removed_is_gone_for_its_sessions() {
    for (on_lost, word) in [("repin", "repin"), ("hold", "repin"), ("refuse", "refused")] {
        let backends = ["one", "two"].map(Backend::named);
        let list = List::new(&backends);
        let proxy = list.proxy(&format!("mode = \"cookie\"\non_lost = \"{on_lost}\""));
        let line = at(&proxy, "one");
        list.says(&backends[1..]);
        let end = wait::for_some("an update", || {
            let answer = ask(&proxy, "/", &line);
            (answer.word() != "hit").then_some(answer)
        });
        assert_eq!(end.word(), word, "{on_lost}");
        if word == "refused" {
            assert_eq!(end.0.status, 503);
            assert!(
                end.0.text().contains("the backend of its session is gone"),
                "{}",
                end.0.text()
            );
        } else {
            assert_eq!(ask(&proxy, "/", &cookie(&end.kept("srv"))).word(), "hit");
        }
    }
}

/// A file that lists backends.
pub(super) struct List(ConfigFile);

impl List {
    pub(super) fn new(backends: &[Backend]) -> Self {
        Self(ConfigFile::new(SCRATCH, "list", &lines(backends)))
    }

    /// A proxy over what it lists.
    pub(super) fn proxy(&self, sticky: &str) -> Proxy {
        let pool = format!("discover = {{ file = \"{}\", interval_ms = 50 }}", self.0.path());
        proxy_over(&pool, sticky)
    }

    pub(super) fn says(&self, backends: &[Backend]) {
        let next = PathBuf::from(self.0.path()).with_extension("next");
        fs::write(&next, lines(backends)).expect("a file");
        fs::rename(&next, self.0.path()).expect("it is moved");
    }
}

fn lines(backends: &[Backend]) -> String {
    backends.iter().map(|backend| format!("{}\n", backend.address)).collect()
}
