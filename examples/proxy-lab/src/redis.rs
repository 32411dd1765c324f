//! A Redis server, as a process.

use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};

use crate::backend::free_address;
use crate::client::Connection;
use crate::wait;

/// A real server on a port of its own, with nothing on the disk. Killed when dropped.
///
/// Ask [`is_installed`](crate::fleet::is_installed) first.
#[derive(Debug)]
pub struct Redis {
    child: Child,
    /// Where it listens, the same over every restart.
    pub address: SocketAddr,
}

impl Redis {
    /// Starts one, with nothing in it.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start() -> Self {
        let address = free_address().parse().expect("an address");
        Self { child: listen(address), address }
    }

    /// `redis://HOST:PORT`.
    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// Kills it; what it had is lost.
    ///
    /// # Panics
    /// If it can't be killed.
    pub fn kill(&mut self) {
        self.child.kill().expect("it is killed");
        self.child.wait().expect("it has ended");
    }

    /// Starts it again, at its address and with nothing in it, after [`kill`](Self::kill).
    ///
    /// # Panics
    /// If it does not start.
    pub fn restart(&mut self) {
        self.child = listen(self.address);
    }

    /// The reply to a command, as the server writes it.
    pub fn command(&self, command: &str) -> String {
        let mut connection = Connection::open(self.address);
        connection.send(format!("{command}\r\nQUIT\r\n"));
        String::from_utf8_lossy(&connection.rest()).into_owned()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn listen(address: SocketAddr) -> Child {
    let port = address.port().to_string();
    let mut child = Command::new("redis-server")
        .args(["--bind", "127.0.0.1", "--port", &port, "--save", "", "--appendonly", "no"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server starts");
    wait::until("Redis to listen", || {
        assert_eq!(child.try_wait().expect("a status"), None, "redis-server ended");
        TcpStream::connect(address).is_ok()
    });
    child
}
