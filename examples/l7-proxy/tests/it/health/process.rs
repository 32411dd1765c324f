//! A process dies, or hangs.

use std::time::Duration;

use proxy_lab::checks::{Checks, SLACK};
use proxy_lab::load::{assert_no_errors, slowest};

use super::BENCH;

#[test]
fn one_of_three_is_killed_under_load_and_no_client_notices() {
    let mut demos = BENCH.demos(["one", "two", "three"]);
    let checks = Checks::QUICK;
    let watched =
        BENCH.watch("kill -9 of one of three, under load", &demos, &checks.section("/live", ""));
    let timeline = &watched.timeline;
    let load = watched.load();

    let killed = timeline.note("two", "kill -9");
    demos[1].kill();
    timeline.reaches("two", "down", "connection refused", killed, checks.detection());
    load.more(60);

    let start = timeline.note("two", "start");
    demos[1].restart();
    let took = timeline.note("two", "listens") - start;
    let up = timeline.reaches("two", "up", "", start, took + checks.recovery());
    let first = load.answered_by("two", up.at);
    timeline.note("two", &format!("its first answer {first:.0?} after"));
    assert!(first <= SLACK, "{first:?}");
    load.more(60);
    assert_no_errors(&load.end());
}

#[test]
fn one_of_three_hangs_and_what_waits_for_it_is_answered_by_the_others() {
    let demos = BENCH.demos(["one", "two", "three"]);
    let checks = Checks::QUICK;
    let watched =
        BENCH.watch("SIGSTOP of one of three, under load", &demos, &checks.section("/live", ""));
    let timeline = &watched.timeline;
    let load = watched.load();

    let stopped = timeline.note("two", "SIGSTOP");
    demos[1].signal("STOP");
    timeline.reaches("two", "down", "no answer in time three times", stopped, checks.detection());
    load.more(60);

    let continued = timeline.note("two", "SIGCONT");
    demos[1].signal("CONT");
    let up = timeline.reaches("two", "up", "", continued, checks.recovery());
    assert!(load.answered_by("two", up.at) <= SLACK);
    let samples = load.end();
    assert_no_errors(&samples);
    // The proxy itself would have waited for a minute.
    let slowest = slowest(&samples);
    assert!(slowest <= checks.detection() + SLACK, "{slowest:?}");
    // It did hang.
    assert!(slowest >= Duration::from_millis(100), "{slowest:?}");
}

/// Failing everywhere for a moment is no reason to give failover up for the time after it.
#[test]
fn one_that_is_killed_after_all_have_failed_for_a_while_fails_no_client() {
    let mut demos = BENCH.demos(["one", "two", "three"]);
    let watched = BENCH.watch("a spell of 500s, and then a kill", &demos, "");
    demos.iter().for_each(|demo| demo.break_it("500"));
    let load = watched.load();
    load.more(100);
    let failed = load.end();
    assert!(failed.iter().filter(|sample| sample.status == 500).count() >= 100);
    demos.iter().for_each(proxy_lab::demo::Demo::mend);

    watched.timeline.note("two", "kill -9");
    demos[1].kill();
    let load = watched.load();
    load.more(200);
    assert_no_errors(&load.end());
}
