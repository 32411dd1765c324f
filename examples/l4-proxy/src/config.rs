//! Flags or a TOML file, checked into settings that can't be wrong.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::time::Duration;

use clap::Parser;
use equipoise_tokio::proxy_protocol::Receiver;
use equipoise_tokio::queue::QueueConfig;
use equipoise_tokio::relay;
use equipoise_tokio::socket::StreamAddr;
use proxy_kit::admin::{AdminSection, AdminSettings};
use proxy_kit::flags::Flags;
use proxy_kit::health::HealthSection;
use proxy_kit::keepalive::KeepaliveSection;
use proxy_kit::log::{LogSection, Logged};
use proxy_kit::proxy_protocol::Receive;
use proxy_kit::settings::{
    PoolSection, PoolSettings, listen_addresses, listeners, listeners_from_flags, millis,
    pool_index,
};
use proxy_kit::tls::{ServerSection, ServerSettings};
use proxy_kit::{StartError, file};
use serde::Deserialize;
use socket2::TcpKeepalive;

use crate::routes::{RouteSection, Routes};
use crate::seen::SIGHT;
use crate::udp_listener::{UdpListener, UdpSection};

/// A load balancer of TCP, Unix sockets and UDP. UDP, TLS, the PROXY protocol and limits are for --config.
#[derive(Debug, Parser)]
#[command(name = crate::NAME, version)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) flags: Flags,
}

/// Everything that the proxy has to know.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) listeners: Vec<Listener>,
    pub(crate) udp: Vec<UdpListener>,
    pub(crate) pools: Vec<PoolSettings>,
    pub(crate) admin: Option<AdminSettings>,
    /// Threads that serve connections by themselves; none if all threads share all of them.
    pub(crate) workers: usize,
    /// How many connections there may be at a time, if that is limited.
    pub(crate) max_connections: Option<usize>,
    pub(crate) serving: Serving,
}

/// How connections are served.
#[derive(Clone, Debug, Default)]
pub(crate) struct Serving {
    pub(crate) timeouts: Timeouts,
    /// How those on which nothing happens are probed, if they are.
    pub(crate) keepalive: Option<TcpKeepalive>,
    /// Which of them have a line in the log.
    pub(crate) logged: Logged,
}

/// Where to listen, and the indexes of the pools that take what comes.
#[derive(Clone, Debug)]
pub(crate) struct Listener {
    pub(crate) address: StreamAddr,
    pub(crate) pool: usize,
    /// Which connections another pool takes.
    pub(crate) routes: Routes,
    /// How TLS ends here; without it, it passes through.
    pub(crate) tls: Option<ServerSettings>,
    /// How the PROXY protocol is received, if it is.
    pub(crate) receiver: Option<Receiver>,
}

/// How long to wait, for what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    /// For a connection to a backend.
    pub(crate) connect: Duration,
    /// For a client's ClientHello, where the pool picks by it or a route asks for it.
    pub(crate) first_bytes: Duration,
    /// For a client's handshake, where TLS ends here.
    pub(crate) tls_handshake: Duration,
    /// For a client's preamble, where the listener takes the PROXY protocol.
    pub(crate) proxy_protocol: Duration,
    /// For what passes, and does not pass, between a client and its backend.
    pub(crate) relay: relay::Limits,
    /// For open connections at shutdown.
    pub(crate) shutdown: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let two = Duration::from_secs(2);
        let ten = Duration::from_secs(10);
        Self {
            connect: two,
            first_bytes: two,
            tls_handshake: ten,
            // A packet with the preamble may be lost, says the specification.
            proxy_protocol: Duration::from_secs(3),
            relay: relay::Limits::default(),
            shutdown: ten * 3,
        }
    }
}

/// Where the proxy listens unless it is told.
const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

/// More threads than any machine has cores for are a mistake.
const MAX_WORKERS: usize = 1024;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    workers: u16,
    #[serde(default)]
    listeners: Vec<ListenerSection>,
    #[serde(default)]
    udp: Vec<UdpSection>,
    #[serde(default)]
    pools: BTreeMap<String, PoolSection>,
    #[serde(default)]
    health: HealthSection,
    admin: Option<AdminSection>,
    #[serde(default)]
    timeouts: TimeoutSection,
    #[serde(default)]
    limits: LimitSection,
    #[serde(default)]
    log: LogSection,
    keepalive: Option<KeepaliveSection>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitSection {
    max_connections: Option<NonZeroUsize>,
    queue: Option<usize>,
    queue_ms: Option<u64>,
}

