//! The process lives, and the application fails: what traffic alone tells.

use std::time::Duration;

use proxy_lab::checks::{Checks, SLACK};
use proxy_lab::health::CLIENTS;
use proxy_lab::load::{assert_no_errors, statuses};
use proxy_lab::timeline::Entry;
use proxy_lab::wait;

use super::BENCH;

const NAMES: [&str; 3] = ["one", "two", "three"];
/// How long the first ejection lasts.
const EJECTION: Duration = Duration::from_millis(600);
const PASSIVE: &str = "[health.passive]\nbase_ejection_time_ms = 600\nejection_time_jitter = 0.0\n";
/// How many failures eject, unless it is set.
const FAILURES: usize = 5;

/// Five failures in a row eject, and those that were under way with the fifth may have come in before
/// that was written down.
fn assert_ejected_at_once(ejected: &Entry, time: &str, what: &str) {
    let words = ejected.reason.strip_prefix(&format!("ejected for {time}: "));
    let count = words.and_then(|words| words.strip_suffix(what)?.parse().ok());
    assert!(count.is_some_and(|n| (FAILURES..FAILURES + CLIENTS).contains(&n)), "{ejected:?}");
}

#[test]
fn one_that_resets_is_ejected_and_comes_back_and_no_client_notices() {
    let demos = BENCH.demos(NAMES);
    let watched = BENCH.watch("resets instead of answers", &demos, PASSIVE);
    let timeline = &watched.timeline;
    let load = watched.load();

    let broken = timeline.note("two", "POST /break/reset");
    demos[1].break_it("reset");
    let reason = " consecutive failures, no answer";
    let ejected = timeline.reaches("two", "ejected", reason, broken, Duration::from_secs(1));
    assert_ejected_at_once(&ejected, "600 ms", reason);
    // Of its trial it does not make a client's failure either.
    timeline.reaches("two", "log", "ejected for 1 s", ejected.at, EJECTION);
    timeline.note("two", "POST /mend");
    demos[1].mend();
    let cleared = timeline.reaches("two", "log", "no longer ejected", ejected.at, 3 * EJECTION);
    assert!(load.answered_by("two", cleared.at) <= SLACK);
    assert_no_errors(&load.end());
}

#[test]
fn one_that_is_slow_is_ejected_by_its_latency() {
    let demos = BENCH.demos(NAMES);
    let settings = "latency_factor = 3.0\nlatency_min_hosts = 3\nlatency_min_volume = 5\n\
                    interval_ms = 400\n";
    let watched = BENCH.watch("slow replies", &demos, &format!("{PASSIVE}{settings}"));
    let interval = Duration::from_millis(400);
    let timeline = &watched.timeline;
    let load = watched.load();

    let broken = timeline.note("two", "POST /break/slow?ms=80");
    demos[1].break_it("slow?ms=80");
    // At the end of the first interval that has enough of it: at worst that of the next one.
    timeline.reaches("two", "ejected", "mean latency ", broken, 2 * interval);
    let mended = timeline.note("two", "POST /mend");
    demos[1].mend();
    let cleared = timeline.reaches("two", "log", "no longer ejected", mended, 2 * EJECTION);
    assert!(load.answered_by("two", cleared.at) <= SLACK);
    assert_no_errors(&load.end());
    for good in ["one", "three"] {
        assert!(timeline.all(good, "ejected").is_empty(), "{good} is not slow");
    }
}

