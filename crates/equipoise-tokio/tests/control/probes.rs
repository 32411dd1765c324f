//! What probes come to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use equipoise_algorithms::RoundRobin;
use equipoise_core::{Admission, BackendId, Policy, Tracker, View};
use equipoise_health::monitor::{MonitorConfig, State};
use equipoise_health::{CheckConfig, InitialHealth};
use equipoise_tokio::control::{ControlSettings, Controller, Managed, Silent};
use equipoise_tokio::probe::Target;
use tokio::net::TcpListener;
use tokio::time::sleep;

use crate::support::{Does, MS, RuntimeClock, World, backend, quick};

fn checked(check: CheckConfig) -> MonitorConfig {
    MonitorConfig { check: Some(check), ..MonitorConfig::default() }
}

/// The timer's steps, and the one of the test itself.
const STEPS: Duration = Duration::from_millis(10);

#[tokio::test(start_paused = true)]
async fn a_backend_that_dies_is_down_in_time_and_back_in_time() {
    for (dead, pause) in [(Does::Hang, 0), (Does::Fail, 13), (Does::Hang, 57), (Does::Fail, 91)] {
        let world = World::running(checked(quick()), 3);
        sleep(Duration::from_secs(1) + pause * MS).await;
        world.script.set(1, dead);
        let took = world.until(|w| w.state("0") == State::Down).await;
        assert!(took <= quick().detection_bound() + STEPS, "down after {took:?}");
        assert!(world.diary.has("close 0 (value of 0)"));
        assert_eq!(world.state("1"), State::Up);
        sleep(Duration::from_secs(1) + pause * MS).await;
        world.script.set(1, Does::Pass);
        let took = world.until(|w| w.state("0") == State::Up).await;
        assert!(took <= quick().recovery_bound() + STEPS, "up after {took:?}");
    }
}

