//! A backend that goes and comes, again and again.

use std::time::Duration;

use proxy_lab::checks::Checks;
use proxy_lab::load::assert_no_errors;
use proxy_lab::wait;

use super::BENCH;

#[test]
fn one_that_flaps_changes_no_more_often_than_rise_and_fall_allow() {
    let demos = BENCH.demos(["one", "two"]);
    let checks = Checks {
        up: Duration::from_millis(60),
        fast: Duration::from_millis(50),
        down: Duration::from_millis(60),
        timeout: Duration::from_millis(50),
        ..Checks::QUICK
    };
    let watched =
        BENCH.watch("its health flaps every 250 ms", &demos, &checks.section("/health", ""));
    let timeline = &watched.timeline;
    let load = watched.load();
    let start = timeline.note("two", "begins to flap");
    for _ in 0..6 {
        demos[1].break_it("health-503?for_ms=250");
        wait::pause(Duration::from_millis(500));
    }
    let time = timeline.note("two", "has flapped") - start;
    let downs =
        timeline.all("two", "log").iter().filter(|entry| entry.reason.starts_with("down")).count();
    let most = time.div_duration_f64(checks.shortest_cycle()).ceil() as usize;
    assert!((1..=most).contains(&downs), "{downs} times down, at most {most} in {time:?}");
    assert_no_errors(&load.end());
}

#[test]
fn one_that_fails_less_than_fall_times_in_a_row_stays_up() {
    let demos = BENCH.demos(["one", "two"]);
    let checks = Checks::QUICK;
    let watched = BENCH.watch("failures shorter than fall", &demos, &checks.section("/health", ""));
    let timeline = &watched.timeline;
    for _ in 0..4 {
        // Less than the time between the first and the last of three failures.
        demos[1].break_it("health-503?for_ms=120");
        wait::pause(Duration::from_millis(500));
    }
    assert!(timeline.all("two", "down").is_empty(), "it never went down");
    let failed = timeline.all("two", "up");
    assert!(failed.iter().any(|entry| entry.reason.contains("answered 503")), "it was noticed");
}

#[test]
fn one_that_fails_again_and_again_is_ejected_for_longer_each_time() {
    let demos = BENCH.demos(["one", "two", "three"]);
    let passive = "[health.passive]\nbase_ejection_time_ms = 200\nejection_time_jitter = 0.0\n";
    let watched = BENCH.watch("fails whenever it is back", &demos, passive);
    let timeline = &watched.timeline;
    let load = watched.load();
    let mut last = timeline.note("two", "begins to fail");
    for times in 1..=4_u64 {
        demos[1].break_it("500");
        // Of more than one request at a time, more than five may fail before it is out.
        let words = format!("ejected for {} ms: ", 200 * times);
        let second = Duration::from_secs(1);
        let ejected = timeline.reaches("two", "log", &words, last, second);
        demos[1].mend();
        let bound = Duration::from_millis(200 * times);
        let back = timeline.reaches("two", "log", "no longer ejected", ejected.at, bound);
        last = back.at;
    }
    drop(load);
}
