//! Flags or a TOML file, checked into settings that can't be wrong.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use clap::Parser;
use proxy_kit::admin::{AdminSection, AdminSettings};
use proxy_kit::flags::Flags;
use proxy_kit::health::HealthSection;
use proxy_kit::settings::{
    PoolSection, PoolSettings, listeners, listeners_from_flags, millis, pool_index,
};
use proxy_kit::{StartError, file};
use serde::Deserialize;

use crate::route::{RouteSection, Routes};
use crate::seen::SIGHT;

/// An HTTP reverse proxy. Without arguments it starts three demo backends and balances over them.
#[derive(Debug, Parser)]
#[command(name = crate::NAME, version)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) flags: Flags,

    /// Balance over three demo backends inside this process
    #[arg(long, conflicts_with_all = ["backend", "config", "check"])]
    demo: bool,
}

impl Cli {
    /// Whether to run the demo: asked for, or nothing else was.
    pub(crate) fn is_demo(&self) -> bool {
        let Flags { listen, backend, config, check, policy: _, key: _, sticky: _, admin: _ } =
            &self.flags;
        let nothing = listen.is_empty() && backend.is_empty() && config.is_none() && !check;
        self.demo || nothing
    }
}

/// Everything that the proxy has to know.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) listeners: Vec<SocketAddr>,
    pub(crate) pools: Vec<PoolSettings>,
    pub(crate) admin: Option<AdminSettings>,
    pub(crate) routes: Routes,
    pub(crate) timeouts: Timeouts,
}

/// How long to wait, for what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    /// For a connection to a backend.
    pub(crate) connect: Duration,
    /// For the head of a request, idle time between requests included.
    pub(crate) request_head: Duration,
    /// For the head of a response, while no part of the request's body moves.
    pub(crate) response_head: Duration,
    /// For requests in flight at shutdown.
    pub(crate) shutdown: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            request_head: Duration::from_secs(30),
            response_head: Duration::from_secs(60),
            shutdown: Duration::from_secs(30),
        }
    }
}

/// Where the proxy listens unless it is told.
pub(crate) const DEFAULT_LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    listeners: Vec<Listener>,
    #[serde(default)]
    pools: BTreeMap<String, PoolSection>,
    #[serde(default)]
    health: HealthSection,
    admin: Option<AdminSection>,
    #[serde(default)]
    routes: Vec<RouteSection>,
    #[serde(default)]
    timeouts: TimeoutSection,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Listener {
    address: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct TimeoutSection {
    connect_ms: Option<u64>,
    request_head_ms: Option<u64>,
    response_head_ms: Option<u64>,
    shutdown_ms: Option<u64>,
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
        Ok(Self {
            listeners: listeners_from_flags(flags, DEFAULT_LISTEN)?,
            pools: vec![PoolSettings::from_flags(flags, SIGHT)?],
            admin: AdminSettings::from_flags(flags)?,
            routes: Routes::all_to_the_first(),
            timeouts: Timeouts::default(),
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
        let listeners = listeners(file.listeners.iter().map(|listener| listener.address.as_str()))?;
        let pools = PoolSettings::all(file.pools, &file.health, SIGHT)?;
        if let Some(pool) = pools.iter().find(|pool| pool.send_proxy().is_some()) {
            let field = format!("pools.{}.send_proxy", pool.name());
            return Err(StartError::new(field, "this proxy does not send the PROXY protocol"));
        }
        let admin = AdminSettings::from_section(file.admin.as_ref())?;
        let routes = match (file.routes.len(), pools.len()) {
            (0, 1) => Routes::all_to_the_first(),
            (0, _) => {
                let wrong = "no routes, but several pools; add [[routes]]";
                return Err(StartError::new("routes", wrong));
            }
            _ => Routes::new(file.routes, |field, name| pool_index(field, name, &pools))?,
        };
        Ok(Self { listeners, pools, admin, routes, timeouts: file.timeouts.check()? })
    }
}

impl TimeoutSection {
    fn check(&self) -> Result<Timeouts, StartError> {
        let default = Timeouts::default();
        Ok(Timeouts {
            connect: millis("timeouts.connect_ms", self.connect_ms, default.connect)?,
            request_head: millis(
                "timeouts.request_head_ms",
                self.request_head_ms,
                default.request_head,
            )?,
            response_head: millis(
                "timeouts.response_head_ms",
                self.response_head_ms,
                default.response_head,
            )?,
            shutdown: millis("timeouts.shutdown_ms", self.shutdown_ms, default.shutdown)?,
        })
    }
}
