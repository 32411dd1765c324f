//! Why a backend is not well.

use std::fmt;
use std::io;
use std::sync::Arc;

/// Why a probe did not get the answer that it wants, in words for the operator.
///
/// Cheap to clone and to compare, so that a caller can say "three times: ...". What the backend
/// wrote is shortened, and its control characters are escaped.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ProbeError {
    /// No answer within the caller's time-out, or the system gave up to connect.
    TimedOut,
    /// Nobody listens at the address.
    Refused,
    /// There is no way to the address.
    Unreachable,
    /// The backend reset the connection.
    Reset,
    /// The backend closed the connection before it sent a byte of an answer.
    Closed,
    /// The backend closed the connection in the middle of its answer.
    CutShort,
    /// This machine could not ask: it has no files or ports left. It says nothing about the backend.
    Local(Arc<str>),
    /// Another error of the connection.
    Io(Arc<str>),
    /// The TLS handshake failed: an expired certificate, another name, an unknown issuer.
    Tls(Arc<str>),
    /// What came back is not this protocol.
    Not(&'static str),
    /// The answer has more of something than the probe takes.
    TooLong {
        /// Of what.
        part: Part,
        /// How many bytes it takes; of [`Part::Interim`], how many answers.
        limit: usize,
    },
    /// An answer with a status that is not expected.
    Status {
        /// What was asked: `GET /healthz`.
        request: Arc<str>,
        /// The status.
        status: u16,
        /// What its body says of it, where a field of it is looked at.
        because: Option<Arc<str>>,
    },
    /// The text is not in the body.
    BodyLacks(Arc<str>),
    /// The body does not match the regular expression.
    BodyUnlike(Arc<str>),
    /// The body is not JSON, and why.
    NotJson(Arc<str>),
    /// The body has no such field.
    FieldMissing {
        /// The JSONPath.
        field: Arc<str>,
    },
    /// The field has another value.
    FieldDiffers {
        /// The JSONPath.
        field: Arc<str>,
        /// What it is, as JSON, shortened.
        found: Arc<str>,
        /// What it should be, as JSON.
        wanted: Arc<str>,
    },
    /// The HTTP/2 peer refused the request or ended the connection, and why.
    Http2(Arc<str>),
    /// The gRPC health service reports another status than `SERVING`, by its name.
    NotServing(&'static str),
    /// The gRPC call failed.
    GrpcStatus {
        /// The status, as in the `grpc-status` header.
        code: u16,
        /// Its name, as `UNIMPLEMENTED`.
        name: &'static str,
    },
    /// A step of a script did not come to its end.
    Step {
        /// Which, from 1.
        step: usize,
        /// What it does: ``expect_prefix `+PONG` ``. What is sent is not quoted: it may be a password.
        doing: Arc<str>,
        /// Why it did not.
        why: Unmet,
        /// The beginning of what came and no step before has taken; empty if nothing did.
        came: Arc<str>,
    },
    /// What a probe of the user's found.
    Other(Arc<str>),
}

/// Why a step of a script did not come to its end.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Unmet {
    /// Something else came.
    Differs,
    /// What is expected is not in as many bytes.
    NotWithin(usize),
    /// The backend ended the connection.
    Closed,
    /// The time was over.
    TimedOut,
    /// The connection broke, and how.
    Broken(Arc<str>),
}

/// A part of an answer that has a limit.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Part {
    /// The headers, or their number.
    Headers,
    /// Interim answers (1xx).
    Interim,
    /// The body.
    Body,
    /// All bytes on the wire, the handshake and the framing included.
    Wire,
}

impl ProbeError {
    /// What a probe of the user's found.
    pub fn other(words: impl Into<Arc<str>>) -> Self {
        Self::Other(words.into())
    }

    /// Whether the answer is one that a well backend gives to a wrong question: there is no such page
    /// (404, 405), it is elsewhere (3xx), or the gRPC service has no health or no service of that name.
    ///
    /// Then ask the operator, "is the path right?", before the machine is blamed.
    pub fn suggests_wrong_endpoint(&self) -> bool {
        match self {
            Self::Status { status, .. } => matches!(status, 300..=399 | 404 | 405),
            // NOT_FOUND, and UNIMPLEMENTED.
            Self::GrpcStatus { code, .. } => matches!(code, 5 | 12),
            Self::NotServing(name) => *name == "SERVICE_UNKNOWN",
            _ => false,
        }
    }

