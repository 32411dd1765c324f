//! Much at once, both ways.

use equipoise_tokio::relay::{ByCopy, End, Limits, Relay};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::support::{Noise, Running, between, pair};

const MUCH: usize = 100 << 20;
const CHUNK: usize = 1 << 18;

/// Sends noise from one seed and expects it from another, in the same chunks: no byte may differ.
async fn exchange(stream: impl AsyncRead + AsyncWrite, sent: u64, expected: u64) {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let send = async {
        let (mut noise, mut chunk) = (Noise(sent), vec![0; CHUNK]);
        for _ in 0..MUCH / CHUNK {
            noise.fill(&mut chunk);
            writer.write_all(&chunk).await.unwrap();
        }
        writer.shutdown().await.unwrap();
    };
    let receive = async {
        let (mut noise, mut chunk, mut heard) = (Noise(expected), vec![0; CHUNK], vec![0; CHUNK]);
        for index in 0..MUCH / CHUNK {
            noise.fill(&mut chunk);
            reader.read_exact(&mut heard).await.unwrap();
            assert!(heard == chunk, "chunk {index} differs");
        }
        assert_eq!(reader.read(&mut heard).await.unwrap(), 0);
    };
    tokio::join!(send, receive);
}

async fn both_ways(relay: &Relay) {
    let (client, backend, running) = between(relay).await;
    let client = tokio::spawn(exchange(client, 1, 2));
    exchange(backend, 2, 1).await;
    client.await.unwrap();
    assert_eq!(running.end().await, (End::Closed, MUCH as u64, MUCH as u64));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg(target_os = "linux")]
async fn by_splice() {
    let relay = Relay::new(Limits::default());
    both_ways(&relay).await;
    let usage = relay.usage();
    assert!(usage.spliced > MUCH as u64, "most of 2 * {MUCH}: {usage:?}");
    assert_eq!((usage.refused, usage.pipes), (0, usage.idle_pipes), "all came back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_copy_when_there_are_no_pipes() {
    let relay = Relay::new(Limits::default()).with_max_pipes(0);
    both_ways(&relay).await;
    let usage = relay.usage();
    assert_eq!((usage.spliced, usage.pipes), (0, 0));
    assert_eq!(usage.refused > 0, cfg!(target_os = "linux"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_copy_of_what_is_no_socket() {
    let relay = Relay::new(Limits::default());
    let (client, from_client) = tokio::io::duplex(10_000);
    let (to_backend, backend) = pair().await;
    // Holds back what is written until it is flushed, as TLS may.
    let from_client = ByCopy::new(tokio::io::BufStream::new(from_client), |_| {});
    let running = Running::start(&relay, from_client, b"", to_backend);
    let client = tokio::spawn(exchange(client, 1, 2));
    exchange(backend, 2, 1).await;
    client.await.unwrap();
    assert_eq!(running.end().await, (End::Closed, MUCH as u64, MUCH as u64));
    assert_eq!(relay.usage().spliced, 0);
}

#[tokio::test]
async fn what_is_written_is_flushed_while_the_other_side_waits() {
    let relay = Relay::new(Limits::default());
    let (mut client, from_client) = tokio::io::duplex(10_000);
    let (to_backend, mut backend) = pair().await;
    let from_client = ByCopy::new(tokio::io::BufStream::new(from_client), |_| {});
    let running = Running::start(&relay, from_client, b"", to_backend);
    crate::support::greet(&mut client, &mut backend).await;
    drop((client, backend));
    assert_eq!(running.end().await.1, 4);
}
