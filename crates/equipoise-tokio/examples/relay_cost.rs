//! What a relay costs in CPU time, beside tokio's `copy_bidirectional`, in one run:
//! `cargo run --release -p equipoise-tokio --features relay --example relay_cost`.
//!
//! The relay has a thread of its own, and only that thread's time counts, the kernel's on its behalf
//! included. The rows alternate; each figure is the least of the rounds.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener as StdListener, TcpStream as StdStream};
use std::sync::mpsc;
use std::thread;

use equipoise_tokio::relay::{Bytes, Limits, Relay};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};

const ROUNDS: usize = 5;
/// MiB that go from the backend to the client.
const BULK: usize = 2048;
const CONNECTIONS: usize = 64;
/// Round trips of each connection.
const TRIPS: usize = 2000;
const MESSAGE: usize = 128;

/// Who relays.
#[derive(Clone)]
enum Subject {
    Tokio,
    Ours(Relay),
}

fn main() {
    let limits = Limits {
        idle: Some(std::time::Duration::from_secs(60)),
        half_closed: Some(std::time::Duration::from_secs(10)),
        total: Some(std::time::Duration::from_secs(3600)),
    };
    let ours = Relay::new(limits);
    let rows = [
        ("copy_bidirectional", Subject::Tokio),
        ("relay", Subject::Ours(ours.clone())),
        ("relay, no pipes", Subject::Ours(ours.with_max_pipes(0))),
    ];
    let mut least = [[f64::INFINITY; 2]; 3];
    for _ in 0..ROUNDS {
        for ((_, subject), least) in rows.iter().zip(&mut least) {
            least[0] = least[0].min(bulk(subject));
            least[1] = least[1].min(ping_pong(subject));
        }
    }
    println!("| | bulk, CPU us a MiB | ping-pong, CPU us a round trip |\n|---|---|---|");
    for ((name, _), [bulk, trip]) in rows.iter().zip(least) {
        println!("| {name} | {bulk:.0} | {trip:.2} |");
    }
    println!("state of a connection: {} bytes", runtime().block_on(state()));
}

/// The size of the future that relays, sockets included.
async fn state() -> usize {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let far = listener.accept().await.unwrap().0;
    let (relay, bytes) = (Relay::new(Limits::default()), Bytes::default());
    size_of_val(&relay.run(near, Vec::new(), far, &bytes, std::future::pending()))
}

/// Microseconds a MiB.
fn bulk(subject: &Subject) -> f64 {
    let backend = StdListener::bind("127.0.0.1:0").unwrap();
    let (address, time) = start(subject.clone(), backend.local_addr().unwrap(), 1);
    let sending = thread::spawn(move || {
        let (mut stream, _) = backend.accept().unwrap();
        let chunk = vec![1; 1 << 20];
        for _ in 0..BULK {
            stream.write_all(&chunk).unwrap();
        }
    });
    let mut client = StdStream::connect(address).unwrap();
    let (mut space, mut heard) = (vec![0; 1 << 18], 0);
    while let read @ 1.. = client.read(&mut space).unwrap() {
        heard += read;
    }
    assert_eq!(heard, BULK << 20);
    drop(client);
    sending.join().unwrap();
    time.recv().unwrap() / BULK as f64
}

/// Microseconds a round trip.
fn ping_pong(subject: &Subject) -> f64 {
    let backend = StdListener::bind("127.0.0.1:0").unwrap();
    backend.set_nonblocking(true).unwrap();
    let (address, time) = start(subject.clone(), backend.local_addr().unwrap(), CONNECTIONS);
    runtime().block_on(async {
        let backend = TcpListener::from_std(backend).unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = backend.accept().await {
                stream.set_nodelay(true).unwrap();
                tokio::spawn(async move {
                    let mut message = [0; MESSAGE];
                    while stream.read_exact(&mut message).await.is_ok() {
                        stream.write_all(&message).await.unwrap();
                    }
                });
            }
        });
        let talk = |_| {
            tokio::spawn(async move {
                let mut stream = TcpStream::connect(address).await.unwrap();
                stream.set_nodelay(true).unwrap();
                let mut message = [1; MESSAGE];
                for _ in 0..TRIPS {
                    stream.write_all(&message).await.unwrap();
                    stream.read_exact(&mut message).await.unwrap();
                }
            })
        };
        let clients: Vec<_> = (0..CONNECTIONS).map(talk).collect();
        for client in clients {
            client.await.unwrap();
        }
    });
    time.recv().unwrap() / (CONNECTIONS * TRIPS) as f64
}

/// Relays so many connections on a thread, which then says how many microseconds of CPU time it took.
fn start(
    subject: Subject,
    backend: SocketAddr,
    connections: usize,
) -> (SocketAddr, mpsc::Receiver<f64>) {
    let (address, addressed) = mpsc::channel();
    let (time, timed) = mpsc::channel();
    thread::spawn(move || {
        runtime().block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            address.send(listener.local_addr().unwrap()).unwrap();
            let mut running = Vec::new();
            for _ in 0..connections {
                let (client, _) = listener.accept().await.unwrap();
                running.push(tokio::spawn(serve(subject.clone(), client, backend)));
            }
            for running in running {
                running.await.unwrap();
            }
        });
        time.send(cpu_micros()).unwrap();
    });
    (addressed.recv().unwrap(), timed)
}

async fn serve(subject: Subject, mut client: TcpStream, backend: SocketAddr) {
    let mut backend = TcpStream::connect(backend).await.unwrap();
    client.set_nodelay(true).unwrap();
    backend.set_nodelay(true).unwrap();
    match subject {
        Subject::Tokio => {
            let _ = copy_bidirectional(&mut client, &mut backend).await;
        }
        Subject::Ours(relay) => {
            let (bytes, never) = (Bytes::default(), std::future::pending());
            relay.run(client, Vec::new(), backend, &bytes, never).await;
        }
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

#[cfg(target_os = "linux")]
fn cpu_micros() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}

#[cfg(not(target_os = "linux"))]
fn cpu_micros() -> f64 {
    f64::NAN
}
