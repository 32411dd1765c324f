//! One turn of one proxy: it is started, loaded, measured and stopped.

use std::error::Error;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::l4::child::{Child, cores, pin};
use crate::l4::clients::MESSAGE;
use crate::l4::outcome::{BEGIN, Outcome};
use crate::l4::process::{self, Memory, busy, cpu, memory};
use crate::l4::proxies::Candidate;
use crate::l4::scenario::Scenario;

/// How long a proxy may take until it serves.
const START: Duration = Duration::from_secs(20);
/// From then until it is measured: its first health checks.
const SETTLE: Duration = Duration::from_millis(700);
/// How long load lasts when a backend is killed.
const KILL_SECONDS: u64 = 8;
/// When the backend is killed, and how long it stays dead.
const DEAD: Duration = Duration::from_secs(2);
/// Idle connections, if there are file descriptors for them.
const IDLE: usize = 10_000;
/// What a process needs besides two for each connection.
const OTHER_FILES: usize = 1000;

/// What one turn gave.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// What the load generator has seen.
    pub outcome: Outcome,
    /// Microseconds of the proxy's process tree an operation.
    pub micros: f64,
    /// The part of the machine that others took.
    pub others: f64,
    /// KiB a connection, where they were idle.
    pub memory: Option<Memory>,
}

/// The backends, and where the proxies run.
#[derive(Debug)]
pub struct Stage {
    backends: Vec<Child>,
    ports: [u16; 3],
    proxy_core: usize,
    load_core: usize,
    scratch: PathBuf,
    files: usize,
    seconds: u64,
}

/// A proxy that serves.
struct Running {
    child: Child,
    tcp: u16,
    udp: u16,
}

impl Stage {
    /// Starts the backends. Load lasts so long in each turn.
    ///
    /// # Errors
    /// Of the system.
    pub fn new(seconds: u64) -> io::Result<Self> {
        let files = raise_files();
        let (proxy_core, load_core) = cores()?;
        pin(load_core)?;
        let scratch = std::env::temp_dir().join(format!("equipoise-l4-{}", std::process::id()));
        fs::create_dir_all(&scratch)?;
        let ports = [free_port()?, free_port()?, free_port()?];
        let backends = ports.map(|port| backend(load_core, port));
        let backends = backends.into_iter().collect::<Result<_, _>>()?;
        Ok(Self { backends, ports, proxy_core, load_core, scratch, files, seconds })
    }

    /// As many connections as there can be on which nothing happens.
    pub fn idle(&self) -> usize {
        (self.files.saturating_sub(OTHER_FILES) / 2).clamp(1, IDLE)
    }

    /// The port of a backend at any loopback address.
    pub const fn any_backend(&self) -> u16 {
        self.ports[0]
    }

    /// One turn.
    ///
    /// # Errors
    /// The proxy does not serve, or something of the stage itself has failed.
    pub fn turn(
        &mut self,
        candidate: &Candidate,
        scenario: Scenario,
    ) -> Result<Sample, Box<dyn Error>> {
        let running = self.start(candidate, scenario == Scenario::Udp)?;
        let port = if scenario == Scenario::Udp { running.udp } else { running.tcp };
        let seconds = if scenario == Scenario::Kill { KILL_SECONDS } else { self.seconds };
        let idle_before = memory(running.child.id());
        let mut reading = Reading::take(&running.child);
        let args = scenario.load(self.idle()).args(port, seconds);
        let mut load = Child::role(self.load_core, &args)?;
        if scenario != Scenario::Idle {
            expect(&mut load, |line| (line == BEGIN).then_some(()))?;
            reading = Reading::take(&running.child);
        }
        if scenario == Scenario::Kill {
            sleep(DEAD);
            self.backends[1].kill()?;
            sleep(DEAD);
            self.backends[1] = backend(self.load_core, self.ports[1])?;
        }
        let outcome = expect(&mut load, Outcome::parse)?;
        let (used, others) = reading.since(&running.child);
        if outcome.count == 0.0 {
            return Err("nothing came through".into());
        }
        let memory = (scenario == Scenario::Idle).then(|| {
            sleep(Duration::from_secs(1));
            let now = memory(running.child.id());
            let each = |now: f64, before: f64| (now - before) / outcome.count;
            Memory { pss: each(now.pss, idle_before.pss), rss: each(now.rss, idle_before.rss) }
        });
        Ok(Sample { outcome, micros: used * 1e6 / outcome.count, others, memory })
    }

