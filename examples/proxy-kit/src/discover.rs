//! `[pools.NAME.discover]`: who the backends are, from a file or a name server.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use equipoise_tokio::discovery::{
    AddressFamily, Discover, DiscoveryError, Dns, DnsBuilder, EmptyUpdate, FileWatch, Guard,
    GuardSettings, Guarded,
};
use serde::Deserialize;

use crate::StartError;
use crate::backend::Address;

/// `[pools.NAME.discover]`, as it is written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiscoverSection {
    file: Option<PathBuf>,
    dns: Option<String>,
    srv: Option<String>,
    interval_ms: Option<u64>,
    servers: Option<Vec<String>>,
    min_ttl_ms: Option<u64>,
    max_ttl_ms: Option<u64>,
    family: Option<Family>,
    empty: Option<Empty>,
    min_percent: Option<u8>,
    max_hold_ms: Option<u64>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Family {
    Both,
    V4,
    V6,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Empty {
    KeepLast,
    Accept,
}

/// Where a pool's backends come from, if they are not listed.
#[derive(Clone, Debug)]
pub struct Discovery {
    at: String,
    /// `file`, `dns` or `srv`.
    name: &'static str,
    source: Source,
    guard: GuardSettings,
}

#[derive(Clone, Debug)]
enum Source {
    File { path: PathBuf, interval: Option<Duration> },
    Dns(DnsBuilder),
}

impl Discovery {
    /// Checks a section that is written at `at`: `pools.web.discover`. Reads and asks nothing.
    ///
    /// # Errors
    /// Not exactly one source; a setting that its source does not have, or that is out of range.
    pub fn new(at: &str, section: &DiscoverSection) -> Result<Self, StartError> {
        let wrong = |name: &str, wrong: String| Err(StartError::new(format!("{at}.{name}"), wrong));
        let sources = [
            ("file", section.file.is_some()),
            ("dns", section.dns.is_some()),
            ("srv", section.srv.is_some()),
        ];
        let mut given = sources.iter().filter(|(_, is_given)| *is_given).map(|(name, _)| *name);
        let Some(source_name) = given.next() else {
            let missing = "no source; give `file`, `dns` or `srv`";
            return Err(StartError::new(at, missing));
        };
        if let Some(other) = given.next() {
            return wrong(
                other,
                format!("`{source_name}` is given as well; a pool has one source"),
            );
        }
        let settings: [(&str, bool, &[&str]); 5] = [
            ("interval_ms", section.interval_ms.is_some(), &["file"]),
            ("servers", section.servers.is_some(), &["dns", "srv"]),
            ("min_ttl_ms", section.min_ttl_ms.is_some(), &["dns", "srv"]),
            ("max_ttl_ms", section.max_ttl_ms.is_some(), &["dns", "srv"]),
            ("family", section.family.is_some(), &["dns", "srv"]),
        ];
        for (name, is_given, with) in settings {
            if is_given && !with.contains(&source_name) {
                let with = with.join(", ");
                return wrong(name, format!("not with `{source_name}`; it goes with {with}"));
            }
        }
        let source = if let Some(path) = &section.file {
            let interval = section.interval_ms.map(Duration::from_millis);
            Source::File { path: path.clone(), interval }
        } else {
            Source::Dns(section.dns(at)?)
        };
        let discovery =
            Self { at: at.to_owned(), name: source_name, source, guard: section.guard(at)? };
        // Only the source itself knows what it refuses.
        discovery.source()?;
        Ok(discovery)
    }

    /// The source, behind its guard. It reads and asks nothing yet.
    ///
    /// # Errors
    /// None that [`new`](Self::new) did not find.
    pub fn source(&self) -> Result<Box<dyn Discover>, StartError> {
        let wrong = |error| refused(&self.at, self.name, &error);
        let guard = Guard::new(self.guard);
        Ok(match &self.source {
            Source::File { path, interval } => {
                let mut source = FileWatch::new(path).map_err(wrong)?;
                if let Some(interval) = interval {
                    source = source.interval(*interval).map_err(wrong)?;
                }
                Box::new(Guarded::new(source, guard))
            }
            Source::Dns(builder) => {
                let source = builder.clone().build().map_err(wrong)?;
                Box::new(Guarded::new(source, guard))
            }
        })
    }
}

impl DiscoverSection {
    fn dns(&self, at: &str) -> Result<DnsBuilder, StartError> {
        let mut builder = if let Some(service) = &self.srv {
            Dns::service(service.as_str())
        } else {
            let field = format!("{at}.dns");
            let text = self.dns.as_deref().unwrap_or_default();
            let address: Address = text.parse().map_err(|wrong| StartError::new(&field, wrong))?;
            let wrong = || StartError::new(&field, "give name:port");
            let (host, port) = address.as_str().rsplit_once(':').ok_or_else(wrong)?;
            Dns::host(host, port.parse().map_err(|_| wrong())?)
        };
        if let Some(servers) = &self.servers {
            let parse = |(index, text): (usize, &String)| {
                text.parse::<SocketAddr>().map_err(|_| {
                    let wrong = format!("`{text}` is not an IP address and port");
                    StartError::new(format!("{at}.servers[{index}]"), wrong)
                })
            };
            let servers = servers.iter().enumerate().map(parse).collect::<Result<_, _>>()?;
            builder = builder.name_servers(servers);
        }
        if let Some(family) = self.family {
            builder = builder.family(match family {
                Family::Both => AddressFamily::Both,
                Family::V4 => AddressFamily::V4,
                Family::V6 => AddressFamily::V6,
            });
        }
        if self.min_ttl_ms.is_some() || self.max_ttl_ms.is_some() {
            const MIN: u64 = 1_000;
            const MAX: u64 = 300_000;
            // One that is given alone moves the default of the other, if that were on its wrong side.
            let min = self.min_ttl_ms.unwrap_or_else(|| MIN.min(self.max_ttl_ms.unwrap_or(MIN)));
            let max = self.max_ttl_ms.unwrap_or_else(|| MAX.max(min));
            builder = builder.ttl(Duration::from_millis(min), Duration::from_millis(max));
        }
        Ok(builder)
    }

    fn guard(&self, at: &str) -> Result<GuardSettings, StartError> {
        let wrong = |error| refused(at, "", &error);
        let mut guard = GuardSettings::default().empty(match self.empty {
            None | Some(Empty::KeepLast) => EmptyUpdate::KeepLast,
            Some(Empty::Accept) => EmptyUpdate::Accept,
        });
        if let Some(percent) = self.min_percent {
            guard = guard.min_percent(percent).map_err(wrong)?;
        }
        if let Some(ms) = self.max_hold_ms {
            guard = guard.max_hold(Duration::from_millis(ms)).map_err(wrong)?;
        }
        Ok(guard)
    }
}

/// What a source refused, by the name that the setting has in the file.
fn refused(at: &str, source: &str, error: &DiscoveryError) -> StartError {
    let DiscoveryError::Setting { field, given, allowed } = error else {
        return StartError::new(at, error);
    };
    let name = match *field {
        "path" | "name" | "port" => source,
        "name_servers" => "servers",
        "min_ttl" => "min_ttl_ms",
        "max_ttl" => "max_ttl_ms",
        "interval" => "interval_ms",
        "max_hold" => "max_hold_ms",
        other => other,
    };
    let wrong = format!("`{given}` is not allowed; allowed is {allowed}");
    StartError::new(format!("{at}.{name}"), wrong)
}
