//! How a connection ends, and what the other side hears of it.

use std::time::Duration;

use equipoise_tokio::relay::{Duplex, End, Limits, Relay};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{sleep, timeout};

use crate::support::{LIMIT, Running, between, count, greet, pair, rest, sees_reset};

fn relay() -> Relay {
    Relay::new(Limits::default())
}

#[tokio::test]
async fn a_client_that_half_closes_gets_its_answer() {
    let (mut client, mut backend, running) = between(&relay()).await;
    client.write_all(b"question").await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(rest(&mut backend).await.unwrap(), b"question");
    backend.write_all(b"answer").await.unwrap();
    backend.shutdown().await.unwrap();
    assert_eq!(rest(&mut client).await.unwrap(), b"answer");
    assert_eq!(running.end().await, (End::Closed, 8, 6));
}

#[tokio::test]
async fn a_backend_that_half_closes_still_hears_the_client() {
    let (mut client, mut backend, running) = between(&relay()).await;
    backend.write_all(b"greeting").await.unwrap();
    backend.shutdown().await.unwrap();
    assert_eq!(rest(&mut client).await.unwrap(), b"greeting");
    client.write_all(b"more").await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(rest(&mut backend).await.unwrap(), b"more");
    assert_eq!(running.end().await, (End::Closed, 4, 8));
}

#[tokio::test]
async fn what_was_read_before_goes_first() {
    let (mut client, from_client) = pair().await;
    let (to_backend, mut backend) = pair().await;
    client.write_all(b"second").await.unwrap();
    client.shutdown().await.unwrap();
    let running = Running::start(&relay(), from_client, b"first ", to_backend);
    assert_eq!(rest(&mut backend).await.unwrap(), b"first second");
    drop(backend);
    assert_eq!(running.end().await, (End::Closed, 12, 0));
}

#[tokio::test]
async fn a_reset_by_the_client_reaches_the_backend() {
    let (mut client, mut backend, running) = between(&relay()).await;
    greet(&mut client, &mut backend).await;
    client.set_zero_linger().unwrap();
    drop(client);
    sees_reset(&mut backend).await;
    assert_eq!(running.end().await, (End::BrokenByClient, 4, 4));
}

#[tokio::test]
async fn a_reset_by_the_backend_reaches_the_client() {
    let (mut client, mut backend, running) = between(&relay()).await;
    greet(&mut client, &mut backend).await;
    backend.set_zero_linger().unwrap();
    drop(backend);
    sees_reset(&mut client).await;
    assert_eq!(running.end().await, (End::BrokenByBackend, 4, 4));
}

/// The client's end has been read: nobody reads from it any more.
#[tokio::test]
async fn a_reset_after_a_half_close_is_heard_of_too() {
    let (mut client, mut backend, running) = between(&relay()).await;
    client.shutdown().await.unwrap();
    assert_eq!(rest(&mut backend).await.unwrap(), b"");
    client.set_zero_linger().unwrap();
    drop(client);
    let error = timeout(LIMIT, async {
        loop {
            match backend.take_error().unwrap() {
                Some(error) => break error,
                None => sleep(Duration::from_millis(1)).await,
            }
        }
    });
    // So Linux tells of a reset after the end was read.
    assert_eq!(error.await.unwrap().kind(), std::io::ErrorKind::BrokenPipe);
    assert_eq!(running.end().await, (End::BrokenByClient, 0, 0));
}

/// The backend reads nothing, so that nobody reads from the client either.
#[tokio::test]
async fn a_reset_behind_back_pressure_is_heard_of_too() {
    let (client, backend, running) = between(&relay()).await;
    stuff(&client).await;
    client.set_zero_linger().unwrap();
    drop(client);
    let (end, _, from_backend) = running.end().await;
    assert_eq!((end, from_backend), (End::BrokenByClient, 0));
    drop(backend);
}

