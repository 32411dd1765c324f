//! Any writes, of any sizes, in any order, on both sides.

use std::time::Duration;

use equipoise_tokio::relay::{End, Limits, Relay};
use proptest::prelude::*;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::support::{Noise, Running, between, pair, rest};

/// Sizes of writes, around those at which the relay changes its mind; and whether to wait after each.
fn writes() -> impl Strategy<Value = Vec<(usize, bool)>> {
    let size = prop_oneof![
        1_usize..200,
        Just(16 * 1024 - 1),
        Just(16 * 1024),
        Just(16 * 1024 + 1),
        10_000_usize..100_000,
        200_000_usize..600_000,
    ];
    proptest::collection::vec((size, any::<bool>()), 0..12)
}

async fn talk(
    stream: impl AsyncRead + AsyncWrite,
    seed: u64,
    writes: Vec<(usize, bool)>,
) -> (Vec<u8>, Vec<u8>) {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let mut sent = vec![0; writes.iter().map(|(size, _)| size).sum()];
    Noise(seed).fill(&mut sent);
    let say = async {
        let mut left = &sent[..];
        for (size, wait) in writes {
            writer.write_all(&left[..size]).await.unwrap();
            left = &left[size..];
            if wait {
                tokio::time::sleep(Duration::from_micros(300)).await;
            }
        }
        writer.shutdown().await.unwrap();
    };
    let ((), heard) = tokio::join!(say, rest(&mut reader));
    (sent, heard.unwrap())
}

async fn check(relay: &Relay, unix: bool, up: Vec<(usize, bool)>, down: Vec<(usize, bool)>) {
    let (client, running);
    let backend;
    if unix {
        let (near, from_client) = pair().await;
        let (to_backend, far) = UnixStream::pair().unwrap();
        running = Running::start(relay, from_client, b"", to_backend);
        client = tokio::spawn(talk(near, 11, up));
        backend = tokio::spawn(talk(far, 12, down));
    } else {
        let (near, far, at_work) = between(relay).await;
        running = at_work;
        client = tokio::spawn(talk(near, 11, up));
        backend = tokio::spawn(talk(far, 12, down));
    }
    let (asked, told) = client.await.unwrap();
    let (answered, heard) = backend.await.unwrap();
    assert!(asked == heard && answered == told, "what was sent is what came");
    assert_eq!(running.end().await, (End::Closed, asked.len() as u64, answered.len() as u64));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_sent_is_what_comes(
        up in writes(),
        down in writes(),
        max_pipes in 0_usize..3,
        unix in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let relay = Relay::new(Limits::default()).with_max_pipes(max_pipes);
        runtime.block_on(check(&relay, unix, up, down));
        let usage = relay.usage();
        prop_assert_eq!(usage.pipes, usage.idle_pipes, "all pipes came back empty");
        prop_assert!(usage.pipes <= max_pipes);
    }
}
