//! A real Redis, balancers that share it, and a time-line.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::ops::Deref;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use equipoise_core::{BackendId, Clock, Instant};
use equipoise_sticky::{SessionKey, TableBuilder, TableConfig};
use equipoise_tokio::sessions::{
    RedisStore, SharedBuilder, SharedConfig, SharedSessions, StoreNotice,
};
use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::sleep;

pub(crate) const MS: Duration = Duration::from_millis(1);
pub(crate) const IDLE: Duration = Duration::from_secs(600);

/// How much longer than its limit something may take on a busy machine.
pub(crate) const MARGIN: Duration = Duration::from_millis(400);

pub(crate) fn key(number: u64) -> SessionKey {
    let mixed = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    SessionKey::from_bytes((mixed ^ mixed >> 32).to_le_bytes())
}

pub(crate) fn backend(number: u64) -> BackendId {
    BackendId::named(&format!("backend-{number}"))
}

/// A real server on a free port, with nothing on the disk unless it is told to. Killed when dropped.
pub(crate) struct Redis {
    child: Child,
    pub(crate) address: SocketAddr,
    directory: TempDir,
    arguments: Vec<String>,
}

impl Redis {
    /// `None`, and words, if there is none.
    pub(crate) fn start() -> Option<Self> {
        Self::start_with(&[])
    }

    pub(crate) fn start_with(arguments: &[&str]) -> Option<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        if !std::env::split_paths(&path).any(|room| room.join("redis-server").is_file()) {
            let required = std::env::var_os("EQUIPOISE_REQUIRE_SERVERS").is_some();
            assert!(!required, "redis-server is not installed");
            println!("skipped: redis-server is not installed (.ci/servers installs it)");
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let arguments: Vec<_> = arguments.iter().map(ToString::to_string).collect();
        let address = free_address();
        let child = spawn(&directory, address, &arguments);
        Some(Self { child, address, directory, arguments }.listening())
    }

    fn listening(mut self) -> Self {
        self.wait_until_it_listens();
        self
    }

    fn wait_until_it_listens(&mut self) {
        let end = tokio::time::Instant::now() + Duration::from_secs(20);
        while !self.try_command("PING").is_ok_and(|reply| !reply.starts_with("-LOADING")) {
            assert_eq!(self.child.try_wait().unwrap(), None, "redis-server ended");
            assert!(tokio::time::Instant::now() < end, "redis-server does not listen");
            std::thread::park_timeout(2 * MS);
        }
    }

    /// After [`kill`](Self::kill), at the same address; with what it has saved.
    pub(crate) fn start_again(&mut self) {
        self.child = spawn(&self.directory, self.address, &self.arguments);
        self.wait_until_it_listens();
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGSTOP, SIGCONT.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    fn try_command(&self, command: &str) -> std::io::Result<String> {
        let mut connection = TcpStream::connect(self.address)?;
        connection.write_all(format!("{command}\r\nQUIT\r\n").as_bytes())?;
        let mut reply = Vec::new();
        connection.read_to_end(&mut reply)?;
        let reply = String::from_utf8_lossy(&reply);
        Ok(reply.strip_suffix("+OK\r\n").unwrap_or(&reply).trim_end().to_owned())
    }

    /// The reply to one command, as Redis writes it.
    pub(crate) fn command(&self, command: &str) -> String {
        self.try_command(command).unwrap()
    }

    /// Sends a command, and reads no more than the first line of its reply: it stops Redis.
    pub(crate) fn order(&self, command: &str) {
        let mut connection = TcpStream::connect(self.address).unwrap();
        connection.write_all(format!("{command}\r\n").as_bytes()).unwrap();
        let mut reply = [0; 5];
        connection.read_exact(&mut reply).unwrap();
        assert_eq!(&reply, b"+OK\r\n");
    }

    /// The number in its reply.
    pub(crate) fn number(&self, command: &str) -> i64 {
        let reply = self.command(command);
        reply.trim_start_matches(':').parse().unwrap_or_else(|_| panic!("{command}: {reply}"))
    }

    /// A value, if there is one.
    pub(crate) fn value(&self, name: &str) -> Option<String> {
        let reply = self.command(&format!("GET {name}"));
        reply.split_once("\r\n").map(|(_, value)| value.to_owned())
    }

    /// Its backend of this session, in the pool "web".
    pub(crate) fn backend(&self, session: u64) -> Option<BackendId> {
        let value = self.value(&name(&key(session)))?;
        let digits = value.strip_prefix("1:")?.get(..16)?;
        Some(BackendId::new(u64::from_str_radix(digits, 16).ok()?))
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}/", self.address)
    }

