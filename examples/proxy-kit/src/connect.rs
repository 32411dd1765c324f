//! A connection to a backend, in a limited time.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use equipoise_tokio::probe::ProbeError;
use equipoise_tokio::socket::{Socket, StreamAddr, UnixPath};
use socket2::SockRef;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, sleep, timeout_at};

use crate::backend::Address;

/// A backend that can be connected to: its name, and the addresses that the name had at the start.
#[derive(Clone, Debug)]
pub struct Backend {
    name: Address,
    addresses: Vec<StreamAddr>,
}

impl Backend {
    /// Looks the name up. The path of a Unix socket is its address.
    ///
    /// # Errors
    /// What the system's resolver says, or that it knows no address.
    pub async fn resolve(name: Address) -> io::Result<Self> {
        if let Some(path) = name.unix() {
            return Ok(Self { name, addresses: vec![StreamAddr::Unix(path)] });
        }
        let mut addresses = Vec::new();
        for address in tokio::net::lookup_host(name.as_str()).await?.map(StreamAddr::Ip) {
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
        Self { name: Address::from(address), addresses: vec![address.into()] }
    }

    /// The same backend at another port. A Unix socket has none.
    #[must_use]
    pub fn at_port(&self, port: u16) -> Self {
        let at_port = |address: &StreamAddr| match address {
            StreamAddr::Ip(address) => SocketAddr::new(address.ip(), port).into(),
            StreamAddr::Unix(_) => address.clone(),
        };
        Self { name: self.name.clone(), addresses: self.addresses.iter().map(at_port).collect() }
    }

    /// Its addresses, in the resolver's order.
    pub fn addresses(&self) -> &[StreamAddr] {
        &self.addresses
    }

    /// `host:port` or `unix:/path`, as it was configured.
    pub fn name(&self) -> &str {
        self.name.as_str()
    }

    /// What HTTP calls it: its name, and `localhost` if that is a path.
    pub fn host(&self) -> &str {
        match self.addresses.first() {
            Some(StreamAddr::Unix(_)) => "localhost",
            _ => self.name(),
        }
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
    pub async fn connect(&self, limit: Duration, then: Then) -> io::Result<Socket> {
        let mut now = Instant::now();
        let deadline = now + limit;
        let mut result = Err(io::ErrorKind::NotFound.into());
        for (address, left) in self.addresses.iter().zip((1..=self.addresses.len() as u32).rev()) {
            let share = deadline.saturating_duration_since(now) / left;
            result = match timeout_at(now + share, connect(address, then)).await {
                Ok(result) => result,
                Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time")),
            };
            if result.is_ok() {
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

async fn connect(address: &StreamAddr, then: Then) -> io::Result<Socket> {
    match address {
        StreamAddr::Ip(address) => connect_tcp(*address, then).await.map(Socket::Tcp),
        StreamAddr::Unix(path) => connect_unix(path).await,
    }
}

/// As TCP does, it tries again when as many clients wait to be accepted as may: the system says so at once.
async fn connect_unix(path: &UnixPath) -> io::Result<Socket> {
    const PAUSE: Duration = Duration::from_millis(10);
    loop {
        match Socket::connect_unix(path).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => sleep(PAUSE).await,
            result => return result,
        }
    }
}

async fn connect_tcp(address: SocketAddr, then: Then) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    #[cfg(target_os = "linux")]
    if then == Then::Send {
        let _ = SockRef::from(&socket).set_tcp_quickack(false);
    }
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// At a Unix socket that lets one client wait, and its listener.
    async fn narrow(name: &str) -> (Backend, tokio::net::UnixListener) {
        let name = format!("proxy-kit-{}-{name}.sock", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = std::fs::remove_file(&path);
        let socket =
            socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
        socket.bind(&socket2::SockAddr::unix(&path).unwrap()).unwrap();
        socket.listen(0).unwrap();
        socket.set_nonblocking(true).unwrap();
        let name: Address = format!("unix:{}", path.display()).parse().unwrap();
        let listener = tokio::net::UnixListener::from_std(socket.into()).unwrap();
        (Backend::resolve(name).await.unwrap(), listener)
    }

    fn remove(backend: &Backend) {
        let _ = std::fs::remove_file(backend.address().unix().unwrap());
    }

    #[tokio::test]
    async fn a_unix_socket_has_no_port_and_is_called_localhost() {
        let (backend, _listener) = narrow("name").await;
        remove(&backend);
        assert_eq!(backend.host(), "localhost");
        assert_eq!(backend.at_port(80).addresses(), backend.addresses());
        let tcp = Backend::at(([127, 0, 0, 1], 80).into());
        assert_eq!(tcp.host(), "127.0.0.1:80");
        assert_eq!(tcp.at_port(81).addresses(), [SocketAddr::from(([127, 0, 0, 1], 81)).into()]);
    }

    #[tokio::test]
    async fn who_finds_the_queue_full_waits_for_a_place_and_not_for_ever() {
        let (backend, listener) = narrow("full").await;
        let soon = Duration::from_millis(100);
        let waiting = backend.connect(soon, Then::Wait).await.unwrap();
        let late = backend.connect(soon, Then::Wait).await.unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
        let connecting = backend.connect(Duration::from_secs(20), Then::Wait);
        let accepting = async {
            sleep(soon).await;
            listener.accept().await
        };
        let (connected, accepted) = tokio::join!(connecting, accepting);
        drop((connected.unwrap(), accepted.unwrap(), waiting));
        remove(&backend);
    }
}
