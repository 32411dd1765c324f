//! The proxy under test, as a process.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread;

use parking_lot::Mutex;

use crate::table::ConfigFile;
use crate::usage::Usage;
use crate::wait;

/// A running proxy. Killed when dropped.
#[derive(Debug)]
pub struct Proxy {
    child: Child,
    /// Where it listens, in the order of its configuration.
    pub addresses: Vec<SocketAddr>,
    output: Lines,
    errors: Lines,
    /// There as long as it runs.
    config: Option<ConfigFile>,
}

/// Lines that a process has written so far.
pub(crate) type Lines = Arc<Mutex<Vec<String>>>;

impl Proxy {
    /// Starts it and waits until it listens on `listeners` addresses.
    ///
    /// # Panics
    /// If it does not.
    pub fn start<S: AsRef<OsStr>>(
        program: &str,
        listeners: usize,
        args: impl IntoIterator<Item = S>,
    ) -> Self {
        let mut child = Command::new(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the proxy starts");
        let output = collect(child.stdout.take());
        let errors = collect(child.stderr.take());
        let config = None;
        let mut proxy = Self { child, addresses: Vec::new(), output, errors, config };
        proxy.addresses = wait::for_some("the proxy to listen", || {
            if let Some(status) = proxy.child.try_wait().expect("a status") {
                panic!("the proxy ended: {status}, {:?}", proxy.errors.lock());
            }
            let addresses: Vec<_> =
                proxy.output.lock().iter().filter_map(|line| listening(line)).collect();
            (addresses.len() == listeners).then_some(addresses)
        });
        proxy
    }

    /// Starts it with this configuration, and keeps the file, which it may read again.
    pub fn configured(program: &str, listeners: usize, config: ConfigFile) -> Self {
        let mut proxy = Self::start(program, listeners, ["--config", config.path()]);
        proxy.config = Some(config);
        proxy
    }

    /// Starts it on a free port, over these backends; `more` are further arguments.
    pub fn over<S: AsRef<str>>(program: &str, backends: &[S], more: &[&str]) -> Self {
        let mut args = vec!["--listen", "127.0.0.1:0"];
        for backend in backends {
            args.extend(["--backend", backend.as_ref()]);
        }
        args.extend(more);
        Self::start(program, 1, args)
    }

    /// Its first address.
    pub fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// What it wrote on the standard output so far.
    pub fn output(&self) -> Vec<String> {
        self.output.lock().clone()
    }

    /// The standard output, as it grows.
    pub(crate) fn lines(&self) -> Lines {
        Arc::clone(&self.output)
    }

    /// What it wrote on the standard error so far.
    pub fn errors(&self) -> Vec<String> {
        self.errors.lock().clone()
    }

    /// Waits for a line of the log that has all these pieces.
    pub fn logged(&self, pieces: &[&str]) -> String {
        wait::for_some(&format!("a log line with {pieces:?}"), || {
            let has_all = |line: &&String| pieces.iter().all(|piece| line.contains(piece));
            self.output.lock().iter().find(has_all).cloned()
        })
    }

    /// Sends a signal by its name, such as `TERM`.
    ///
    /// # Panics
    /// If it can't be sent.
    pub fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// The number of its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it has no more descriptors than it had at rest, but for those of the pipes that a relay keeps for
    /// its next large transfers.
    pub fn closes_all_but(&self, before: &Usage) {
        const IDLE_PIPES: usize = 2 * 32;
        wait::until("all descriptors to be closed", || {
            let now = Usage::at_rest(self.id());
            now.descriptors <= before.descriptors && now.pipes <= before.pipes + IDLE_PIPES
        });
    }

    /// Waits until the standard error has a line with this.
    pub fn complained(&self, piece: &str) {
        wait::until(&format!("an error line with {piece:?}"), || {
            self.errors.lock().iter().any(|line| line.contains(piece))
        });
    }

    /// How many lines with this it wrote on the standard output so far.
    pub fn times_logged(&self, piece: &str) -> usize {
        self.output.lock().iter().filter(|line| line.contains(piece)).count()
    }

    /// Waits for its end.
    pub fn ended(&mut self) -> ExitStatus {
        let child = &mut self.child;
        wait::for_some("the proxy to end", || child.try_wait().expect("a status"))
    }

    /// Whether it runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a status").is_none()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a program that ends by itself: exit code, standard output, standard error.
///
/// # Panics
/// If it does not end in time, or was killed.
pub fn run<S: AsRef<OsStr>>(
    program: &str,
    args: impl IntoIterator<Item = S>,
) -> (i32, String, String) {
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let (output, errors) = (collect(child.stdout.take()), collect(child.stderr.take()));
    let config = None;
    let mut running = Proxy { child, addresses: Vec::new(), output, errors, config };
    let code = running.ended().code().expect("an exit code");
    // The readers may be a line behind: they are done when nobody else holds the lines.
    let text = |lines: &Lines| {
        wait::until("the output to end", || Arc::strong_count(lines) == 1);
        lines.lock().iter().map(|line| line.clone() + "\n").collect()
    };
    (code, text(&running.output), text(&running.errors))
}

/// Sends a signal to a process.
pub(crate) fn signal(process: u32, name: &str) {
    let status = Command::new("kill")
        .args([format!("-{name}"), process.to_string()])
        .status()
        .expect("kill runs");
    assert!(status.success());
}

pub(crate) fn collect(pipe: Option<impl Read + Send + 'static>) -> Lines {
    let lines = Lines::default();
    let collected = Arc::clone(&lines);
    let pipe = BufReader::new(pipe.expect("a pipe"));
    thread::spawn(move || {
        for line in pipe.lines().map_while(Result::ok) {
            collected.lock().push(line);
        }
    });
    lines
}

fn listening(line: &str) -> Option<SocketAddr> {
    line.split_once("listening on ")?.1.parse().ok()
}
