//! Forwards datagrams: each client has one backend, by turns.
//!
//! `cargo run --release -p equipoise-tokio --features udp --example udp_forward -- LISTEN BACKEND...`

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use equipoise_core::BackendId;
use equipoise_tokio::udp::{Counters, End, Held, Listener, Serve, Traffic, UdpConfig, connect};
use tokio::net::UdpSocket;

type Error = Box<dyn std::error::Error>;

struct ByTurns {
    backends: Vec<SocketAddr>,
    next: AtomicUsize,
}

struct Session(usize);

impl Serve for ByTurns {
    type Held = Session;

    async fn open(
        &self,
        _client: SocketAddr,
        _local: SocketAddr,
        _avoid: Option<BackendId>,
    ) -> Option<(UdpSocket, Session)> {
        let index = self.next.fetch_add(1, Relaxed) % self.backends.len();
        Some((connect(self.backends[index]).await.ok()?, Session(index)))
    }
}

impl Held for Session {
    fn backend(&self) -> BackendId {
        BackendId::new(self.0 as u64)
    }

    async fn gone(&self) {
        std::future::pending::<()>().await;
    }

    fn end(self, _: End, _: &Traffic) {}
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let addresses: Result<Vec<SocketAddr>, _> =
        std::env::args().skip(1).map(|address| address.parse()).collect();
    let mut addresses = addresses?.into_iter();
    let (listen, backends) =
        (addresses.next().ok_or("no address to listen on")?, addresses.collect());
    let socket = Arc::new(UdpSocket::bind(listen).await?);
    let serve = Arc::new(ByTurns { backends, next: AtomicUsize::new(0) });
    if serve.backends.is_empty() {
        return Err("no backend".into());
    }
    let listener = Listener::new(socket, serve, UdpConfig::default(), Arc::<Counters>::default())?;
    tokio::spawn(listener.run(std::future::pending())).await?;
    Ok(())
}
