//! None is left: what each mode of panic does then, and how all come back.

use std::time::Duration;

use proxy_lab::checks::Checks;
use proxy_lab::demo::Demo;
use proxy_lab::health::Watched;
use proxy_lab::load::{Sample, statuses};

use super::BENCH;

const NAMES: [&str; 3] = ["one", "two", "three"];

/// The check of one fails, then those of the others, though all would answer; then all are mended. What the
/// clients got meanwhile.
fn without_health(mode: &str) -> (Watched, Vec<Sample>) {
    let demos = BENCH.demos(NAMES);
    let checks = Checks::QUICK;
    // Two of three healthy are no reason; one is.
    let panic = format!("[health.panic]\nmode = \"{mode}\"\nthreshold = 60\n");
    let sections = checks.section("/health", "") + &panic;
    let watched = BENCH.watch(&format!("all checks fail: {mode}"), &demos, &sections);
    let timeline = &watched.timeline;
    let fail = |demo: &Demo| {
        let broken = timeline.note(demo.name, "POST /break/health-503");
        demo.break_it("health-503");
        broken
    };
    let first = fail(&demos[0]);
    timeline.reaches("one", "down", "GET /health answered 503", first, checks.detection());
    let then = fail(&demos[1]);
    fail(&demos[2]);
    for name in ["two", "three"] {
        timeline.reaches(name, "down", "GET /health answered 503", then, checks.detection());
    }
    let words = format!("panic ({}): ", mode.replace('_', " "));
    timeline.reaches("-", "log", &words, then, checks.detection());

    let load = watched.load();
    load.more(60);
    let samples = load.end();
    let mended = timeline.note("-", "POST /mend, all");
    for demo in &demos {
        demo.mend();
    }
    for name in NAMES {
        timeline.reaches(name, "up", "", mended, checks.recovery());
    }
    // And now all of them serve, whatever the mode.
    let load = watched.load();
    for name in NAMES {
        load.answered_by(name, mended);
    }
    drop(load);
    (watched, samples)
}

#[test]
fn fail_open_asks_all_of_them() {
    let (_watched, samples) = without_health("fail_open");
    assert_eq!(statuses(&samples).keys().collect::<Vec<_>>(), [&200]);
    for name in NAMES {
        assert!(samples.iter().any(|sample| sample.is_of(name)), "{name} is asked");
    }
}

#[test]
fn fail_closed_asks_none_and_says_so_at_once() {
    let (_watched, samples) = without_health("fail_closed");
    assert_eq!(statuses(&samples).keys().collect::<Vec<_>>(), [&503], "{:?}", samples[0].text);
}

#[test]
fn last_good_asks_those_that_were_well_before() {
    let (_watched, samples) = without_health("last_good");
    assert_eq!(statuses(&samples).keys().collect::<Vec<_>>(), [&200]);
    assert!(samples.iter().all(|sample| !sample.is_of("one")), "one was not well before");
    for name in ["two", "three"] {
        assert!(samples.iter().any(|sample| sample.is_of(name)), "{name} was");
    }
}

#[test]
fn all_are_killed_and_all_serve_again() {
    let mut demos = BENCH.demos(NAMES);
    let checks = Checks::QUICK;
    let watched = BENCH.watch("kill -9 of all three", &demos, &checks.section("/live", ""));
    let timeline = &watched.timeline;
    let load = watched.load();
    let killed = timeline.note("-", "kill -9, all");
    demos.iter_mut().for_each(Demo::kill);
    for name in NAMES {
        timeline.reaches(name, "down", "connection refused", killed, checks.detection());
    }
    timeline.reaches("-", "log", "panic (fail open): 0 of 3", killed, checks.detection());
    // Nobody waits: it is a refusal, or the word that there are too many.
    load.more(20);
    let samples = load.end();
    let failed: Vec<_> = samples.iter().filter(|sample| sample.status != 200).collect();
    assert!(failed.iter().all(|sample| sample.status == 502), "{failed:?}");
    assert!(failed.iter().all(|sample| sample.took < Duration::from_secs(1)), "{failed:?}");

    let start = timeline.note("-", "start, all");
    demos.iter_mut().for_each(Demo::restart);
    let took = timeline.note("-", "all listen") - start;
    let load = watched.load();
    for name in NAMES {
        let up = timeline.reaches(name, "up", "", start, took + checks.recovery());
        load.answered_by(name, up.at);
    }
    timeline.reaches("-", "log", "panic is over", start, took + checks.recovery());
}
