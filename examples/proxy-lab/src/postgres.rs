//! A PostgreSQL server, as a process.

use std::env;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::backend::free_address;
use crate::fleet::is_installed;
use crate::server::{Server, output_of};

/// A real server on a port of its own, with a directory of its own that is removed with it. Killed when
/// dropped.
///
/// Ask [`are_installed`] first.
#[derive(Debug)]
pub struct Postgres {
    server: Option<Server>,
    programs: PathBuf,
    directory: PathBuf,
    /// Its `cluster_name`.
    pub name: &'static str,
    /// Where it listens, the same over every restart.
    pub address: SocketAddr,
}

/// Whether there are a PostgreSQL server and `psql`. Says so if there are not.
///
/// # Panics
/// As [`is_installed`].
pub fn are_installed() -> bool {
    is_installed("psql") && (programs().is_some() || is_installed("initdb"))
}

/// Where `initdb` and `postgres` are. Debian keeps them off the path, one directory a version.
fn programs() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut rooms: Vec<_> = versions.map(|version| version.path().join("bin")).collect();
    rooms.sort();
    rooms.extend(env::split_paths(&path));
    rooms.into_iter().find(|room| room.join("initdb").is_file() && room.join("postgres").is_file())
}

impl Postgres {
    /// Starts servers of these names, which know nothing of each other. Their user `postgres` needs no password.
    ///
    /// # Panics
    /// If one does not start.
    pub fn start<const N: usize>(names: [&'static str; N]) -> [Self; N] {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let programs = programs().expect("initdb and postgres");
        let mut first: Option<PathBuf> = None;
        names
            .map(|name| {
                let made = MADE.fetch_add(1, Relaxed);
                // Where their user may write, too.
                let directory = env::temp_dir()
                    .join(format!("proxy-lab-postgres-{}-{made}", std::process::id()));
                match &first {
                    None => initialise(&programs, &directory),
                    Some(first) => copy(first, &directory),
                }
                first.get_or_insert_with(|| directory.clone());
                let address = free_address().parse().expect("an address");
                let programs = programs.clone();
                Self { server: None, programs, directory, name, address }
            })
            .map(|mut server| {
                server.restart();
                server
            })
    }

    /// Ends it at once, as a crash does: what is open is cut, and nothing is written.
    pub fn kill(&mut self) {
        self.server = None;
    }

    /// Starts it again, at its address and with what it had, after [`kill`](Self::kill).
    ///
    /// # Panics
    /// If it does not start.
    pub fn restart(&mut self) {
        let mut command = as_their_user(&self.programs.join("postgres"));
        command.arg("-D").arg(&self.directory).args(["-p", &self.address.port().to_string()]);
        for setting in [
            &format!("cluster_name={}", self.name),
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "shared_buffers=16MB",
            "fsync=off",
            "log_min_messages=panic",
        ] {
            command.args(["-c", setting]);
        }
        command.current_dir("/").stderr(Stdio::null());
        let address = self.address;
        // The first process ends its others by SIGQUIT; SIGKILL would leave them, and their memory.
        let server = Server::start(&mut command, "QUIT", || {
            output_of("psql", &psql(address, &["-c", "select 1"]), "").status.success()
        });
        self.server = Some(server);
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// The arguments of `psql` for the server at this address: no settings of the user's, values without titles and
/// frames, an exit at the first error.
pub fn psql(address: SocketAddr, args: &[&str]) -> Vec<String> {
    let uri = format!("postgresql://postgres@{address}/postgres?connect_timeout=5");
    let quiet = ["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-d", &uri];
    quiet.iter().chain(args).map(|&arg| arg.to_owned()).collect()
}

/// PostgreSQL does not run as root: who is root becomes `postgres`.
fn as_their_user(program: &Path) -> Command {
    let is_root = output_of("id", &["-u"], "").stdout == b"0\n";
    if !is_root {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]).arg(program);
    command
}

fn initialise(programs: &Path, directory: &Path) {
    let mut command = as_their_user(&programs.join("initdb"));
    command.arg("-D").arg(directory).current_dir("/");
    command.args([
        "--no-sync",
        "--auth=trust",
        "--username=postgres",
        "--locale=C",
        "--encoding=UTF8",
    ]);
    let output = command.output().expect("initdb starts");
    assert!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").args([from, to]).status().expect("cp starts");
    assert!(status.success());
}