impl LimitSection {
    /// How connections of a pool wait while all of its backends are full.
    fn queue(&self) -> Result<QueueConfig, StartError> {
        let wait = millis("limits.queue_ms", self.queue_ms, Duration::from_secs(1))?;
        Ok(QueueConfig { max: self.queue.unwrap_or(0), wait })
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListenerSection {
    address: String,
    pool: String,
    #[serde(default)]
    routes: Vec<RouteSection>,
    tls: Option<ServerSection>,
    #[serde(default)]
    proxy_protocol: Receive,
    #[serde(default)]
    trusted: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct TimeoutSection {
    connect_ms: Option<u64>,
    first_bytes_ms: Option<u64>,
    tls_handshake_ms: Option<u64>,
    idle_ms: Option<u64>,
    half_closed_ms: Option<u64>,
    connection_ms: Option<u64>,
    proxy_protocol_ms: Option<u64>,
    shutdown_ms: Option<u64>,
}

/// A limit that need not be.
fn limit(field: &str, given: Option<u64>) -> Result<Option<Duration>, StartError> {
    given.map(|ms| millis(field, Some(ms), Duration::ZERO)).transpose()
}

impl Settings {
    /// From the flags, or from the file that they name.
    pub(crate) fn load(flags: &Flags) -> Result<Self, StartError> {
        match &flags.config {
            Some(path) => Self::from_text(&path.display().to_string(), &file::read(path)?),
            None => Self::from_flags(flags),
        }
    }

    fn from_flags(flags: &Flags) -> Result<Self, StartError> {
        let addresses = listeners_from_flags(flags, DEFAULT_LISTEN)?;
        let listeners = addresses.into_iter().map(|address| Listener {
            address: address.into(),
            pool: 0,
            routes: Routes::default(),
            tls: None,
            receiver: None,
        });
        Ok(Self {
            listeners: listeners.collect(),
            udp: Vec::new(),
            pools: vec![PoolSettings::from_flags(flags, SIGHT)?],
            admin: AdminSettings::from_flags(flags)?,
            workers: 0,
            max_connections: None,
            serving: Serving::default(),
        })
    }

    /// From the text of a file, which errors call `name`.
    pub(crate) fn from_text(name: &str, text: &str) -> Result<Self, StartError> {
        let settings = Self::check(file::parse(name, text)?);
        let mut settings = settings.map_err(|error| StartError::new(name, error))?;
        PoolSettings::remember(&mut settings.pools, text);
        Ok(settings)
    }

    fn check(file: File) -> Result<Self, StartError> {
        let addresses = file.listeners.iter().map(|listener| listener.address.as_str());
        // Either will do.
        let addresses = match file.udp.is_empty() {
            true => listeners(addresses)?,
            false => listen_addresses("listeners", addresses)?,
        };
        let mut pools = PoolSettings::all(file.pools, &file.health, SIGHT)?;
        let queue = file.limits.queue()?;
        pools.iter_mut().for_each(|pool| pool.set_queue(queue));
        let admin = AdminSettings::from_section(file.admin.as_ref())?;
        let default = Timeouts::default();
        let given = file.timeouts;
        let timeouts = Timeouts {
            connect: millis("timeouts.connect_ms", given.connect_ms, default.connect)?,
            first_bytes: millis(
                "timeouts.first_bytes_ms",
                given.first_bytes_ms,
                default.first_bytes,
            )?,
            tls_handshake: millis(
                "timeouts.tls_handshake_ms",
                given.tls_handshake_ms,
                default.tls_handshake,
            )?,
            proxy_protocol: millis(
                "timeouts.proxy_protocol_ms",
                given.proxy_protocol_ms,
                default.proxy_protocol,
            )?,
            relay: relay::Limits {
                idle: limit("timeouts.idle_ms", given.idle_ms)?,
                half_closed: limit("timeouts.half_closed_ms", given.half_closed_ms)?,
                total: limit("timeouts.connection_ms", given.connection_ms)?,
            },
            shutdown: millis("timeouts.shutdown_ms", given.shutdown_ms, default.shutdown)?,
        };
        let mut listeners = Vec::new();
        for (index, (section, address)) in file.listeners.iter().zip(addresses).enumerate() {
            let at = format!("listeners[{index}]");
            let pool = pool_index(&format!("{at}.pool"), &section.pool, &pools)?;
            let routes = Routes::new(&at, &section.routes, &pools)?;
            let tls = section.tls.as_ref();
            let tls = tls.map(|tls| ServerSettings::new(&format!("{at}.tls"), tls)).transpose()?;
            let limit = timeouts.proxy_protocol;
            let receiver = section.proxy_protocol.receiver(&at, &section.trusted, limit)?;
            listeners.push(Listener { address, pool, routes, tls, receiver });
        }
        let max_connections = file.limits.max_connections.map(NonZeroUsize::get);
        let udp = UdpListener::all(&file.udp, &pools)?;
        let keepalive = file.keepalive.map(KeepaliveSection::check).transpose()?;
        let serving = Serving { timeouts, keepalive, logged: file.log.connections };
        let workers = usize::from(file.workers);
        if workers > MAX_WORKERS {
            let why = format!("{workers} is out of range: 0 to {MAX_WORKERS} are allowed");
            return Err(StartError::new("workers", why));
        }
        Ok(Self { listeners, udp, pools, admin, workers, max_connections, serving })
    }
}