    /// Whether this machine failed, not the backend: then it should not count against the backend.
    ///
    /// Otherwise a prober that has run out of file descriptors takes every backend down at once.
    pub fn is_local(&self) -> bool {
        matches!(self, Self::Local(_))
    }
}

impl From<io::Error> for ProbeError {
    fn from(error: io::Error) -> Self {
        Self::from(&error)
    }
}

impl From<&io::Error> for ProbeError {
    fn from(error: &io::Error) -> Self {
        use io::ErrorKind;
        #[cfg(feature = "tls")]
        if let Some(error) = super::tls_client::cause(error) {
            return Self::Tls(super::tls_client::words(error).into());
        }
        // EMFILE and ENFILE, which have no kind of their own.
        if cfg!(unix) && matches!(error.raw_os_error(), Some(23 | 24)) {
            return Self::Local("too many open files".into());
        }
        match error.kind() {
            ErrorKind::TimedOut => Self::TimedOut,
            ErrorKind::ConnectionRefused => Self::Refused,
            ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => Self::Unreachable,
            ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe => {
                Self::Reset
            }
            ErrorKind::UnexpectedEof => Self::CutShort,
            ErrorKind::AddrNotAvailable | ErrorKind::AddrInUse => {
                Self::Local("no free local port".into())
            }
            ErrorKind::OutOfMemory => Self::Local("out of memory".into()),
            _ => Self::Io(error.to_string().into()),
        }
    }
}

impl fmt::Display for ProbeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut => f.write_str("no answer in time"),
            Self::Refused => f.write_str("connection refused"),
            Self::Unreachable => f.write_str("address unreachable"),
            Self::Reset => f.write_str("connection reset"),
            Self::Closed => f.write_str("closed before an answer"),
            Self::CutShort => f.write_str("closed in the middle of an answer"),
            Self::Local(why) => write!(f, "could not ask: {why}"),
            Self::Io(why) => write!(f, "connection failed: {why}"),
            Self::Tls(why) => write!(f, "TLS: {why}"),
            Self::Not(protocol) => write!(f, "answer is not {protocol}"),
            Self::TooLong { part: Part::Headers, limit } => {
                write!(f, "headers longer than {}, or too many", Size(*limit))
            }
            Self::TooLong { part: Part::Interim, limit } => {
                write!(f, "more than {limit} interim answers")
            }
            Self::TooLong { part: Part::Body, limit } => {
                write!(f, "body longer than {}", Size(*limit))
            }
            Self::TooLong { part: Part::Wire, limit } => {
                write!(f, "sent more than {}", Size(*limit))
            }
            Self::Status { request, status, because } => {
                write!(f, "{request} answered {status}")?;
                because.as_ref().map_or(Ok(()), |why| write!(f, ", {why}"))
            }
            Self::BodyLacks(text) => write!(f, "body has no `{text}`"),
            Self::BodyUnlike(regex) => write!(f, "body does not match `{regex}`"),
            Self::NotJson(why) => write!(f, "body is not JSON: {why}"),
            Self::FieldMissing { field } => write!(f, "body has no field {field}"),
            Self::FieldDiffers { field, found, wanted } => {
                write!(f, "body field {field} is {found}, not {wanted}")
            }
            Self::Http2(why) => write!(f, "HTTP/2: {why}"),
            Self::NotServing(name) => write!(f, "gRPC health: {name}"),
            Self::GrpcStatus { code: 12, .. } => {
                f.write_str("gRPC health: UNIMPLEMENTED, there is no health service")
            }
            Self::GrpcStatus { code: 5, .. } => {
                f.write_str("gRPC health: NOT_FOUND, the health service does not know the name")
            }
            Self::GrpcStatus { name, .. } => write!(f, "gRPC health: {name}"),
            Self::Step { step, doing, why, came } => {
                write!(f, "step {step}, {doing}: {why}, ")?;
                if came.is_empty() { f.write_str("got nothing") } else { write!(f, "got `{came}`") }
            }
            Self::Other(words) => f.write_str(words),
        }
    }
}

impl std::error::Error for ProbeError {}

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Differs => f.write_str("something else"),
            Self::NotWithin(limit) => write!(f, "not within {}", Size(*limit)),
            Self::Closed => f.write_str("closed"),
            Self::TimedOut => f.write_str("not in time"),
            Self::Broken(how) => f.write_str(how),
        }
    }
}

/// A number of bytes, in KiB if it is even.
struct Size(usize);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            kib if kib >= 1024 && kib.is_multiple_of(1024) => write!(f, "{} KiB", kib / 1024),
            bytes => write!(f, "{bytes} bytes"),
        }
    }
}
