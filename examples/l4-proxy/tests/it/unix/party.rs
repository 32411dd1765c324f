//! Who takes part over Unix sockets.

use std::env::temp_dir;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread::{self, JoinHandle};

use proxy_lab::LIMIT;
use proxy_lab::process::Proxy;
use proxy_lab::table::ConfigFile;

use crate::{PROXY, SCRATCH};

/// A path for a socket, whose file goes with it. Short, wherever this is built.
#[derive(Debug)]
pub(super) struct Path(pub(super) PathBuf);

impl Path {
    pub(super) fn new() -> Self {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let (process, made) = (std::process::id(), MADE.fetch_add(1, Relaxed));
        Self(temp_dir().join(format!("l4-{process}-{made}.sock")))
    }

    /// As a configuration and the log have it.
    pub(super) fn written(&self) -> String {
        format!("unix:{}", self.0.display())
    }

    pub(super) fn exists(&self) -> bool {
        self.0.symlink_metadata().is_ok()
    }

    pub(super) fn open(&self) -> io::Result<UnixStream> {
        let stream = UnixStream::connect(&self.0)?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.set_write_timeout(Some(LIMIT))?;
        Ok(stream)
    }

    /// What is answered to this and its end.
    pub(super) fn ask(&self, question: impl AsRef<[u8]>) -> io::Result<Vec<u8>> {
        let mut stream = self.open()?;
        stream.write_all(question.as_ref())?;
        stream.shutdown(Shutdown::Write)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer)
    }

    /// The body of `GET /`.
    pub(super) fn get(&self) -> String {
        let reply = self.ask("GET / HTTP/1.1\r\nHost: lab\r\n\r\n").expect("a reply");
        let reply = String::from_utf8(reply).unwrap();
        reply.split_once("\r\n\r\n").expect("a head").1.to_owned()
    }
}

impl Drop for Path {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// A Unix socket in front of a TCP backend.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) path: Path,
    to: String,
    closing: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Door {
    pub(super) fn to(backend: &str) -> Self {
        let mut door = Self {
            path: Path::new(),
            to: backend.to_owned(),
            closing: Arc::default(),
            thread: None,
        };
        door.open();
        door
    }

    pub(super) fn written(&self) -> String {
        self.path.written()
    }

    pub(super) fn open(&mut self) {
        let _ = fs::remove_file(&self.path.0);
        let listener = UnixListener::bind(&self.path.0).unwrap();
        let (closing, to) = (Arc::new(AtomicBool::new(false)), self.to.clone());
        self.closing = Arc::clone(&closing);
        self.thread = Some(thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                if closing.load(Relaxed) {
                    return;
                }
                if let Ok(far) = TcpStream::connect(&to) {
                    join(near, far);
                }
            }
        }));
    }

    /// Nobody listens any more; the file is left.
    pub(super) fn close(&mut self) {
        self.closing.store(true, Relaxed);
        let _ = UnixStream::connect(&self.path.0);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

/// Copies both ways, each to its end.
fn join(near: UnixStream, far: TcpStream) {
    let (mut from_near, mut to_far) = (near.try_clone().unwrap(), far.try_clone().unwrap());
    let (mut from_far, mut to_near) = (far, near);
    thread::spawn(move || {
        let _ = io::copy(&mut from_near, &mut to_far);
        let _ = to_far.shutdown(Shutdown::Write);
    });
    thread::spawn(move || {
        let _ = io::copy(&mut from_far, &mut to_near);
        let _ = to_near.shutdown(Shutdown::Write);
    });
}

/// A listener at this address over these backends; `listener` and `more` are further lines.
pub(super) fn config(
    address: &str,
    listener: &str,
    backends: &[&str],
    pool: &str,
    more: &str,
) -> String {
    format!(
        "{more}\n[[listeners]]\naddress = \"{address}\"\npool = \"a\"\n{listener}\n\
         [pools.a]\nbackends = {backends:?}\n{pool}\n"
    )
}

/// A proxy that listens on a Unix socket alone.
pub(super) fn start(config: &str) -> Proxy {
    let proxy = Proxy::configured(PROXY, 0, ConfigFile::new(SCRATCH, "unix", config));
    proxy.logged(&["listening on unix:"]);
    proxy
}