#[test]
fn one_that_answers_500_is_ejected_and_gets_one_request_at_a_time_on_trial() {
    let demos = BENCH.demos(NAMES);
    let watched = BENCH.watch("500s, a trial, and back", &demos, PASSIVE);
    let timeline = &watched.timeline;
    let load = watched.load();

    let broken = timeline.note("two", "POST /break/500");
    demos[1].break_it("500");
    let reason = " consecutive 500";
    let ejected = timeline.reaches("two", "ejected", reason, broken, Duration::from_secs(1));
    assert_ejected_at_once(&ejected, "600 ms", reason);
    timeline.note("two", "POST /break/slow?ms=300");
    demos[1].break_it("slow?ms=300");
    let served = demos[1].served();

    let trial = timeline.reaches("two", "trial", "one request at a time", ejected.at, EJECTION);
    assert!(trial.at - ejected.at + SLACK >= EJECTION, "not before its time");
    wait::until("the trial to have its request", || timeline.of("two").in_flight == 1);
    let mut looks = 0;
    wait::until("the trial to be over", || {
        let got = demos[1].served() - served;
        let shown = timeline.of("two");
        if shown.state == "trial" {
            looks += 1;
            assert!(shown.in_flight <= 1 && got <= 1, "{} in flight, {got} got", shown.in_flight);
        }
        shown.state == "up"
    });
    assert!(looks > 3, "{looks}: the trial was seen");
    demos[1].mend();
    let up = timeline.note("two", "POST /mend");
    assert!(load.answered_by("two", up) <= SLACK);

    let statuses = statuses(&load.end());
    let failed = statuses.get(&500).copied().unwrap_or(0);
    assert!((FAILURES..FAILURES + CLIENTS).contains(&failed), "{statuses:?}");
    assert_eq!(statuses.len(), 2, "nothing but 200 and 500: {statuses:?}");
}

#[test]
fn one_that_goes_on_failing_costs_one_request_a_trial_and_stays_away_for_longer() {
    let demos = BENCH.demos(NAMES);
    let passive = "[health.passive]\nbase_ejection_time_ms = 300\nejection_time_jitter = 0.0\n";
    let watched = BENCH.watch("502s that go on", &demos, passive);
    let timeline = &watched.timeline;
    let load = watched.load();

    let broken = timeline.note("two", "POST /break/502");
    demos[1].break_it("502");
    let mut last = broken;
    for (times, time) in [(1, "300 ms"), (2, "600 ms"), (3, "900 ms")] {
        let words = format!("ejected for {time}: ");
        let bound = Duration::from_millis(300 * (times - 1)) + Duration::from_millis(500);
        let ejected = timeline.reaches("two", "log", &words, last, bound);
        assert_ejected_at_once(&ejected, time, " consecutive 502");
        last = ejected.at;
    }
    let statuses = statuses(&load.end());
    let failed = statuses.get(&502).copied().unwrap_or(0);
    // Two trials have failed.
    assert!((FAILURES + 2..FAILURES + 2 + CLIENTS).contains(&failed), "{statuses:?}");
    assert_eq!(statuses.len(), 2, "nothing but 200 and 502: {statuses:?}");
}

#[test]
fn a_check_that_asks_for_less_than_clients_do_does_not_undo_each_ejection() {
    let demos = BENCH.demos(NAMES);
    let checks = Checks::QUICK;
    let title = "500s, and /live passes";
    let watched = BENCH.watch(title, &demos, &checks.section("/live", ""));
    let timeline = &watched.timeline;
    let load = watched.load();
    let broken = timeline.note("two", "POST /break/500");
    demos[1].break_it("500");
    wait::pause(Duration::from_secs(1));
    let time = timeline.note("two", "has failed") - broken;
    // Each regular check lets it in at most once, for so many failures as eject it again.
    let shortest = checks.up.mul_f64(1.0 - Checks::JITTER);
    let times = time.div_duration_f64(shortest).ceil() as usize + 1;
    let ejections = timeline.all("two", "log");
    let ejections = ejections.iter().filter(|entry| entry.reason.starts_with("ejected")).count();
    assert!((1..=times).contains(&ejections), "{ejections} ejections, at most {times}");
    let statuses = statuses(&load.end());
    let failed = statuses.get(&500).copied().unwrap_or(0);
    assert!(failed <= times * (FAILURES + CLIENTS), "{statuses:?}");
}
