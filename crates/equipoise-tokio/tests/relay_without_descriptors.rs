//! No file descriptor is left: alone in its process, as the limit is the process's.
#![cfg(target_os = "linux")]

use std::os::fd::AsRawFd;

use equipoise_tokio::relay::{Bytes, End, Limits, Relay};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (near, listener.accept().await.unwrap().0)
}

#[tokio::test]
async fn bytes_are_copied() {
    const MUCH: usize = 8 << 20;
    let (mut client, from_client) = pair().await;
    let (to_backend, mut backend) = pair().await;
    // What is below the highest descriptor may be free: nothing new may be.
    let mut fillers = Vec::new();
    let highest = backend.as_raw_fd() as u64;
    let before = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(highest + 1), ..before }).unwrap();
    while let Ok(filler) = std::fs::File::open("/dev/null") {
        fillers.push(filler);
    }

    let relay = Relay::new(Limits::default());
    let bytes = Bytes::default();
    let relayed = relay.run(from_client, Vec::new(), to_backend, &bytes, std::future::pending());
    let talk = async {
        let mut heard = Vec::new();
        let say = async {
            client.write_all(&vec![9; MUCH]).await.unwrap();
            client.shutdown().await.unwrap();
        };
        let ((), read) = tokio::join!(say, backend.read_to_end(&mut heard));
        assert_eq!((read.unwrap(), heard.iter().all(|byte| *byte == 9)), (MUCH, true));
        drop(backend);
    };
    let (end, ()) = tokio::join!(relayed, talk);
    assert_eq!(end, End::Closed);
    let usage = relay.usage();
    assert_eq!((usage.spliced, usage.pipes), (0, 0));
    assert!(usage.refused > 0, "{usage:?}");
}