    fn start(&self, candidate: &Candidate, is_udp: bool) -> Result<Running, Box<dyn Error>> {
        let (tcp, udp) = (free_port()?, free_port()?);
        let fill = |text: &str| {
            let [b1, b2, b3] = self.ports.map(usize::from);
            let connections = self.idle() + 100;
            let values = [
                ("@tcp@", usize::from(tcp)),
                ("@udp@", usize::from(udp)),
                ("@b1@", b1),
                ("@b2@", b2),
                ("@b3@", b3),
                ("@connections@", connections),
                ("@sockets@", 2 * connections),
                ("@files@", self.files),
            ];
            let text = text.replace("@dir@", &self.scratch.display().to_string());
            values.iter().fold(text, |text, (name, value)| text.replace(name, &value.to_string()))
        };
        for (name, text) in &candidate.files {
            fs::write(self.scratch.join(name), fill(text))?;
        }
        let args: Vec<_> = fill(candidate.args).split_whitespace().map(str::to_owned).collect();
        let log = self.scratch.join("log");
        let mut child = Child::program(self.proxy_core, &candidate.program, &args, &log)?;
        let end = Instant::now() + START;
        let port = if is_udp { udp } else { tcp };
        while !serves(port, is_udp) {
            if child.has_ended() || Instant::now() > end {
                let said = fs::read_to_string(&log).unwrap_or_default();
                let last = said.lines().rev().find(|line| !line.is_empty()).unwrap_or("nothing");
                return Err(format!("does not serve; it said last: {last}").into());
            }
            sleep(Duration::from_millis(20));
        }
        sleep(SETTLE);
        Ok(Running { child, tcp, udp })
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // It is in the directory for temporary files.
        let _ = fs::remove_dir_all(&self.scratch);
    }
}

/// Who has been on a core for how long.
struct Reading {
    proxy: f64,
    ours: f64,
    busy: f64,
    at: Instant,
}

impl Reading {
    fn take(proxy: &Child) -> Self {
        let proxy = proxy.cpu();
        Self { proxy, at: Instant::now(), busy: busy(), ours: cpu(std::process::id()) }
    }

    /// The seconds of the proxy since then, and the part of the machine that others took.
    fn since(&self, proxy: &Child) -> (f64, f64) {
        let now = Self::take(proxy);
        let others = (now.busy - self.busy) - (now.ours - self.ours);
        let all = (now.at - self.at).as_secs_f64() * process::cores() as f64;
        (now.proxy - self.proxy, (others / all).clamp(0.0, 1.0))
    }
}

fn expect<T>(load: &mut Child, parse: impl FnOnce(&str) -> Option<T>) -> Result<T, Box<dyn Error>> {
    let line = load.line()?;
    parse(&line).ok_or_else(|| format!("the load generator said: `{line}`").into())
}

fn backend(core: usize, port: u16) -> io::Result<Child> {
    let child = Child::role(core, &["backend".to_owned(), port.to_string()])?;
    let end = Instant::now() + START;
    while !serves(port, false) {
        if Instant::now() > end {
            return Err(io::Error::other(format!("no backend on port {port}")));
        }
        sleep(Duration::from_millis(5));
    }
    Ok(child)
}

/// Whether a message comes back.
fn serves(port: u16, is_udp: bool) -> bool {
    let target = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let limit = Some(Duration::from_millis(300));
    let (message, mut answer) = ([b'e'; MESSAGE], [0; MESSAGE]);
    let mut over_tcp = || {
        let mut stream = TcpStream::connect(target)?;
        stream.set_read_timeout(limit)?;
        stream.write_all(&message)?;
        stream.read_exact(&mut answer)
    };
    let by_udp = || {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.set_read_timeout(limit)?;
        socket.connect(target)?;
        socket.send(&message)?;
        socket.recv(&mut [0; MESSAGE]).map(drop)
    };
    if is_udp { by_udp().is_ok() } else { over_tcp().is_ok() }
}

/// A port that nobody has, for TCP and UDP, and that the system gives to no client.
fn free_port() -> io::Result<u16> {
    use std::sync::atomic::{AtomicU16, Ordering};
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let from = 20_000 + (std::process::id() % 100) as u16 * 100;
    for _ in 0..10_000 {
        let port = from.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed) % 2_000);
        let address = (Ipv4Addr::UNSPECIFIED, port);
        if TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok() {
            return Ok(port);
        }
    }
    Err(io::Error::other("no port is free"))
}

/// As many file descriptors as there may be, and as are needed.
fn raise_files() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let wanted = (2 * IDLE + 2 * OTHER_FILES) as u64;
    let hard = limit.maximum.unwrap_or(u64::MAX);
    for most in [wanted.max(hard), hard] {
        let raised = Rlimit { current: Some(most.min(wanted)), maximum: Some(most) };
        if setrlimit(Resource::Nofile, raised).is_ok() {
            break;
        }
    }
    getrlimit(Resource::Nofile).current.map_or(wanted as usize, |files| files as usize)
}
