//! Where a stream socket is.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

/// Where a stream socket is: at an IP address and port, or at a path of the file system.
///
/// It is written as `192.0.2.1:80`, `[2001:db8::1]:80`, or `unix:/run/app.sock`.
///
/// ```
/// use equipoise_tokio::socket::StreamAddr;
///
/// let address: StreamAddr = "unix:/run/app.sock".parse()?;
/// assert_eq!(address, StreamAddr::unix("/run/app.sock")?);
/// assert_eq!(address.to_string(), "unix:/run/app.sock");
/// assert_eq!(address.ip(), None);
/// # Ok::<(), equipoise_tokio::socket::BadAddress>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[allow(clippy::exhaustive_enums, reason = "tokio has no other stream sockets")]
pub enum StreamAddr {
    /// TCP.
    Ip(SocketAddr),
    /// A Unix socket.
    Unix(UnixPath),
}

/// The path of a Unix socket: absolute, of at most [`MAX_LENGTH`](Self::MAX_LENGTH) bytes, without a NUL.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct UnixPath(Arc<Path>);

/// A text that is no address of a stream socket.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BadAddress {
    given: String,
    why: &'static str,
}

impl StreamAddr {
    /// What a path is written behind.
    pub const UNIX: &str = "unix:";

    /// A Unix socket at this path.
    ///
    /// # Errors
    /// As [`UnixPath::new`].
    pub fn unix(path: impl Into<PathBuf>) -> Result<Self, BadAddress> {
        UnixPath::new(path).map(Self::Unix)
    }

    /// The IP address and port, if it has one.
    pub const fn ip(&self) -> Option<SocketAddr> {
        match self {
            Self::Ip(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }
}

impl UnixPath {
    /// Most bytes of a path: `sun_path` has 108 on Linux, the last one a NUL. Other systems have room for
    /// less, and say so when the path is used.
    pub const MAX_LENGTH: usize = 107;

    /// This path.
    ///
    /// # Errors
    /// It is relative, too long, or has a NUL.
    pub fn new(path: impl Into<PathBuf>) -> Result<Self, BadAddress> {
        let path = path.into();
        let bytes = path.as_os_str().as_encoded_bytes();
        let why = if bytes.first() != Some(&b'/') {
            "give an absolute path, as in unix:/run/app.sock"
        } else if bytes.len() > Self::MAX_LENGTH {
            "the path has more than 107 bytes"
        } else if bytes.contains(&0) {
            "the path has a NUL"
        } else {
            return Ok(Self(path.into()));
        };
        Err(BadAddress { given: format!("{}{}", StreamAddr::UNIX, path.display()), why })
    }
}

impl AsRef<Path> for UnixPath {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl From<SocketAddr> for StreamAddr {
    fn from(address: SocketAddr) -> Self {
        Self::Ip(address)
    }
}

impl FromStr for StreamAddr {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        if let Some(path) = text.strip_prefix(Self::UNIX) {
            return Self::unix(path);
        }
        let why =
            "is not an IP address and port, such as 127.0.0.1:8080 or [::1]:8080, or unix:/PATH";
        text.parse().map(Self::Ip).map_err(|_| BadAddress { given: text.to_owned(), why })
    }
}

impl fmt::Display for StreamAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "{}{}", Self::UNIX, path.0.display()),
        }
    }
}

impl fmt::Display for BadAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let colon = if self.given.starts_with(StreamAddr::UNIX) { ":" } else { "" };
        write!(f, "`{}`{colon} {}", self.given.escape_debug(), self.why)
    }
}

impl std::error::Error for BadAddress {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_an_address_or_is_named() {
        let longest = format!("unix:/{}", "a".repeat(UnixPath::MAX_LENGTH - 1));
        for good in ["127.0.0.1:80", "[::1]:80", "unix:/a", "unix:/a b:80,c", &longest] {
            assert_eq!(good.parse::<StreamAddr>().unwrap().to_string(), good);
        }
        let long = format!("{longest}a");
        for (bad, named) in [
            ("", "`` is not an IP address"),
            ("localhost:80", "`localhost:80` is not an IP address"),
            ("unix:", "`unix:`: give an absolute path"),
            ("unix:a.sock", "`unix:a.sock`: give an absolute path"),
            ("unix:/a\0b", "`unix:/a\\0b`: the path has a NUL"),
            (long.as_str(), "more than 107 bytes"),
        ] {
            let error = bad.parse::<StreamAddr>().unwrap_err().to_string();
            assert!(error.contains(named), "{bad}: {error}");
        }
    }
}
