//! `python3 -m http.server`, a backend that nobody here wrote.

use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

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
