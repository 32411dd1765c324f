//! What goes wrong most, by name. "A server dies" is in `process`.

use proxy_lab::checks::Checks;
use proxy_lab::load::assert_no_errors;
use proxy_lab::wait;

use super::BENCH;

const NAMES: [&str; 3] = ["one", "two", "three"];

#[test]
fn a_wrong_endpoint_is_called_one_and_clients_are_served_all_the_same() {
    let demos = BENCH.demos(NAMES);
    let checks = Checks::QUICK;
    let reason = "GET /healthz answered 404 three times; is the path right?";
    {
        let title = "health check fails: wrong endpoint";
        let watched = BENCH.watch(title, &demos, &checks.section("/healthz", ""));
        let timeline = &watched.timeline;
        let start = timeline.note("-", "starts with path = \"/healthz\"");
        let load = watched.load();
        for name in NAMES {
            // The first check decides; it is said again at the third.
            timeline.reaches(name, "down", reason, start, 3 * (checks.down + checks.timeout));
        }
        watched.proxy.logged(&["panic (fail open): 0 of "]);
        assert!(timeline.of("one").reason.ends_with("panic (fail open)"), "said of each backend");
        assert_no_errors(&load.end());
    }
    let title = "the same, its path mended";
    let watched = BENCH.watch(title, &demos, &checks.section("/health", ""));
    for name in NAMES {
        watched.timeline.until(name, "up");
    }
    let load = watched.load();
    assert_no_errors(&load.end());
    assert!(!watched.proxy.output().iter().any(|line| line.contains("panic")));
}

#[test]
fn a_database_that_is_down_is_seen_through_the_application() {
    let demos = BENCH.demos(NAMES);
    let checks = Checks::QUICK;
    // The status would do; that it says so in words as well is what many applications do alone.
    let json = "json = '$.db == \"ok\"'\nexpect = \"200,503\"";
    let watched = BENCH.watch("database down", &demos, &checks.section("/health", json));
    let timeline = &watched.timeline;
    let load = watched.load();

    let broken = timeline.note("two", "POST /break/db");
    demos[1].break_it("db");
    timeline.reaches("two", "down", "body field $.db is", broken, checks.detection());
    let since = timeline.note("two", "gets nothing");
    load.more(40);
    let mended = timeline.note("two", "POST /mend");
    demos[1].mend();
    let up = timeline.reaches("two", "up", "", mended, checks.recovery());
    load.answered_by("two", up.at);

    let samples = load.end();
    let between = samples.iter().filter(|sample| sample.at >= since && sample.at < mended);
    assert!(between.clone().count() > 20 && !between.clone().any(|sample| sample.is_of("two")));
    assert!(between.clone().all(|sample| sample.status == 200));
    // Until it was found out, it answered with 500, and nobody repeats those.
    let failed: Vec<_> = samples.iter().filter(|sample| sample.status != 200).collect();
    assert!(failed.iter().all(|sample| sample.status == 500 && sample.at < since), "{failed:?}");
}

#[test]
fn one_of_the_application_s_servers_drains_when_it_says_so_itself() {
    let demos = BENCH.demos(["one", "two"]);
    let checks = Checks::QUICK;
    let drain = "drain = \"503\"";
    let watched = BENCH.watch("/ready says 503", &demos, &checks.section("/ready", drain));
    let timeline = &watched.timeline;
    let load = watched.load();
    let drained = timeline.note("two", "POST /drain");
    demos[1].drain();
    // One answer is enough for it.
    let bound = checks.up.mul_f64(1.0 + Checks::JITTER) + checks.timeout;
    timeline.reaches("two", "draining", "its check says so", drained, bound);
    // What was under way may still come.
    wait::until("two to be idle", || timeline.of("two").in_flight == 0);
    let served = demos[1].served();
    load.more(40);
    assert_eq!(demos[1].served(), served);
    let mended = timeline.note("two", "POST /mend");
    demos[1].mend();
    timeline.reaches("two", "up", "", mended, bound);
    assert_no_errors(&load.end());
}
