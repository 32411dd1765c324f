//! What an operator does over the admin listener.

use std::thread;

use proxy_lab::checks::{Checks, SLACK};
use proxy_lab::client::get;
use proxy_lab::demo::Demo;
use proxy_lab::load::assert_no_errors;
use proxy_lab::wait;

use super::BENCH;

#[test]
fn a_backend_that_drains_finishes_what_it_has_and_gets_nothing_new() {
    let demos = BENCH.demos(["one", "two"]);
    let checks = Checks::QUICK;
    let watched = BENCH.watch("drain, enable", &demos, &checks.section("/live", ""));
    let timeline = &watched.timeline;
    for demo in &demos {
        demo.break_it("slow?ms=400");
    }
    let address = watched.proxy.address();
    let clients = [(); 2].map(|()| thread::spawn(move || get(address, "/")));
    wait::until("a request at two", || timeline.of("two").in_flight == 1);
    assert_eq!(timeline.act("two", "drain").status, 200);
    let shown = timeline.of("two");
    assert_eq!((shown.state.as_str(), shown.in_flight), ("draining", 1), "{shown:?}");
    let replies = clients.map(|client| client.join().expect("an answer"));
    assert!(replies.iter().all(|reply| reply.status == 200));
    assert!(replies.iter().any(|reply| reply.text().starts_with("two:")), "it was finished");

    demos.iter().for_each(Demo::mend);
    let served = demos[1].served();
    let load = watched.load();
    load.more(40);
    assert_eq!(demos[1].served(), served, "nothing new");
    let enabled = timeline.note("two", "to be enabled");
    assert_eq!(timeline.act("two", "enable").status, 200);
    assert!(load.answered_by("two", enabled) <= SLACK);
    assert_no_errors(&load.end());
}

#[test]
fn one_that_is_disabled_gets_nothing_and_its_weight_is_its_share() {
    let demos = BENCH.demos(["one", "two"]);
    let watched = BENCH.watch("disable, enable, weight", &demos, "");
    let timeline = &watched.timeline;
    let load = watched.load();
    assert_eq!(timeline.act("two", "disable").status, 200);
    assert_eq!(timeline.of("two").reason, "disabled by the operator");
    wait::until("two to be idle", || timeline.of("two").in_flight == 0);
    let served = demos[1].served();
    load.more(40);
    assert_eq!(demos[1].served(), served);
    assert_eq!(timeline.act("two", "enable").status, 200);
    assert_eq!(timeline.act("two", "weight?value=3").status, 200);
    load.more(20);
    let since = timeline.note("-", "counts");
    load.more(200);
    let samples = load.end();
    assert_no_errors(&samples);
    let counted: Vec<_> = samples.iter().filter(|sample| sample.at >= since).collect();
    let of_two = counted.iter().filter(|sample| sample.is_of("two")).count();
    // Round robin is exact; the ends of the count are not.
    let wanted = counted.len() * 3 / 4;
    assert!(of_two.abs_diff(wanted) <= 8, "{of_two} of {}", counted.len());

    assert_eq!(timeline.act("127.0.0.1:1", "drain").status, 404);
    assert_eq!(timeline.act("two", "weight?value=-1").status, 400);
}
