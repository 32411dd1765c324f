//! Backends come and go, by name and by file.

use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use proxy_lab::checks::Checks;
use proxy_lab::demo::{Demo, own_ip};
use proxy_lab::dns::NameServer;
use proxy_lab::health::Watched;
use proxy_lab::load::assert_no_errors;
use proxy_lab::table::ConfigFile;
use proxy_lab::wait;

use super::{BENCH, SCRATCH};

const NAMES: [&str; 3] = ["one", "two", "three"];
/// How soon an update must show: a name server, or a file, is asked ten times in it.
const SOON: Duration = Duration::from_secs(1);

/// What is asked of both kinds: one is added, one that is down stays so, one is removed, and an update to
/// nobody is not believed.
fn follows(watched: &Watched, demos: &[Demo; 3], says: impl Fn(&[&Demo])) {
    let checks = Checks::QUICK;
    let timeline = &watched.timeline;
    let [one, two, three] = demos;
    let load = watched.load();

    let broken = timeline.note("two", "POST /break/health-503");
    two.break_it("health-503");
    timeline.reaches("two", "down", "answered 503", broken, checks.detection());

    let added = timeline.note("three", "is added");
    says(&[one, two, three]);
    let up = timeline.reaches("three", "up", "", added, SOON + checks.timeout);
    load.answered_by("three", up.at);
    for forgotten in ["up", "pending"] {
        let entry = timeline.find("two", forgotten, "", added);
        assert!(entry.is_none(), "the health of two is kept: {entry:?}");
    }

    let emptied = timeline.note("-", "an update to nobody");
    says(&[]);
    wait::until("a complaint", || {
        watched.proxy.errors().iter().any(|line| line.contains("an update to 0 backends"))
    });
    load.more(40);
    assert_eq!(timeline.now().len(), 3, "the last set is kept");
    assert!(NAMES.iter().all(|name| timeline.find(name, "gone", "", emptied).is_none()));

    let removed = timeline.note("one", "is removed");
    says(&[two, three]);
    let gone = timeline.reaches("one", "gone", "", removed, SOON);
    let mended = timeline.note("two", "POST /mend");
    two.mend();
    let up = timeline.reaches("two", "up", "", mended, checks.recovery());
    load.answered_by("two", up.at);
    let samples = load.end();
    assert_no_errors(&samples);
    let late = samples.iter().filter(|sample| sample.at >= gone.at && sample.is_of("one"));
    assert_eq!(late.count(), 0, "one gets nothing when it is gone");
}

fn labels(demos: &[Demo; 3]) -> Vec<(String, String)> {
    demos.iter().map(|demo| (demo.address.clone(), demo.name.to_owned())).collect()
}

#[test]
fn a_name_server_adds_and_removes_backends_and_an_empty_answer_is_not_believed() {
    // A name has addresses and the pool a port, so all of them have the same.
    let mut demos = NAMES.map(|name| BENCH.prepared(name));
    let (_, port) = demos[0].address.rsplit_once(':').expect("a port");
    let port = port.to_owned();
    for demo in &mut demos {
        demo.address = format!("{}:{port}", own_ip());
        demo.restart();
    }
    let ip = |demo: &&Demo| -> Ipv4Addr {
        demo.address.rsplit_once(':').and_then(|(ip, _)| ip.parse().ok()).expect("an address")
    };
    let server = NameServer::start(&[ip(&&demos[0]), ip(&&demos[1])]);
    let pool = format!(
        "discover = {{ dns = \"app.lab:{port}\", servers = [\"{}\"], family = \"v4\", \
         min_ttl_ms = 100, max_ttl_ms = 100 }}\n",
        server.address
    );
    let sections = Checks::QUICK.section("/health", "");
    let watched = BENCH.watch_pool("a change of DNS", labels(&demos), &pool, &sections);
    follows(&watched, &demos, |demos| {
        server.says(&demos.iter().map(ip).collect::<Vec<_>>());
    });
}

#[test]
fn a_file_adds_and_removes_backends_and_an_empty_one_is_not_believed() {
    let demos = BENCH.demos(NAMES);
    let text = |demos: &[&Demo]| -> String {
        demos.iter().map(|demo| format!("{}\n", demo.address)).collect()
    };
    let list = ConfigFile::new(SCRATCH, "list", &text(&[&demos[0], &demos[1]]));
    let pool = format!("discover = {{ file = \"{}\", interval_ms = 50 }}\n", list.path());
    let sections = Checks::QUICK.section("/health", "");
    let watched = BENCH.watch_pool("a change of a file", labels(&demos), &pool, &sections);
    follows(&watched, &demos, |demos| {
        let next = PathBuf::from(list.path()).with_extension("next");
        fs::write(&next, text(demos)).expect("a file");
        fs::rename(&next, list.path()).expect("it is moved");
    });
}
