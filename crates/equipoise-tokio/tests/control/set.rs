//! The set of backends changes, operators have wishes, and observers hear of it.

use std::time::Duration;

use equipoise_core::{Admin, Admission, Weight};
use equipoise_health::monitor::{MonitorConfig, State};
use equipoise_pool::UpdateError;
use tokio::time::sleep;

use crate::support::{Does, MS, World, backend, id, quick};

fn checked() -> MonitorConfig {
    MonitorConfig { check: Some(quick()), ..MonitorConfig::default() }
}

#[tokio::test(start_paused = true)]
async fn health_and_what_operators_want_survive_every_update() {
    let world = World::running(checked(), 4);
    world.script.set(1, Does::Fail);
    world.until(|w| w.state("0") == State::Down).await;
    world.control.set_admin(id("1"), Admin::Draining).unwrap();
    world.control.set_weight(id("2"), Weight::new(7)).unwrap();
    let kept = |world: &World| {
        assert_eq!(world.standing("0").status.admission, Admission::Never);
        assert_eq!(world.state("0"), State::Down);
        assert_eq!(world.standing("1").report.reason, "draining: the operator wants it");
        assert_eq!(world.standing("1").status.admission, Admission::Established);
        assert_eq!(world.standing("2").status.weight, Weight::new(7));
        assert_eq!(world.standing("2").status.admission, Admission::New);
    };
    kept(&world);
    let all = || (0..4).map(|i| backend(&i.to_string(), i + 1)).collect::<Vec<_>>();
    let weighty = || {
        let mut all = all();
        all.iter_mut().for_each(|backend| backend.weight = Weight::new(3));
        all
    };
    // Other weights, another order, others join, others leave.
    world.control.update(weighty()).unwrap();
    kept(&world);
    assert_eq!(world.standing("3").status.weight, Weight::new(3));
    world.control.update(all().into_iter().rev().collect()).unwrap();
    kept(&world);
    world.control.update(all().into_iter().chain([backend("4", 5)]).collect()).unwrap();
    kept(&world);
    world.control.update(all().into_iter().take(3).collect()).unwrap();
    kept(&world);
    sleep(Duration::from_secs(2)).await;
    kept(&world);
    assert_eq!(
        world.control.set_admin(id("3"), Admin::Enabled),
        Err(UpdateError::UnknownId(id("3")))
    );
    world.control.set_admin(id("1"), Admin::Enabled).unwrap();
    assert_eq!(world.state("1"), State::Up);
}

#[tokio::test(start_paused = true)]
async fn an_update_that_is_refused_changes_nothing() {
    let world = World::running(checked(), 2);
    let before = (world.control.standings(), world.diary.lines());
    let changed = || {
        let mut backends = vec![backend("0", 1), backend("1", 2)];
        backends[0].drain = true;
        backends[1].weight = Weight::new(9);
        backends
    };
    let twice = changed().into_iter().chain([backend("9", 9), backend("9", 9)]).collect();
    assert_eq!(world.control.update(twice), Err(UpdateError::DuplicateId(id("9"))));
    let many = (0..65_536).map(|i| backend(&format!("new {i}"), 9));
    let many = changed().into_iter().chain(many).collect();
    assert_eq!(world.control.update(many), Err(UpdateError::TooMany { limit: 65_536 }));
    assert_eq!((world.control.standings(), world.diary.lines()), before);
    assert_eq!(world.script.asked(9), 0);
}

#[tokio::test(start_paused = true)]
async fn a_probe_of_one_that_left_says_nothing_of_whoever_comes_back() {
    let world = World::running(checked(), 2);
    // Its only failure so far, and no more of it would be left after a pass.
    world.script.set(1, Does::Hang);
    let asked = world.script.asked(1);
    world.until(|w| w.script.asked(1) > asked).await;
    world.control.update(vec![backend("1", 2)]).unwrap();
    world.control.set_admin(id("1"), Admin::Draining).unwrap();
    sleep(10 * MS).await;
    world.script.set(1, Does::Pass);
    world.control.update(vec![backend("0", 1)]).unwrap();
    sleep(100 * MS).await;
    assert_eq!(world.standing("0").report.reason, "up");
    assert_eq!(world.control.standings().len(), 1);
    // What an operator wanted of it went with it.
    world.control.update(vec![backend("0", 1), backend("1", 2)]).unwrap();
    world.until(|w| w.state("1") == State::Up).await;
}

#[tokio::test(start_paused = true)]
async fn whoever_comes_back_is_asked_at_its_new_address() {
    let world = World::running(checked(), 1);
    world.control.update(vec![backend("0", 7)]).unwrap();
    world.until(|w| w.script.asked(7) > 3).await;
}

#[tokio::test(start_paused = true)]
async fn observers_hear_what_happened_in_order_and_in_words() {
    let world = World::running(checked(), 2);
    sleep(Duration::from_secs(1)).await;
    world.script.set(1, Does::Fail);
    world.until(|w| w.state("0") == State::Down).await;
    world.script.set(1, Does::Pass);
    world.until(|w| w.state("0") == State::Up).await;
    world.control.set_admin(id("1"), Admin::Disabled).unwrap();
    world.control.update(vec![backend("0", 1)]).unwrap();
    let wanted = [
        "0 added",
        "1 added",
        "0: down: it says no three times",
        "0 admits Never",
        "close 0 (value of 0)",
        "0: up",
        "0 admits New",
        "1 admits Never",
        "close 1 (value of 1)",
        "1 removed",
        "close 1 (value of 1)",
    ];
    assert_eq!(world.diary.lines(), wanted);
}

/// Each of these would wait for itself, if a lock were held while an observer is called.
#[tokio::test(start_paused = true)]
async fn an_observer_may_call_the_controller_back() {
    let world = World::running(checked(), 3);
    world.diary.0.calls_back.set(world.control.clone()).ok().unwrap();
    world.script.set(1, Does::Fail);
    world.control.set_admin(id("1"), Admin::Disabled).unwrap();
    world.until(|w| w.diary.has("close 0 (value of 0)")).await;
    assert!(world.diary.has("close 1 (value of 1)"));
    world.control.update(vec![backend("2", 3), backend("3", 4)]).unwrap();
    assert!(world.diary.has("3 added"));
}
