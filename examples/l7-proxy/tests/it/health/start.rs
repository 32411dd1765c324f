//! What a backend is before its first check.

use std::fs;
use std::path::PathBuf;

use proxy_lab::checks::Checks;
use proxy_lab::load::assert_no_errors;
use proxy_lab::table::ConfigFile;

use super::{BENCH, SCRATCH};

#[test]
fn one_that_is_down_at_the_start_gets_nothing_until_its_checks_pass() {
    let demos = BENCH.demos(["one", "two"]);
    let checks = Checks::QUICK;
    demos[1].break_it("health-503");
    let watched = BENCH.watch("down at the start", &demos, &checks.section("/health", ""));
    let timeline = &watched.timeline;
    let load = watched.load();
    load.more(40);
    assert_eq!(demos[1].served(), 0);
    assert_eq!(timeline.of("two").state, "down");
    let mended = timeline.note("two", "POST /mend");
    demos[1].mend();
    let up = timeline.reaches("two", "up", "", mended, checks.recovery());
    load.answered_by("two", up.at);
    let samples = load.end();
    assert_no_errors(&samples);
    assert!(!samples.iter().any(|sample| sample.is_of("two") && sample.at + sample.took < mended));
}

#[test]
fn one_that_joins_gets_nothing_before_its_first_check_has_passed() {
    let demos = BENCH.demos(["one", "two"]);
    let checks = Checks::QUICK;
    let list = ConfigFile::new(SCRATCH, "list", &format!("{}\n", demos[0].address));
    let labels = demos.iter().map(|demo| (demo.address.clone(), demo.name.to_owned())).collect();
    let pool = format!("discover = {{ file = \"{}\", interval_ms = 20 }}\n", list.path());
    let title = "joins, and its first check takes its time";
    let watched = BENCH.watch_pool(title, labels, &pool, &checks.section("/health", ""));
    let timeline = &watched.timeline;
    let load = watched.load();
    demos[1].break_it("health-hang");
    let joined = timeline.note("two", "joins");
    let next = PathBuf::from(list.path()).with_extension("next");
    fs::write(&next, format!("{}\n{}\n", demos[0].address, demos[1].address)).expect("a file");
    fs::rename(&next, list.path()).expect("it is moved");
    timeline.reaches("two", "pending", "not checked yet", joined, 8 * checks.timeout);
    timeline.reaches("two", "down", "no answer", joined, 8 * checks.timeout + checks.detection());
    load.more(40);
    assert_eq!(demos[1].served(), 0);
    let mended = timeline.note("two", "POST /mend");
    demos[1].mend();
    let up = timeline.reaches("two", "up", "", mended, checks.recovery());
    load.answered_by("two", up.at);
    assert_no_errors(&load.end());
    assert!(timeline.find("two", "up", "", joined).is_some_and(|first| first.at >= mended));
}
