//! What requests come to.

use equipoise_core::{Failure, Outcome};
use equipoise_health::OutlierConfig;
use equipoise_health::monitor::{MonitorConfig, State};
use equipoise_pool::{Lease, Request};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

use crate::support::{World, quick};

fn watched() -> MonitorConfig {
    let outlier = OutlierConfig::builder().max_ejection_percent(50).build().unwrap();
    MonitorConfig { outlier: Some(outlier), ..MonitorConfig::default() }
}

impl World {
    fn pick(&self) -> Lease<Arc<str>> {
        let now = equipoise_core::Instant::from_nanos(1);
        self.control.pool().pick(&Request::new().at(now)).unwrap()
    }

    /// Takes as many leases, and gives back those of other backends.
    fn leases_of(&self, name: &str, picks: usize) -> Vec<Lease<Arc<str>>> {
        let value = format!("value of {name}");
        let all: Vec<_> = (0..picks).map(|_| self.pick()).collect();
        all.into_iter().filter(|lease| ***lease == value).collect()
    }

    fn requests(&self, n: usize, failing: &str) {
        let failing = format!("value of {failing}");
        for _ in 0..n {
            let lease = self.pick();
            let fails = **lease == failing[..];
            end(
                lease,
                if fails { Outcome::Failure(Failure::Response(502)) } else { Outcome::Success },
            );
        }
    }
}

fn end(lease: Lease<Arc<str>>, outcome: Outcome) {
    lease.finish(equipoise_core::Instant::from_nanos(2), outcome);
}

#[tokio::test(start_paused = true)]
async fn failing_requests_eject_a_trial_is_one_request_and_decides() {
    let world = World::running(watched(), 3);
    world.requests(15, "0");
    world.until(|w| w.state("0") == State::Ejected).await;
    assert!(world.diary.has("close 0 (value of 0)"));
    let reason = world.standing("0").report.reason;
    assert!(reason.starts_with("ejected for 1 s: 5 consecutive 502; back in "), "{reason}");
    assert_eq!(world.leases_of("0", 30).len(), 0);

    // The first trial fails: it is out again, for longer.
    let first = world.until(|w| w.state("0") == State::Trial).await;
    let mut leases = world.leases_of("0", 30);
    assert_eq!(leases.len(), 1);
    end(leases.remove(0), Outcome::Failure(Failure::Response(502)));
    world.until(|w| w.state("0") == State::Ejected).await;
    let second = world.until(|w| w.state("0") == State::Trial).await;
    assert!(second > first + first / 2, "{first:?}, then {second:?}");

    // The second one is given up, which decides nothing; then one passes.
    drop(world.leases_of("0", 30));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(world.state("0"), State::Trial);
    let mut leases = world.leases_of("0", 30);
    assert_eq!(leases.len(), 1);
    end(leases.remove(0), Outcome::Success);
    world.until(|w| w.state("0") == State::Up).await;
    assert_eq!(world.leases_of("0", 30).len(), 10);
    assert!(world.diary.has("0: no longer ejected"));
}

#[tokio::test(start_paused = true)]
async fn a_check_that_passes_lets_an_ejected_backend_in() {
    let world = World::running(MonitorConfig { check: Some(quick()), ..watched() }, 3);
    sleep(Duration::from_secs(1)).await;
    world.requests(15, "0");
    world.until(|w| w.diary.has("0: ejected for 1 s: 5 consecutive 502")).await;
    let took = world.until(|w| w.state("0") == State::Up).await;
    // No request has come to decide a trial. After the base time, the next check does.
    let base = Duration::from_secs(1);
    assert!(took >= base - Duration::from_millis(50) && took < 2 * base, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn the_failing_are_found_by_their_rate_at_the_end_of_an_interval() {
    let world = World::running(watched(), 6);
    // Every third request of number 0 fails: never five in a row.
    for i in 0..3_000_u32 {
        let lease = world.pick();
        let fails = &**lease == "value of 0" && (i / 6) % 3 == 0;
        end(lease, if fails { Outcome::Failure(Failure::Response(500)) } else { Outcome::Success });
    }
    world.until(|w| w.state("0") == State::Ejected).await;
    let reason = world.standing("0").report.reason;
    assert!(reason.contains("success rate"), "{reason}");
    assert!((1..6).all(|i| world.state(&i.to_string()) == State::Up));
}
