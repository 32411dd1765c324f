//! What can't be spliced is copied, and nothing is lost.
#![cfg(target_os = "linux")]

use std::time::Duration;

use equipoise_tokio::relay::{End, Limits, Relay};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Noise, Running, count, pair, rest};

/// Linux refuses to splice into a file in append mode (EINVAL), when its pipe is full already.
fn refuse_splice(stream: &TcpStream) {
    let flags = fcntl_getfl(stream).unwrap();
    fcntl_setfl(stream, flags | OFlags::APPEND).unwrap();
}

#[tokio::test]
async fn bytes_in_a_pipe_that_cannot_be_written_are_rescued() {
    let relay = Relay::new(Limits::default());
    let (mut client, from_client) = pair().await;
    let (to_backend, mut backend) = pair().await;
    refuse_splice(&to_backend);
    let running = Running::start(&relay, from_client, b"", to_backend);
    let mut sent = vec![0; 8 << 20];
    Noise(3).fill(&mut sent);
    let say = async {
        client.write_all(&sent).await.unwrap();
        client.shutdown().await.unwrap();
    };
    let ((), heard) = tokio::join!(say, rest(&mut backend));
    assert!(heard.unwrap() == sent);
    drop(backend);
    assert_eq!(running.end().await, (End::Closed, 8 << 20, 0));
    // A pipe was taken, nothing came through it, and it was not left with bytes of this connection.
    let usage = relay.usage();
    assert_eq!((usage.spliced, usage.refused, usage.pipes, usage.idle_pipes), (0, 0, 1, 1));
}

/// A pipe with bytes of a connection that was cut never serves another one.
#[tokio::test]
async fn a_pipe_that_was_cut_is_not_used_again() {
    let relay = Relay::new(Limits::default());
    let (client, from_client) = pair().await;
    let (to_backend, backend) = pair().await;
    let cut = Running::start(&relay, from_client, b"", to_backend);
    let secret = vec![b'x'; 1 << 20];
    loop {
        let is_taken = client.try_write(&secret).is_ok();
        let usage = relay.usage();
        if !is_taken && usage.pipes > usage.idle_pipes {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    cut.abort();
    drop((client, backend));
    while relay.usage().pipes > 0 {
        tokio::task::yield_now().await;
    }

    let (mut client, from_client) = pair().await;
    let (to_backend, mut backend) = pair().await;
    let running = Running::start(&relay, from_client, b"", to_backend);
    let mut heard = vec![0; 1 << 20];
    let (sent, read) =
        tokio::join!(client.write_all(&[0; 1 << 20]), backend.read_exact(&mut heard));
    sent.unwrap();
    read.unwrap();
    assert!(heard.iter().all(|byte| *byte == 0));
    assert!(relay.usage().spliced > 0);
    // It waits, and so holds no pipe.
    assert_eq!(count(&running.bytes.from_client), 1 << 20);
    assert_eq!(relay.usage().pipes, relay.usage().idle_pipes);
}
