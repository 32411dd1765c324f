//! The demo backend as a process: it is broken by request, or as a process is.

use std::env;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use parking_lot::Mutex;

use crate::client::{Connection, Reply};
use crate::process::Proxy;

/// A running `demo-backend`. Killed when dropped.
#[derive(Debug)]
pub struct Demo {
    program: PathBuf,
    process: Option<Proxy>,
    database: PathBuf,
    /// Where the login app's sessions are, if not where they are by default.
    sessions: Option<String>,
    /// What it calls itself.
    pub name: &'static str,
    /// `127.x.y.z:port`, the same over every restart.
    pub address: String,
}

impl Demo {
    /// Starts one with a database of its own. `proxy` is the path of the proxy under test, beside which
    /// the demo backend is built; `scratch` is a directory for the database.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start(proxy: &str, scratch: &str, name: &'static str) -> Self {
        let mut demo = Self::prepared(proxy, scratch, name);
        demo.restart();
        demo
    }

    /// As [`start`](Self::start), with the login app's sessions there: `redis://HOST:PORT`, or `memory` as without.
    ///
    /// # Panics
    /// If it does not start.
    pub fn with_sessions(proxy: &str, scratch: &str, name: &'static str, sessions: &str) -> Self {
        let mut demo = Self::prepared(proxy, scratch, name);
        demo.sessions = Some(sessions.to_owned());
        demo.restart();
        demo
    }

    /// Several, over one database.
    ///
    /// # Panics
    /// If one does not start.
    pub fn sharing<const N: usize>(
        proxy: &str,
        scratch: &str,
        names: [&'static str; N],
    ) -> [Self; N] {
        let mut demos = names.map(|name| Self::prepared(proxy, scratch, name));
        let database = demos[0].database.clone();
        for demo in &mut demos {
            demo.database.clone_from(&database);
            demo.restart();
        }
        demos
    }

    /// One that does not run yet: connections to it are refused until [`restart`](Self::restart).
    pub fn prepared(proxy: &str, scratch: &str, name: &'static str) -> Self {
        let address = own_address();
        let file = format!("{}-{}.db", std::process::id(), address.replace([':', '.'], "-"));
        let database = PathBuf::from(scratch).join(file);
        Self {
            program: beside(proxy, "demo-backend", "demo-backend"),
            process: None,
            database,
            sessions: None,
            name,
            address,
        }
    }

    /// Kills it with SIGKILL, as the kernel does when memory is short.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Starts it again, at its address.
    ///
    /// # Panics
    /// If it does not start.
    pub fn restart(&mut self) {
        let database = format!("sqlite:{}", self.database.display());
        let mut args =
            vec!["--listen", &self.address, "--name", self.name, "--database", &database];
        args.extend(self.sessions.iter().flat_map(|sessions| ["--sessions", sessions]));
        self.process = Some(Proxy::start(&self.program.to_string_lossy(), 1, args));
    }

    /// Sends a signal by its name: `STOP` makes it hang, `CONT` lets it go on.
    ///
    /// # Panics
    /// If it does not run.
    pub fn signal(&self, name: &str) {
        self.process.as_ref().expect("it runs").signal(name);
    }

    /// `POST /break/{what}`.
    ///
    /// # Panics
    /// If it is not broken then.
    pub fn break_it(&self, what: &str) {
        self.post(&format!("/break/{what}"));
    }

    /// `POST /mend`.
    ///
    /// # Panics
    /// If it is not mended then.
    pub fn mend(&self) {
        self.post("/mend");
    }

    /// `POST /drain`: `/ready` says no from then on.
    ///
    /// # Panics
    /// If it does not.
    pub fn drain(&self) {
        self.post("/drain");
    }

    /// How many requests of clients it has got since its start.
    ///
    /// # Panics
    /// If it does not say so.
    pub fn served(&self) -> u32 {
        self.get("/served").text().trim().parse().expect("a number")
    }

    /// A GET that goes to it without the proxy.
    pub fn get(&self, path: &str) -> Reply {
        crate::client::get(self.address.parse().expect("an address"), path)
    }

    fn post(&self, path: &str) {
        let request = format!("POST {path} HTTP/1.1\r\nHost: lab\r\nContent-Length: 0\r\n\r\n");
        let reply = Connection::open(self.address.parse().expect("an address")).request(request);
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        self.kill();
        for end in ["", ".taken-away", "-journal", "-wal", "-shm"] {
            let _ = fs::remove_file(format!("{}{end}", self.database.display()));
        }
    }
}

/// A free port on an address that nobody else has, and that no connection goes out from: whoever comes back
/// there finds it free.
///
/// # Panics
/// If there is no free port.
pub fn own_address() -> String {
    let listener = TcpListener::bind((own_ip(), 0)).expect("a free port");
    listener.local_addr().expect("an address").to_string()
}

/// An address of the loopback that no other test has.
pub fn own_ip() -> std::net::Ipv4Addr {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let [.., high, low] = std::process::id().to_be_bytes();
    let made = MADE.fetch_add(1, Relaxed);
    // 127.128.0.0 and up, which the clients of the fleet don't need.
    let last = u8::try_from(made % 250 + 2).expect("at most 251");
    std::net::Ipv4Addr::new(127, 128 | high, low, last)
}

/// A program beside the proxy. Cargo builds those of other packages only if it is asked to.
pub(crate) fn beside(proxy: &str, package: &str, program: &str) -> PathBuf {
    // One at a time.
    static BUILDS: Mutex<()> = Mutex::new(());
    let _one = BUILDS.lock();
    let path = Path::new(proxy).with_file_name(program);
    if !path.is_file() {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let profile = match Path::new(proxy).parent().and_then(Path::file_name) {
            Some(name) if name != "debug" => name.to_string_lossy().into_owned(),
            _ => "dev".to_owned(),
        };
        let args = ["build", "--quiet", "--package", package, "--profile", &profile];
        let status = Command::new(cargo).args(args).status().expect("cargo runs");
        assert!(status.success() && path.is_file(), "{} can't be built", path.display());
    }
    path
}
