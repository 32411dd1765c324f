//! `python3 -m http.server`, a backend that nobody here wrote, and a server that accepts nobody.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::{backend, wait};

/// A python server whose `/` is a text of its own. Killed when dropped.
#[derive(Debug)]
pub struct PythonServer {
    child: Child,
    directory: PathBuf,
    /// `127.0.0.1:port`
    pub address: String,
}

impl PythonServer {
    /// Starts one on a free port. `scratch` is a directory for what it serves.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start(scratch: &str, name: &str) -> Self {
        let directory = PathBuf::from(scratch).join(format!("{}-{name}", std::process::id()));
        fs::create_dir_all(&directory).expect("a directory");
        fs::write(directory.join("index.html"), format!("{name}\n")).expect("a file");
        let address = backend::free_address();
        let child = spawn(&directory, &address);
        Self { child, directory, address }
    }

    /// Kills it.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again on its port.
    pub fn restart(&mut self) {
        self.child = spawn(&self.directory, &self.address);
    }
}

fn spawn(directory: &PathBuf, address: &str) -> Child {
    let (host, port) = address.rsplit_once(':').expect("host:port");
    let child = Command::new("python3")
        .args(["-m", "http.server", port, "--bind", host, "--directory"])
        .arg(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("python3 starts");
    wait::until("python3 to listen", || TcpStream::connect(address).is_ok());
    child
}

impl Drop for PythonServer {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// A server that listens and never accepts, and whose queue is full: a connection to it is neither
/// made nor refused. In python, because std can't ask for a short queue. Killed when dropped.
#[derive(Debug)]
pub struct FullServer {
    child: Child,
    /// What fills the queue.
    _queue: Vec<TcpStream>,
    /// `127.0.0.1:port`
    pub address: String,
}

const NEVER_ACCEPTS: &str = "\
import socket, sys
server = socket.socket()
server.bind(('127.0.0.1', 0))
server.listen(0)
print('127.0.0.1:%d' % server.getsockname()[1], flush=True)
sys.stdin.read()
";

impl FullServer {
    /// Starts it on a free port and fills its queue.
    ///
    /// # Panics
    /// If it does not start, or its queue does not fill.
    pub fn start() -> Self {
        let mut child = Command::new("python3")
            .args(["-c", NEVER_ACCEPTS])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 starts");
        let mut address = String::new();
        let output = child.stdout.take().expect("a pipe");
        BufReader::new(output).read_line(&mut address).expect("an address");
        let address: SocketAddr = address.trim().parse().expect("an address");
        let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok();
        let queue: Vec<_> = std::iter::from_fn(connect).take(16).collect();
        assert!(queue.len() < 16, "the queue fills");
        Self { child, _queue: queue, address: address.to_string() }
    }
}

impl Drop for FullServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
