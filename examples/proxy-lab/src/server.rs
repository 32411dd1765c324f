//! Servers that nobody here wrote, as processes, and their clients.

use std::ffi::OsStr;
use std::fmt::Debug;
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use crate::{LIMIT, wait};

/// A real server. Killed when dropped.
///
/// Ask [`is_installed`](crate::fleet::is_installed) first.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// The name of the signal that ends it.
    end: &'static str,
}

impl Server {
    /// Starts it, and waits until `ready` holds. `end` is the signal that kills it: `KILL`, or another one if
    /// it has to end processes of its own.
    ///
    /// # Panics
    /// If it does not start, ends, or is not ready in time.
    pub fn start(
        command: &mut Command,
        end: &'static str,
        mut ready: impl FnMut() -> bool,
    ) -> Self {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        let child = child.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let mut server = Self { child, end };
        // A database takes its time.
        wait::within(3 * LIMIT, &format!("{:?} to be ready", command.get_program()), || {
            if let Some(status) = server.child.try_wait().expect("a status") {
                panic!("{command:?} ended: {status}");
            }
            ready().then_some(())
        });
        server
    }

    /// As [`start`](Self::start), until somebody listens there.
    pub fn listening(command: &mut Command, end: &'static str, address: SocketAddr) -> Self {
        Self::start(command, end, || TcpStream::connect(address).is_ok())
    }

    fn end(&mut self) {
        // One that has ended has no number any more: it may be another's.
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = send_signal(self.child.id(), self.end);
        }
        for _ in 0..500 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            wait::pause(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// Sends a signal by its name, such as `INT`, to a process; whether there was one to send it to.
///
/// # Panics
/// If there is no `kill`.
pub fn send_signal(process: u32, name: &str) -> bool {
    let mut kill = Command::new("kill");
    let status =
        kill.args([format!("-{name}"), process.to_string()]).stderr(Stdio::null()).status();
    status.expect("kill runs").success()
}

/// Runs a client to its end, with this on its standard input. It is ended when it takes too long, by
/// `timeout` (coreutils).
///
/// # Panics
/// If it does not start.
pub fn output_of(program: &str, args: &[impl AsRef<OsStr> + Debug], input: &str) -> Output {
    let limit = LIMIT.as_secs().to_string();
    let mut child = Command::new("timeout")
        .args([&limit, program])
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("timeout starts");
    let mut pipe = child.stdin.take().expect("a pipe");
    let input = input.to_owned();
    // Its output would fill a pipe that nobody reads, if it had not read all of this first. It may end before.
    let writer = thread::spawn(move || drop(pipe.write_all(input.as_bytes())));
    let output = child.wait_with_output().expect("its output");
    writer.join().expect("a writer");
    output
}

/// What a client writes on the standard output, when all goes well.
///
/// # Panics
/// If it fails; says what it wrote on the standard error.
pub fn text_of(program: &str, args: &[impl AsRef<OsStr> + Debug], input: &str) -> String {
    let output = output_of(program, args, input);
    let errors = String::from_utf8_lossy(&output.stderr);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{program} {args:?}: {}\n{errors}\n{text}", output.status);
    text.into_owned()
}
