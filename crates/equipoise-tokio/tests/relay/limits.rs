//! Limits of time. The clock is paused where no byte has to come through a socket meanwhile, and jumps.

use std::time::Duration;

use equipoise_tokio::relay::{ByCopy, End, Limits, Relay};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::{Instant, sleep};

use crate::support::{Running, between, greet, sees_reset};

const SECOND: Duration = Duration::from_secs(1);

/// In memory, so that time passes only when nobody has anything to do.
fn in_memory(limits: Limits) -> (DuplexStream, DuplexStream, Running) {
    let (client, from_client) = tokio::io::duplex(64);
    let (to_backend, backend) = tokio::io::duplex(64);
    let (from_client, to_backend) =
        (ByCopy::new(from_client, |_| {}), ByCopy::new(to_backend, |_| {}));
    (client, backend, Running::start(&Relay::new(limits), from_client, b"", to_backend))
}

async fn end_of(running: Running) -> (End, u64, u64) {
    running.end().await
}

#[tokio::test(start_paused = true)]
async fn idle_counts_from_the_last_byte_of_either_direction() {
    let limits = Limits { idle: Some(10 * SECOND), ..Limits::default() };
    let (mut client, mut backend, running) = in_memory(limits);
    let started = Instant::now();
    for _ in 0..3 {
        sleep(9 * SECOND).await;
        client.write_all(b"a").await.unwrap();
        backend.read_u8().await.unwrap();
        sleep(9 * SECOND).await;
        backend.write_all(b"b").await.unwrap();
        client.read_u8().await.unwrap();
    }
    assert_eq!(end_of(running).await, (End::Idle, 3, 3));
    let took = started.elapsed();
    assert!((64 * SECOND..65 * SECOND).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn the_total_counts_whatever_passes() {
    let limits = Limits { total: Some(10 * SECOND), idle: Some(3 * SECOND), half_closed: None };
    let (mut client, mut backend, running) = in_memory(limits);
    let started = Instant::now();
    let talk = async {
        loop {
            sleep(SECOND).await;
            if client.write_all(b"a").await.is_err() || backend.read_u8().await.is_err() {
                break;
            }
        }
    };
    let ((), ended) = tokio::join!(talk, end_of(running));
    assert_eq!(ended.0, End::TooLong);
    let took = started.elapsed();
    assert!((10 * SECOND..12 * SECOND).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_half_closed_connection_has_its_own_limit() {
    let limits = Limits { idle: Some(100 * SECOND), half_closed: Some(5 * SECOND), total: None };
    let (mut client, mut backend, running) = in_memory(limits);
    sleep(50 * SECOND).await;
    backend.shutdown().await.unwrap();
    let started = Instant::now();
    sleep(4 * SECOND).await;
    client.write_all(b"still here").await.unwrap();
    assert_eq!(end_of(running).await, (End::HalfClosed, 10, 0));
    let took = started.elapsed();
    assert!((9 * SECOND..10 * SECOND).contains(&took), "{took:?}");
    drop((client, backend));
}

#[tokio::test(start_paused = true)]
async fn without_limits_it_stays() {
    let unbounded =
        Limits { idle: Some(Duration::MAX), total: Some(Duration::MAX), half_closed: None };
    for limits in [Limits::default(), unbounded] {
        let (mut client, mut backend, running) = in_memory(limits);
        sleep(1_000_000 * SECOND).await;
        greet(&mut client, &mut backend).await;
        drop((client, backend));
        assert_eq!(end_of(running).await, (End::Closed, 4, 4));
    }
}

#[tokio::test]
async fn who_is_idle_sees_a_reset() {
    let limits = Limits { idle: Some(SECOND / 5), ..Limits::default() };
    let (mut client, mut backend, running) = between(&Relay::new(limits)).await;
    greet(&mut client, &mut backend).await;
    sees_reset(&mut client).await;
    sees_reset(&mut backend).await;
    assert_eq!(end_of(running).await, (End::Idle, 4, 4));
}
