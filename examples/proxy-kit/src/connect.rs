//! A connection to a backend, in a limited time.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use equipoise_tokio::probe::ProbeError;
use socket2::SockRef;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout_at};

use crate::backend::Address;

/// A backend that can be connected to: its name, and the addresses that the name had at the start.
#[derive(Clone, Debug)]
pub struct Backend {
    name: Address,
    addresses: Vec<SocketAddr>,
}

impl Backend {
    /// Looks the name up.
    ///
    /// # Errors
    /// What the system's resolver says, or that it knows no address.
    pub async fn resolve(name: Address) -> io::Result<Self> {
        let mut addresses: Vec<SocketAddr> = Vec::new();
        for address in tokio::net::lookup_host(name.as_str()).await? {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        if addresses.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
        }
        Ok(Self { name, addresses })
    }

    /// A backend that is known by its address.
    pub fn at(address: SocketAddr) -> Self {
        Self { name: Address::from(address), addresses: vec![address] }
    }

    /// The same backend at another port.
    #[must_use]
    pub fn at_port(&self, port: u16) -> Self {
        let addresses = self.addresses.iter().map(|address| SocketAddr::new(address.ip(), port));
        Self { name: self.name.clone(), addresses: addresses.collect() }
    }

    /// Its addresses, in the resolver's order.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// `host:port`, as it was configured.
    pub fn name(&self) -> &str {
        self.name.as_str()
    }

    /// The same, to keep.
    pub const fn address(&self) -> &Address {
        &self.name
    }

    /// Connects to one of its addresses, in the resolver's order. None of them can use up the time
    /// of those after it: each gets an equal part of what is left.
    ///
    /// # Errors
    /// The last address's; [`io::ErrorKind::TimedOut`] if it did not answer.
    pub async fn connect(&self, limit: Duration, then: Then) -> io::Result<TcpStream> {
        let mut now = Instant::now();
        let deadline = now + limit;
        let mut result = Err(io::ErrorKind::NotFound.into());
        for (address, left) in self.addresses.iter().zip((1..=self.addresses.len() as u32).rev()) {
            let share = deadline.saturating_duration_since(now) / left;
            result = match timeout_at(now + share, connect(*address, then)).await {
                Ok(result) => result,
                Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time")),
            };
            if let Ok(stream) = &result {
                stream.set_nodelay(true)?;
                break;
            }
            now = Instant::now();
        }
        result
    }
}

/// What happens on a new connection first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Then {
    /// This side sends something, at once. On Linux the last packet of the handshake is left out then: what
    /// is sent says the same. (HAProxy's `tcp-smart-connect`.)
    Send,
    /// The other side may be the one that sends something.
    Wait,
}

async fn connect(address: SocketAddr, then: Then) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    #[cfg(target_os = "linux")]
    if then == Then::Send {
        let _ = SockRef::from(&socket).set_tcp_quickack(false);
    }
    socket.connect(address).await
}

/// Whether it is this machine that can't connect: it has no file descriptor or port left. That says
/// nothing about the backend, and another one would not do better.
pub fn is_local(error: &io::Error) -> bool {
    ProbeError::from(error).is_local()
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(f)
    }
}
