//! The flags.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Parser;
use clap::builder::NonEmptyStringValueParser;
use proxy_kit::backend::Address;

/// A small application over a real database, to put behind a load balancer. Its health can be asked,
/// and it can be broken on request. Keep it on loopback: whoever reaches it may break it.
#[derive(Debug, Parser)]
#[command(name = crate::NAME, version)]
pub(crate) struct Cli {
    /// Listen here. Port 0 takes a free one
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:8081")]
    pub(crate) listen: SocketAddr,

    /// What it calls itself in its answers
    #[arg(long, default_value = "demo", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) name: String,

    /// Its database: sqlite:PATH, a file that is made if it is not there, or redis://HOST:PORT
    #[arg(long, value_name = "URL")]
    pub(crate) database: DatabaseUrl,

    /// Where the login app keeps its sessions: memory, which no other process sees, or redis://HOST:PORT
    #[arg(long, value_name = "WHERE", default_value = "memory")]
    pub(crate) sessions: SessionsUrl,

    /// How long the database, or the Redis with the sessions, may take for an answer
    #[arg(long, value_name = "MS", default_value = "1000", value_parser = parse_millis)]
    pub(crate) database_timeout_ms: Duration,

    /// How long after its start it is not ready yet
    #[arg(long, value_name = "MS", value_parser = parse_millis)]
    pub(crate) warm_up_ms: Option<Duration>,
}

/// Which database, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum DatabaseUrl {
    /// A file of SQLite.
    Sqlite(PathBuf),
    /// A Redis server.
    Redis(Address),
}

impl FromStr for DatabaseUrl {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        if let Some(path) = url.strip_prefix("sqlite:") {
            return match path {
                "" => Err("no path; give sqlite:PATH".to_owned()),
                // Each connection would have a database of its own.
                ":memory:" => Err("a database in memory can't be shared; give a path".to_owned()),
                path => Ok(Self::Sqlite(path.into())),
            };
        }
        match redis(url) {
            Some(address) => address.map(Self::Redis),
            None => Err("give sqlite:PATH or redis://HOST:PORT".to_owned()),
        }
    }
}

/// Where the sessions are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum SessionsUrl {
    /// In this process.
    Memory,
    /// In a Redis server.
    Redis(Address),
}

impl FromStr for SessionsUrl {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        match redis(url) {
            Some(address) => address.map(Self::Redis),
            None if url == "memory" => Ok(Self::Memory),
            None => Err("give memory or redis://HOST:PORT".to_owned()),
        }
    }
}

/// The server's address, if it is a URL of Redis.
fn redis(url: &str) -> Option<Result<Address, String>> {
    let rest = url.strip_prefix("redis://")?;
    let address = rest.strip_suffix('/').unwrap_or(rest).parse();
    Some(address.map_err(|_| format!("`{rest}` is not HOST:PORT, such as 127.0.0.1:6379")))
}

/// A time in milliseconds, of the flags and of the queries.
pub(crate) fn parse_millis(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(millis @ 1..=3_600_000) => Ok(Duration::from_millis(millis)),
        _ => Err(format!("`{text}` is not a number of milliseconds from 1 to 3600000")),
    }
}

#[cfg(test)]
mod tests {
    use super::{Cli, DatabaseUrl, SessionsUrl};
    use clap::CommandFactory;

    #[test]
    fn the_flags_do_not_contradict_each_other() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_database_is_a_path_or_an_address() {
        let sqlite = |path: &str| Ok(DatabaseUrl::Sqlite(path.into()));
        assert_eq!("sqlite:/tmp/a b.db".parse(), sqlite("/tmp/a b.db"));
        assert_eq!("sqlite:a.db".parse(), sqlite("a.db"));
        let redis = |address: &str| Ok(DatabaseUrl::Redis(address.parse().unwrap()));
        assert_eq!("redis://localhost:6379".parse(), redis("localhost:6379"));
        assert_eq!("redis://[::1]:6379/".parse(), redis("[::1]:6379"));
    }

    #[test]
    fn sessions_are_in_memory_or_at_an_address() {
        assert_eq!("memory".parse(), Ok(SessionsUrl::Memory));
        let redis = SessionsUrl::Redis("localhost:6379".parse().unwrap());
        assert_eq!("redis://localhost:6379".parse(), Ok(redis));
    }
}
