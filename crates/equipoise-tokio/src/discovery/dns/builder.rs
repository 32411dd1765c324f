//! What to ask, whom, and how often.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use equipoise_core::Rng;
use hickory_resolver::proto::rr::Name;

use super::lookup::Servers;
use super::pace::Pace;
use super::refresh::{Known, Task};
use super::{AddressFamily, Dns};
use crate::discovery::DiscoveryError;

const TTL_RANGE: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(86_400));
const TIMEOUT_RANGE: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(60));

/// What to ask, whom, and how often: the settings of a [`Dns`].
///
/// ```
/// use equipoise_tokio::discovery::Dns;
///
/// let error = Dns::host("10.0.0.1", 80).build().unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "name: `10.0.0.1` is not allowed; allowed is a domain name of at most 253 characters, not an \
///      address"
/// );
/// ```
#[derive(Clone, Debug)]
pub struct DnsBuilder {
    name: String,
    /// `None`: the SRV records say.
    port: Option<u16>,
    family: AddressFamily,
    /// `None`: the system's.
    name_servers: Option<Vec<SocketAddr>>,
    min_ttl: Duration,
    max_ttl: Duration,
    timeout: Duration,
    seed: Option<u64>,
}

impl DnsBuilder {
    pub(super) fn host(name: String, port: u16) -> Self {
        Self { port: Some(port), ..Self::service(name) }
    }

    pub(super) fn service(name: String) -> Self {
        Self {
            name,
            port: None,
            family: AddressFamily::Both,
            name_servers: None,
            min_ttl: Duration::from_secs(1),
            max_ttl: Duration::from_secs(300),
            timeout: Duration::from_secs(2),
            seed: None,
        }
    }

    /// Sets which addresses are backends. By default both families are.
    pub fn family(mut self, family: AddressFamily) -> Self {
        self.family = family;
        self
    }

    /// Sets whom to ask: over UDP, and over TCP what does not fit. By default the system's name
    /// servers (`/etc/resolv.conf`), its search list and its hosts file, all read anew each time.
    pub fn name_servers(mut self, servers: Vec<SocketAddr>) -> Self {
        self.name_servers = Some(servers);
        self
    }

    /// Sets the range that TTLs are clamped to: 1 s to 300 s by default; 1 ms to a day at most. The
    /// pause after a failure has the same range.
    pub fn ttl(mut self, min: Duration, max: Duration) -> Self {
        (self.min_ttl, self.max_ttl) = (min, max);
        self
    }

    /// Sets how long to wait for an answer: 2 s by default, 1 ms to 60 s. A question that was not
    /// answered is asked once more.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets what the jitter follows from. By default it differs from process to process.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Checks the settings. Nothing is asked yet.
    ///
    /// # Errors
    /// The first field that is wrong: `name`, `port`, `name_servers`, `min_ttl`, `max_ttl` or
    /// `timeout`.
    pub fn build(self) -> Result<Dns, DiscoveryError> {
        let wrong =
            |field, given: String, allowed| DiscoveryError::Setting { field, given, allowed };
        let is_address = self.name.parse::<IpAddr>().is_ok();
        let name = match Name::from_str_relaxed(&self.name) {
            Ok(name) if name.num_labels() > 0 && !is_address => name,
            _ => {
                let allowed = "a domain name of at most 253 characters, not an address";
                let given = self.name.chars().take(300).collect();
                return Err(wrong("name", given, allowed));
            }
        };
        if self.port == Some(0) {
            return Err(wrong("port", "0".into(), "1 to 65535"));
        }
        if let Some(servers) = &self.name_servers {
            if servers.is_empty() {
                return Err(wrong("name_servers", String::new(), "one at least"));
            }
            let is_impossible =
                |server: &&SocketAddr| server.port() == 0 || server.ip().is_unspecified();
            if let Some(server) = servers.iter().find(is_impossible) {
                return Err(wrong("name_servers", server.to_string(), "an address with a port"));
            }
        }
        let within = |(min, max): (Duration, Duration), given| (min..=max).contains(&given);
        if !within(TTL_RANGE, self.min_ttl) {
            return Err(wrong("min_ttl", format!("{:?}", self.min_ttl), "1 ms to a day"));
        }
        if !within((self.min_ttl, TTL_RANGE.1), self.max_ttl) {
            return Err(wrong("max_ttl", format!("{:?}", self.max_ttl), "min_ttl to a day"));
        }
        if !within(TIMEOUT_RANGE, self.timeout) {
            return Err(wrong("timeout", format!("{:?}", self.timeout), "1 ms to 60 s"));
        }
        let rng = Rng::seeded(self.seed.unwrap_or_else(seed_of_process));
        Ok(Dns {
            task: Task { name, port: self.port, family: self.family },
            servers: Servers::new(self.name_servers.as_deref(), self.timeout)?,
            pace: Pace::new(self.min_ttl, self.max_ttl, rng),
            known: Known::default(),
            last: None,
            due: None,
            running: None,
            news: VecDeque::new(),
        })
    }
}

/// A number that two processes are unlikely to share. It only spreads retries: no secret.
fn seed_of_process() -> u64 {
    #[allow(clippy::disallowed_methods, reason = "a driver: spreads the retries of processes")]
    let now = std::time::SystemTime::now();
    let nanos = now.duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_nanos();
    nanos as u64 ^ u64::from(std::process::id()).rotate_left(32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_wrong_setting_is_named() {
        let right =
            || Dns::host("a.example", 80).name_servers(vec!["127.0.0.1:53".parse().unwrap()]);
        assert!(right().build().is_ok());
        let s = Duration::from_secs;
        for (builder, expected) in [
            (Dns::host("", 80), "name"),
            (Dns::host(".", 80), "name"),
            (Dns::host("::1", 80), "name"),
            (Dns::host("a..b", 80), "name"),
            (Dns::service("a".repeat(64)), "name"),
            (Dns::host("a.example", 0), "port"),
            (right().name_servers(vec![]), "name_servers"),
            (right().name_servers(vec!["127.0.0.1:0".parse().unwrap()]), "name_servers"),
            (right().name_servers(vec!["0.0.0.0:53".parse().unwrap()]), "name_servers"),
            (right().ttl(s(0), s(1)), "min_ttl"),
            (right().ttl(s(100_000), s(200_000)), "min_ttl"),
            (right().ttl(s(2), s(1)), "max_ttl"),
            (right().ttl(s(2), s(100_000)), "max_ttl"),
            (right().timeout(s(0)), "timeout"),
            (right().timeout(s(61)), "timeout"),
        ] {
            match builder.clone().build() {
                Err(DiscoveryError::Setting { field, .. }) => assert_eq!(field, expected),
                other => panic!("{builder:?}: {other:?}"),
            }
        }
    }
}
