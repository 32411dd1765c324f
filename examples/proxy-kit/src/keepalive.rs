//! `[keepalive]`: TCP's own probes of connections on which nothing happens.

use std::fmt::Display;
use std::time::Duration;

use serde::Deserialize;
use socket2::TcpKeepalive;

use crate::StartError;

/// `[keepalive]`, as it is written. Both clients and backends are probed.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeepaliveSection {
    /// Seconds without a byte after which the first probe is sent.
    #[serde(default = "default_idle")]
    idle_s: u16,
    /// Seconds between probes.
    #[serde(default = "default_interval")]
    interval_s: u16,
    /// Probes without an answer after which the connection is broken.
    #[serde(default = "default_probes")]
    probes: u8,
}

// A peer that has gone is found out in two minutes, and not in the two hours of Linux. All three are always
// set: a socket that was inherited may have others.
const fn default_idle() -> u16 {
    60
}

const fn default_interval() -> u16 {
    10
}

const fn default_probes() -> u8 {
    6
}

/// What Linux takes at most: `MAX_TCP_KEEPIDLE`, `MAX_TCP_KEEPINTVL` and `MAX_TCP_KEEPCNT`.
const MOST_SECONDS: u16 = 32_767;
const MOST_PROBES: u8 = 127;

impl KeepaliveSection {
    /// Checks it.
    ///
    /// # Errors
    /// A number that is out of range, by name.
    pub fn check(self) -> Result<TcpKeepalive, StartError> {
        let seconds = |name, given| {
            in_range(name, given, MOST_SECONDS).map(|given| Duration::from_secs(given.into()))
        };
        let keepalive = TcpKeepalive::new()
            .with_time(seconds("idle_s", self.idle_s)?)
            .with_interval(seconds("interval_s", self.interval_s)?)
            .with_retries(in_range("probes", self.probes, MOST_PROBES)?.into());
        Ok(keepalive)
    }
}

fn in_range<T>(name: &str, given: T, most: T) -> Result<T, StartError>
where
    T: PartialOrd + From<u8> + Display + Copy,
{
    if given < T::from(1) || given > most {
        let why = format!("{given} is out of range: 1 to {most} are allowed");
        return Err(StartError::new(format!("keepalive.{name}"), why));
    }
    Ok(given)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_out_of_range_is_named() {
        let check = |text: &str| toml::from_str::<KeepaliveSection>(text).unwrap().check();
        assert!(check("").is_ok());
        assert!(check("idle_s = 32767\ninterval_s = 1\nprobes = 127").is_ok());
        for (text, named) in [
            ("idle_s = 0", "keepalive.idle_s: 0 is out of range: 1 to 32767 are allowed"),
            ("interval_s = 40000", "keepalive.interval_s: 40000"),
            ("probes = 128", "keepalive.probes: 128"),
        ] {
            let error = check(text).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
    }
}
