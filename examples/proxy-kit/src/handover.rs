//! One process takes the place of another, with its sockets: no connection is refused meanwhile.
//!
//! It is done as systemd does it, so both ends work with systemd too: the sockets are passed by
//! `LISTEN_FDS` (`sd_listen_fds(3)`), and the new process says by `NOTIFY_SOCKET` that it serves
//! (`sd_notify(3)`). Until it says so the old one goes on.

use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Duration;

use std::os::fd::{BorrowedFd, OwnedFd};

use command_fds::{CommandFdExt, FdMapping};
use sd_notify::NotifyState;
use tokio::net::UnixDatagram;
use tokio::time::{Instant, sleep};

use crate::{StartError, log};

/// The first descriptor that is passed.
const FIRST: i32 = 3;

/// How long the new process may take until it serves.
const LIMIT: Duration = Duration::from_secs(60);

/// How often is looked whether it has ended.
const LOOK: Duration = Duration::from_millis(20);

/// Says that this process serves, to whoever wants to know.
pub(crate) fn say_ready(program: &str) {
    if let Err(error) = sd_notify::notify(&[NotifyState::Ready]) {
        log::warn(format_args!("{program}: NOTIFY_SOCKET: {error}"));
    }
}

/// Starts the program anew, with its arguments as they are and these sockets, and waits until it
/// serves. Says which process it is.
///
/// # Errors
/// It can't be started, has ended, or does not serve in a minute; then it is ended.
pub(crate) async fn hand_over(sockets: Vec<BorrowedFd<'_>>) -> Result<u32, StartError> {
    let heard = Heard::new()?;
    let mut child = Kept(Some(start(&sockets, &heard)?));
    let deadline = Instant::now() + LIMIT;
    let mut said = [0; 256];
    loop {
        tokio::select! {
            received = heard.socket.recv(&mut said) => {
                let wrong = |error| StartError::new("NOTIFY_SOCKET", error);
                let length = received.map_err(wrong)?;
                if said[..length].split(|byte| *byte == b'\n').any(|line| line == b"READY=1") {
                    return Ok(child.let_go());
                }
            }
            () = sleep(LOOK) => {
                child.is_running()?;
                if Instant::now() > deadline {
                    return Err(StartError::plain("the new process does not serve in a minute"));
                }
            }
        }
    }
}

fn start(sockets: &[BorrowedFd<'_>], heard: &Heard) -> Result<Child, StartError> {
    let mut args = std::env::args_os();
    let program = args.next().ok_or_else(|| StartError::plain("this program has no name"))?;
    let mut mappings = Vec::new();
    for (child_fd, socket) in (FIRST..).zip(sockets) {
        let wrong = |error| StartError::new("a socket", error);
        let parent_fd: OwnedFd = socket.try_clone_to_owned().map_err(wrong)?;
        mappings.push(FdMapping { parent_fd, child_fd });
    }
    let mut command = Command::new(&program);
    command
        .args(args)
        .env("LISTEN_FDS", sockets.len().to_string())
        .env_remove("LISTEN_PID")
        .env_remove("LISTEN_FDNAMES")
        .env("NOTIFY_SOCKET", &heard.path)
        .fd_mappings(mappings)
        .map_err(StartError::plain)?;
    command.spawn().map_err(|error| StartError::new(program.display(), error))
}

/// Where the new process says that it serves.
struct Heard {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Heard {
    fn new() -> Result<Self, StartError> {
        let random = getrandom::u64().map_err(|error| StartError::new("randomness", error))?;
        let path = std::env::temp_dir().join(format!("equipoise-{random:016x}"));
        let socket =
            UnixDatagram::bind(&path).map_err(|error| StartError::new(path.display(), error))?;
        Ok(Self { socket, path })
    }
}

impl Drop for Heard {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A process that is ended unless it is let go.
struct Kept(Option<Child>);

impl Kept {
    fn is_running(&mut self) -> Result<(), StartError> {
        let Some(child) = &mut self.0 else { return Ok(()) };
        match child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => {
                self.0 = None;
                Err(StartError::new("the new process has ended", status))
            }
            Err(error) => Err(StartError::new("the new process", error)),
        }
    }

    fn let_go(mut self) -> u32 {
        self.0.take().map_or(0, |child| child.id())
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
