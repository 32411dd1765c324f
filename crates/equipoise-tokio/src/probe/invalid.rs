//! Why a probe can't be made.

use std::fmt;

/// Why the settings of a probe were refused, by the field that is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum InvalidProbe {
    /// `method`: not an HTTP method, or `CONNECT`, which is not a question.
    Method(String),
    /// `path`: it begins with `/`, is visible ASCII of at most 4,096 bytes, and has no `#`.
    Path(String),
    /// `host`: a name or an address, with a port or without.
    Host(String),
    /// `headers`: a name or a value that HTTP does not allow, or that the probe sets itself.
    Header {
        /// The header.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// `status`: not a list such as `200-299,401` of statuses from 200 to 999.
    Status(String),
    /// `drain`: this status is an expected one, too.
    Drain(u16),
    /// `body`: no text to look for, one that is longer than what is read, or a method whose answers
    /// have no body.
    Body(&'static str),
    /// `regex`: it does not compile, or grows too large.
    Regex(String),
    /// `json`: not a JSONPath, `==` and a JSON value.
    Json(String),
    /// `body_limit`: 1 byte to 1 MiB.
    BodyLimit(usize),
    /// `service`: at most 1,024 bytes.
    Service(usize),
    /// `script`: no step that expects something, more than 32 steps, or one that can't be.
    Script {
        /// Which step, from 1; 0 is the script as a whole.
        step: usize,
        /// What is wrong with it.
        why: String,
    },
    /// `server_name`: not a name or an address that a certificate can have.
    ServerName(String),
    /// `ca`: no certificate in it, or one that can't be read.
    Ca(String),
    /// `tls`: the TLS library refused its settings.
    Tls(String),
}

impl InvalidProbe {
    /// The field that is wrong.
    pub fn field(&self) -> &'static str {
        match self {
            Self::Method(_) => "method",
            Self::Path(_) => "path",
            Self::Host(_) => "host",
            Self::Header { .. } => "headers",
            Self::Status(_) => "status",
            Self::Drain(_) => "drain",
            Self::Body(_) => "body",
            Self::Regex(_) => "regex",
            Self::Json(_) => "json",
            Self::BodyLimit(_) => "body_limit",
            Self::Service(_) => "service",
            Self::Script { .. } => "script",
            Self::ServerName(_) => "server_name",
            Self::Ca(_) => "ca",
            Self::Tls(_) => "tls",
        }
    }
}

impl fmt::Display for InvalidProbe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.field())?;
        match self {
            Self::Method(text) => write!(f, "{text:?} is not a method that can be asked"),
            Self::Path(text) => write!(
                f,
                "{text:?} is not a path: `/` and visible ASCII without `#`, at most 4096 bytes"
            ),
            Self::Host(text) => write!(f, "{text:?} is not a host or host:port"),
            Self::Header { name, why } => write!(f, "{name:?} {why}"),
            Self::Status(text) => {
                write!(f, "{text:?} is not a list of statuses from 200 to 999, as 200-299,401")
            }
            Self::Drain(status) => write!(f, "{status} is an expected status, too"),
            Self::Body(why) => f.write_str(why),
            Self::Regex(why) | Self::Json(why) | Self::Ca(why) | Self::Tls(why) => f.write_str(why),
            Self::BodyLimit(limit) => write!(f, "{limit} is not in 1..=1048576 bytes"),
            Self::Service(length) => write!(f, "{length} bytes are more than 1024"),
            Self::Script { step: 0, why } => f.write_str(why),
            Self::Script { step, why } => write!(f, "step {step}: {why}"),
            Self::ServerName(text) => write!(f, "{text:?} is not a name that a certificate has"),
        }
    }
}

impl std::error::Error for InvalidProbe {}