    pub(crate) fn store(&self) -> RedisStore {
        store(&self.url())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(directory: &TempDir, address: SocketAddr, arguments: &[String]) -> Child {
    Command::new("redis-server")
        .args(["--bind", "127.0.0.1", "--port", &address.port().to_string()])
        .args(["--save", "", "--appendonly", "no"])
        .args(arguments)
        .current_dir(directory.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server starts")
}

/// Free a moment ago; a test that loses the race to somebody else fails to start.
pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

pub(crate) fn store(url: &str) -> RedisStore {
    RedisStore::builder(url).pool("web").build().unwrap()
}

pub(crate) fn name(key: &SessionKey) -> String {
    store("redis://127.0.0.1/").key(key)
}

/// Prints what is done and seen, with the milliseconds since the test began.
#[derive(Clone)]
pub(crate) struct Timeline {
    title: &'static str,
    start: tokio::time::Instant,
}

impl Timeline {
    pub(crate) fn start(title: &'static str) -> Self {
        Self { title, start: tokio::time::Instant::now() }
    }

    pub(crate) fn say(&self, what: impl AsRef<str>) {
        println!("{} {:>6} ms  {}", self.title, self.start.elapsed().as_millis(), what.as_ref());
    }

    pub(crate) fn now(&self) -> Instant {
        Instant::from_nanos(1) + self.start.elapsed()
    }
}

impl Clock for Timeline {
    fn now(&self) -> Instant {
        Timeline::now(self)
    }
}

/// One of several balancers, with its task. They share the clock of the time-line.
pub(crate) struct Balancer {
    pub(crate) sessions: SharedSessions<RedisStore>,
    notices: Arc<Mutex<Vec<StoreNotice>>>,
    timeline: Timeline,
    task: JoinHandle<()>,
}

impl Balancer {
    pub(crate) fn start(
        name: &'static str,
        timeline: &Timeline,
        store: RedisStore,
        config: SharedBuilder,
    ) -> Self {
        Self::with_table(name, timeline, store, config, TableConfig::builder().idle(IDLE))
    }

    pub(crate) fn with_table(
        name: &'static str,
        timeline: &Timeline,
        store: RedisStore,
        config: SharedBuilder,
        table: TableBuilder,
    ) -> Self {
        let notices = Arc::new(Mutex::new(Vec::new()));
        let observer = {
            let (notices, timeline) = (Arc::clone(&notices), timeline.clone());
            move |notice: &StoreNotice| {
                timeline.say(format!("{name}: {notice}"));
                notices.lock().push(notice.clone());
            }
        };
        let config = config.build().unwrap();
        let table = table.build().unwrap();
        let sessions = SharedSessions::new(&table, store, config, 42, timeline.clone(), observer);
        let task = tokio::spawn({
            let sessions = sessions.clone();
            async move { sessions.run().await }
        });
        Self { sessions, notices, timeline: timeline.clone(), task }
    }

    /// One that has reached its store.
    pub(crate) async fn up(
        name: &'static str,
        timeline: &Timeline,
        redis: &Redis,
        config: SharedBuilder,
    ) -> Self {
        let balancer = Self::start(name, timeline, redis.store(), config);
        balancer.until_up().await;
        balancer
    }

    pub(crate) async fn until_up(&self) {
        until("the store to be up", || self.counters().down_since.is_none()).await;
    }

    pub(crate) async fn until_down(&self) {
        until("the store to be down", || self.counters().down_since.is_some()).await;
    }

    pub(crate) async fn until_written(&self) {
        until("the queue to be empty", || self.counters().queued == 0).await;
    }

    pub(crate) async fn find(&self, session: u64) -> Option<BackendId> {
        self.sessions.lookup(&key(session), self.timeline.now()).await
    }

    pub(crate) async fn pin(&self, session: u64, to: u64) -> BackendId {
        self.sessions.bind(&key(session), backend(to), self.timeline.now()).await
    }

    pub(crate) async fn repin(&self, session: u64, from: u64, to: u64) -> BackendId {
        let now = self.timeline.now();
        self.sessions.rebind(&key(session), backend(from), backend(to), now).await
    }

    /// How many notices of this kind came.
    pub(crate) fn told(&self, is: impl Fn(&StoreNotice) -> bool) -> usize {
        self.notices.lock().iter().filter(|notice| is(notice)).count()
    }

    pub(crate) fn last(&self) -> Option<StoreNotice> {
        self.notices.lock().last().cloned()
    }
}

impl Deref for Balancer {
    type Target = SharedSessions<RedisStore>;

    fn deref(&self) -> &Self::Target {
        &self.sessions
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) fn config() -> SharedBuilder {
    SharedConfig::builder()
}

/// Each lookup asks Redis, and waits for it when this machine is busy.
pub(crate) fn wary() -> SharedBuilder {
    config().trust(Duration::ZERO).time_limit(5_000 * MS)
}

/// Waits until it is so.
#[track_caller]
pub(crate) fn until(
    what: &'static str,
    mut is_so: impl FnMut() -> bool,
) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        let end = tokio::time::Instant::now() + Duration::from_secs(20);
        while !is_so() {
            assert!(tokio::time::Instant::now() < end, "{caller}: waited in vain for {what}");
            sleep(MS).await;
        }
    }
}

/// What it gives, and how long it took.
pub(crate) async fn timed<T>(what: impl Future<Output = T>) -> (T, Duration) {
    let start = tokio::time::Instant::now();
    let result = what.await;
    (result, start.elapsed())
}
