//! A controller that follows discovery.

use std::collections::VecDeque;
use std::time::Duration;

use equipoise_core::Weight;
use equipoise_health::monitor::MonitorConfig;
use equipoise_tokio::discovery::{Discover, DiscoveryError, Endpoint, NextSet};
use tokio::time::sleep;

use crate::support::{World, backend};

/// Says these, one each second, and then nothing more.
struct Scripted(VecDeque<Result<Vec<Endpoint>, DiscoveryError>>);

impl Discover for Scripted {
    fn next(&mut self) -> NextSet<'_> {
        Box::pin(async {
            sleep(Duration::from_secs(1)).await;
            match self.0.pop_front() {
                Some(next) => next,
                None => std::future::pending().await,
            }
        })
    }
}

fn endpoint(port: u16, weight: u16) -> Endpoint {
    let mut endpoint = Endpoint::new(([127, 0, 0, 1], port).into());
    endpoint.weight = Weight::new(weight);
    endpoint
}

#[tokio::test(start_paused = true)]
async fn the_set_follows_discovery_and_outlasts_its_errors() {
    let world = World::new(MonitorConfig::default());
    let source = Scripted(VecDeque::from([
        Ok(vec![endpoint(1, 1), endpoint(2, 1), endpoint(666, 1)]),
        Err(DiscoveryError::TooMany { limit: 7 }),
        Ok(vec![endpoint(3, 1), endpoint(3, 1)]),
        Ok(vec![endpoint(2, 5), endpoint(4, 1)]),
        Ok(vec![]),
    ]));
    let follow = world.control.clone();
    tokio::spawn(async move {
        let make = |endpoint: &Endpoint| {
            let mut managed = backend(&endpoint.name, endpoint.address.port());
            managed.weight = endpoint.weight;
            (endpoint.address.port() != 666).then_some(managed)
        };
        follow.follow(source, make).await;
    });
    let names = || {
        let named =
            |s: equipoise_tokio::control::Standing| format!("{}={}", s.name, s.status.weight);
        world.control.standings().into_iter().map(named).collect::<Vec<_>>()
    };
    let second = Duration::from_secs(1);
    sleep(second / 2).await;
    let both = ["127.0.0.1:1=1", "127.0.0.1:2=1"];
    for wanted in [&[][..], &both, &both, &both, &["127.0.0.1:2=5", "127.0.0.1:4=1"], &[]] {
        assert_eq!(names(), wanted);
        sleep(second).await;
    }
    let lines = world.diary.lines();
    let refused: Vec<_> = lines.iter().filter(|line| line.starts_with("discovery: ")).collect();
    assert_eq!(refused.len(), 2, "{refused:?}");
    assert!(refused[1].contains("two backends have the id"), "{refused:?}");
}