/// The same with real connections, in real time; the machine may be busy.
#[tokio::test]
async fn a_server_that_stops_listening_is_down_in_time_and_back_in_time() {
    const SLACK: Duration = Duration::from_millis(500);
    let listen = |address: SocketAddr| async move {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let accept = async move { while listener.accept().await.is_ok() {} };
        (address, tokio::spawn(accept))
    };
    let (address, server) = listen(([127, 0, 0, 1], 0).into()).await;
    let settings = ControlSettings { monitor: checked(quick()), ..ControlSettings::default() };
    let control = Controller::new(RoundRobin, 42, settings, RuntimeClock::start(), Silent);
    let mut managed = Managed::new("a", ());
    managed.targets = vec![Target::new(address)];
    control.update(vec![managed]).unwrap();
    tokio::spawn({
        let control = control.clone();
        async move { control.run().await }
    });
    let until = |wanted: State| {
        let control = control.clone();
        async move {
            let start = std::time::Instant::now();
            while control.standings()[0].report.state != wanted {
                assert!(start.elapsed() < Duration::from_secs(20));
                sleep(MS).await;
            }
            start.elapsed()
        }
    };
    sleep(quick().up()).await;
    server.abort();
    let took = until(State::Down).await;
    assert!(took <= quick().detection_bound() + SLACK, "down after {took:?}");
    assert!(control.standings()[0].report.reason.starts_with("down: connection refused"));
    let (_, _server) = listen(address).await;
    let took = until(State::Up).await;
    assert!(took <= quick().recovery_bound() + SLACK, "up after {took:?}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_comes_late_is_a_failure_and_says_so() {
    let world = World::running(checked(quick()), 2);
    world.script.set(1, Does::Slow(2 * quick().timeout()));
    world.until(|w| w.state("0") == State::Down).await;
    // However it is told, in the same words each time, so that they can be counted.
    let mut words = Vec::new();
    while words.len() < 4 {
        sleep(10 * MS).await;
        let reason = world.standing("0").report.reason;
        if words.last() != Some(&reason) {
            words.push(reason);
        }
    }
    let times = ["three", "four", "five", "six"];
    let wanted = times.map(|times| format!("down: no answer in time {times} times"));
    assert_eq!(words, wanted);
    sleep(Duration::from_secs(5)).await;
    assert_eq!(world.state("0"), State::Down);
}

#[tokio::test(start_paused = true)]
async fn there_are_never_more_probes_than_allowed_and_everybody_is_asked() {
    let world = World::with_places(checked(quick()), 3);
    world.control.update((0..60).map(|i| backend(&i.to_string(), i)).collect()).unwrap();
    for port in 0..60 {
        world.script.set(port, if port % 2 == 0 { Does::Hang } else { Does::Slow(20 * MS) });
    }
    world.run();
    // A probe takes 25 ms, so that three places do 120 in a second.
    sleep(Duration::from_secs(10)).await;
    assert_eq!(world.script.most(), 3);
    let asked: Vec<_> = (0..60).map(|port| world.script.asked(port)).collect();
    assert!(asked.iter().all(|&times| (15..=25).contains(&times)), "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_this_machine_could_not_send_counts_for_nothing() {
    let world = World::running(checked(quick()), 1);
    world.script.set(1, Does::Local);
    sleep(Duration::from_secs(5)).await;
    assert!(world.script.asked(1) > 20);
    assert_eq!(world.standing("0").report.reason, "up");
    let first = CheckConfig::builder().initial(InitialHealth::FirstCheck).build().unwrap();
    let world = World::new(checked(first));
    world.script.set(1, Does::Local);
    world.control.update(vec![backend("0", 1)]).unwrap();
    world.run();
    sleep(Duration::from_secs(5)).await;
    assert!(world.script.asked(1) > 2);
    assert_eq!(world.standing("0").report.reason, "pending: not checked yet");
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_asks_to_be_drained_takes_no_new_requests() {
    let world = World::running(checked(quick()), 2);
    world.script.set(1, Does::Drain);
    world.until(|w| w.standing("0").status.admission == Admission::Established).await;
    assert_eq!(world.standing("0").report.reason, "draining: its check says so");
    world.script.set(1, Does::Pass);
    world.until(|w| w.state("0") == State::Up).await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_probe_is_a_failure_of_that_probe_alone() {
    let world = World::with_places(checked(quick()), 1);
    world.control.update(vec![backend("0", 1), backend("1", 2)]).unwrap();
    world.script.set(1, Does::Panic);
    let task = world.run();
    world.until(|w| w.state("0") == State::Down).await;
    // Its place is free each time, or number 1 would never be asked again.
    let asked = world.script.asked(2);
    sleep(Duration::from_secs(2)).await;
    assert!(world.script.asked(2) > asked + 10);
    assert_eq!(world.state("1"), State::Up);
    assert!(!task.is_finished());
    world.script.set(1, Does::Pass);
    world.until(|w| w.state("0") == State::Up).await;
}

#[test]
fn a_probe_that_ends_with_its_runtime_gives_its_place_back() {
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().build().unwrap()
    };
    let check = CheckConfig::builder().up(30 * MS).going_down(30 * MS).down(30 * MS);
    let check = check.timeout(30 * MS).spread(false).build().unwrap();
    let world = {
        let first = runtime();
        let _guard = first.enter();
        let world = World::with_places(checked(check), 1);
        world.control.update(vec![backend("0", 1)]).unwrap();
        first.block_on(async {
            // The task sends a probe, and goes before that has begun.
            tokio::select! {
                biased;
                () = world.control.run() => {}
                () = std::future::ready(()) => {}
            }
        });
        world
    };
    assert_eq!(world.script.asked(1), 0);
    runtime().block_on(async {
        world.run();
        world.until(|w| w.script.asked(1) > 3).await;
    });
}

#[tokio::test(start_paused = true)]
async fn a_control_task_that_is_dropped_leaves_a_pool_and_one_that_starts_anew_goes_on() {
    let world = World::new(checked(quick()));
    world.control.update(vec![backend("0", 1), backend("1", 2)]).unwrap();
    let task = world.run();
    world.script.set(1, Does::Fail);
    world.until(|w| w.state("0") == State::Down).await;
    world.script.set(2, Does::Slow(20 * MS));
    world.until(|w| w.script.most() > 0).await;
    task.abort();
    sleep(Duration::from_secs(1)).await;
    let asked = world.script.asked(2);
    for _ in 0..10 {
        let lease = world.control.pool().pick(&equipoise_pool::Request::new()).unwrap();
        assert_eq!(&**lease, "value of 1");
    }
    world.script.set(1, Does::Pass);
    sleep(Duration::from_secs(5)).await;
    assert_eq!((world.state("0"), world.script.asked(2)), (State::Down, asked));
    world.run();
    world.until(|w| w.state("0") == State::Up).await;
}

/// Counts the snapshots that are built.
struct Counted(Arc<AtomicUsize>);

impl Policy for Counted {
    type Picker = <RoundRobin as Policy>::Picker;

    fn track(&self, id: BackendId) -> Option<Arc<dyn Tracker>> {
        RoundRobin.track(id)
    }

    fn build(&self, view: &View<'_>, previous: Option<&Self::Picker>) -> Self::Picker {
        self.0.fetch_add(1, Ordering::Relaxed);
        RoundRobin.build(view, previous)
    }
}

/// Each snapshot takes O(n), so one for each backend that comes up would take O(n²) in all.
#[tokio::test(start_paused = true)]
async fn when_many_join_at_once_there_are_few_snapshots() {
    const MANY: u16 = 5_000;
    let snapshots = Arc::new(AtomicUsize::new(0));
    let settings = ControlSettings {
        monitor: checked(CheckConfig::default()),
        probe: Arc::new(crate::support::Script::default()),
        concurrent_probes: 100,
    };
    let policy = Counted(Arc::clone(&snapshots));
    let control = Controller::new(policy, 42, settings, RuntimeClock::start(), Silent);
    control.update((0..MANY).map(|i| backend(&i.to_string(), i)).collect()).unwrap();
    tokio::spawn({
        let control = control.clone();
        async move { control.run().await }
    });
    let start = tokio::time::Instant::now();
    while control.pool().backends().iter().any(|status| status.admission != Admission::New) {
        assert!(start.elapsed() < Duration::from_secs(10));
        sleep(10 * MS).await;
    }
    let snapshots = snapshots.load(Ordering::Relaxed);
    assert!(snapshots <= usize::from(MANY) / 10, "{snapshots}");
}
