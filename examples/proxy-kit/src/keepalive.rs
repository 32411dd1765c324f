//! `[keepalive]`: TCP's own probes of connections on which nothing happens.

use std::time::Duration;

use serde::Deserialize;
use socket2::TcpKeepalive;

use crate::StartError;

/// `[keepalive]`, as it is written. Both clients and backends are probed. What is left out is as the system
/// has it.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeepaliveSection {
    /// Seconds without a byte after which the first probe is sent.
    idle_s: Option<u16>,
    /// Seconds between probes.
    interval_s: Option<u16>,
    /// Probes without an answer after which the connection is broken.
    probes: Option<u8>,
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
            Ok(in_range(name, given, MOST_SECONDS)?.map(u64::from).map(Duration::from_secs))
        };
        let mut keepalive = TcpKeepalive::new();
        if let Some(idle) = seconds("idle_s", self.idle_s)? {
            keepalive = keepalive.with_time(idle);
        }
        if let Some(interval) = seconds("interval_s", self.interval_s)? {
            keepalive = keepalive.with_interval(interval);
        }
        if let Some(probes) = in_range("probes", self.probes, MOST_PROBES)? {
            keepalive = keepalive.with_retries(probes.into());
        }
        Ok(keepalive)
    }
}

fn in_range<T>(name: &str, given: Option<T>, most: T) -> Result<Option<T>, StartError>
where
    T: PartialOrd + From<u8> + std::fmt::Display + Copy,
{
    match given {
        Some(number) if number < T::from(1) || number > most => {
            let why = format!("{number} is out of range: 1 to {most} are allowed");
            Err(StartError::new(format!("keepalive.{name}"), why))
        }
        given => Ok(given),
    }
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