/// Writes until nothing has been taken for a while.
async fn stuff(stream: &TcpStream) -> u64 {
    let (mut sent, chunk) = (0, vec![7; 1 << 16]);
    while timeout(Duration::from_millis(300), stream.writable()).await.is_ok() {
        sent += stream.try_write(&chunk).unwrap_or(0) as u64;
    }
    sent
}

#[tokio::test]
async fn who_is_taken_out_is_cut_and_counted_exactly() {
    let (mut client, mut backend, running) = between(&relay()).await;
    greet(&mut client, &mut backend).await;
    client.write_all(&[1; 100_000]).await.unwrap();
    backend.read_exact(&mut vec![0; 100_000]).await.unwrap();
    assert_eq!(
        (count(&running.bytes.from_client), count(&running.bytes.from_backend)),
        (100_004, 4)
    );
    let Running { bytes, take_out, .. } = running;
    take_out.send(()).unwrap();
    sees_reset(&mut client).await;
    sees_reset(&mut backend).await;
    assert_eq!((count(&bytes.from_client), count(&bytes.from_backend)), (100_004, 4));
}

#[tokio::test]
async fn the_end_says_that_it_was_taken_out() {
    let (client, from_client) = pair().await;
    let (to_backend, backend) = pair().await;
    let bytes = equipoise_tokio::relay::Bytes::default();
    let end = relay().run(from_client, Vec::new(), to_backend, &bytes, async {}).await;
    assert_eq!(end, End::TakenOut);
    drop((client, backend));
}

#[tokio::test]
async fn dropping_the_relay_resets_both() {
    let (mut client, mut backend, running) = between(&relay()).await;
    greet(&mut client, &mut backend).await;
    running.abort();
    sees_reset(&mut client).await;
    sees_reset(&mut backend).await;
}

#[tokio::test]
async fn back_pressure_bounds_what_is_in_flight() {
    for relay in [relay(), relay().with_max_pipes(0)] {
        let (client, mut backend, running) = between(&relay).await;
        let sent = stuff(&client).await;
        // A loaded machine may still be about it. Then nothing more is read, and what there is is not all.
        let mut passed = 0;
        while passed < count(&running.bytes.from_client) {
            passed = count(&running.bytes.from_client);
            sleep(Duration::from_millis(300)).await;
        }
        // The rest is in the relay, and in the socket buffers before it, which hold less than 8 MiB.
        assert!(sent > passed && sent - passed < 8 << 20, "{sent} {passed}");
        drop(client);
        assert_eq!(rest(&mut backend).await.unwrap().len() as u64, sent);
        drop(backend);
        assert_eq!(running.end().await, (End::Closed, sent, 0));
    }
}

#[tokio::test]
async fn unix_sockets_on_either_side() {
    let relay = relay();
    let (mut client, from_client) = UnixStream::pair().unwrap();
    let (to_backend, mut backend) = pair().await;
    let there = Running::start(&relay, from_client, b"", to_backend);
    let (mut left, from_left) = pair().await;
    let (to_right, mut right) = UnixStream::pair().unwrap();
    let here = Running::start(&relay, from_left, b"", to_right);
    for (client, backend) in
        [(&mut client as &mut dyn Duplex, &mut backend as &mut dyn Duplex), (&mut left, &mut right)]
    {
        let (sent, mut heard) = (vec![3; 2 << 20], Vec::new());
        let say = async {
            client.write_all(&sent).await.unwrap();
            client.shutdown().await.unwrap();
        };
        let ((), read) = tokio::join!(say, backend.read_to_end(&mut heard));
        assert_eq!((read.unwrap(), heard == sent), (2 << 20, true));
        backend.write_all(b"done").await.unwrap();
        backend.shutdown().await.unwrap();
        assert_eq!(rest(client).await.unwrap(), b"done");
    }
    assert_eq!(there.end().await, (End::Closed, 2 << 20, 4));
    assert_eq!(here.end().await, (End::Closed, 2 << 20, 4));
    if cfg!(target_os = "linux") {
        assert!(relay.usage().spliced > 2 << 20, "{:?}", relay.usage());
    }
}
