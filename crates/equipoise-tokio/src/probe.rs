//! Probes: they ask one backend whether it is well.
//!
//! A probe asks once, over a connection of its own, and gives an [`Answer`] or a [`ProbeError`] in
//! words that an operator can act upon. When to ask, how often and what follows from the answer is
//! not its business. A fresh connection is part of the question: a backend that still answers on
//! old connections, but takes no new ones, is not well.
//!
//! | probe | asks | feature |
//! |---|---|---|
//! | [`Tcp`] | does anybody listen? | |
#![cfg_attr(
    feature = "tls",
    doc = "| [`Tls`] | does it complete a handshake, with a certificate that holds? | `tls` |"
)]
#![cfg_attr(
    feature = "script",
    doc = "| [`Script`] | does it answer these bytes by those? | `script` |"
)]
#![cfg_attr(
    feature = "http",
    doc = "| [`Http`] | does the application answer as it should? | `http`, `http2` |"
)]
#![cfg_attr(
    feature = "grpc",
    doc = "| [`Grpc`] | does the gRPC health service say `SERVING`? | `grpc` |"
)]
//!
//! # Bounds
//! What a backend sends is hostile until it has been read. Each probe reads a bounded number of
//! bytes and fails beyond that; see its documentation. None has a time-out of its own: the caller
//! drops the future when it has waited long enough, and with it goes the connection. Nothing is
//! spawned.
//!
//! # Example
//! ```
//! use std::time::Duration;
//! use equipoise_tokio::probe::{Answer, Probe, ProbeError, Target, Tcp};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let backend = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! let target = Target::new(backend.local_addr()?);
//!
//! let answer = tokio::time::timeout(Duration::from_secs(1), Tcp.probe(&target))
//!     .await
//!     .unwrap_or(Err(ProbeError::TimedOut));
//! assert_eq!(answer, Ok(Answer::Pass));
//! # Ok(())
//! # }
//! ```

use std::fmt;
use std::future::Future;
use std::pin::Pin;

#[cfg(feature = "http")]
mod body;
mod error;
#[cfg(feature = "grpc")]
mod grpc;
#[cfg(feature = "grpc")]
mod grpc_wire;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "http")]
mod http1;
#[cfg(any(feature = "http2", feature = "grpc"))]
mod http2;
mod invalid;
#[cfg(feature = "http")]
mod json;
#[cfg(any(feature = "tls", feature = "http", feature = "grpc", feature = "script"))]
mod meter;
#[cfg(feature = "script")]
mod pattern;
#[cfg(feature = "script")]
mod script;
#[cfg(feature = "script")]
mod script_run;
#[cfg(feature = "http")]
mod status;
#[cfg(any(feature = "http", feature = "grpc", feature = "script"))]
mod talk;
mod target;
mod tcp;
#[cfg(feature = "tls")]
mod tls;
#[cfg(feature = "tls")]
mod tls_client;
mod wire;

#[cfg(feature = "http")]
pub use body::BodyMatch;
pub use error::{Part, ProbeError, Unmet};
#[cfg(feature = "grpc")]
pub use grpc::Grpc;
#[cfg(feature = "http")]
pub use http::{Http, HttpBuilder, HttpVersion};
pub use invalid::InvalidProbe;
#[cfg(feature = "http")]
pub use json::JsonMatch;
#[cfg(feature = "script")]
pub use script::{Script, ScriptBuilder};
#[cfg(feature = "http")]
pub use status::StatusSet;
pub use target::Target;
pub use tcp::Tcp;
#[cfg(feature = "tls")]
pub use tls::Tls;
#[cfg(feature = "tls")]
pub use tls_client::TlsClient;

/// What a backend that is well answers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Answer {
    /// It is well.
    Pass,
    /// It is well, and asks for no new sessions.
    Drain,
}

/// The future of one question.
pub type Asking<'a> = Pin<Box<dyn Future<Output = Result<Answer, ProbeError>> + Send + 'a>>;

/// Asks a backend whether it is well.
///
/// # Writing one
/// Make the future own what it opens, so that dropping it ends all of it; spawn nothing. Bound what
/// you read. Have no time-out: the caller has one. For what [`ProbeError`] has no variant, there is
/// [`ProbeError::other`].
///
/// ```
/// use equipoise_tokio::probe::{Answer, Asking, Probe, ProbeError, Target};
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
///
/// /// Redis says PONG.
/// #[derive(Debug)]
/// struct Redis;
///
/// impl Probe for Redis {
///     fn probe<'a>(&'a self, target: &'a Target) -> Asking<'a> {
///         Box::pin(async {
///             let address = target.address().ip().ok_or(ProbeError::other("not by TCP"))?;
///             let mut stream = tokio::net::TcpStream::connect(address).await?;
///             stream.write_all(b"PING\r\n").await?;
///             let mut answer = [0; 7];
///             stream.read_exact(&mut answer).await?;
///             if &answer == b"+PONG\r\n" {
///                 Ok(Answer::Pass)
///             } else {
///                 Err(ProbeError::other("PING was not answered by PONG"))
///             }
///         })
///     }
///
///     fn describe(&self) -> String {
///         "Redis PING".to_owned()
///     }
/// }
/// ```
pub trait Probe: fmt::Debug + Send + Sync + 'static {
    /// Asks once. The future ends when there is an answer or none can come; to stop waiting, drop it.
    fn probe<'a>(&'a self, target: &'a Target) -> Asking<'a>;

    /// What is asked, for an admin page: `GET /healthz`, `TCP connect`.
    fn describe(&self) -> String;
}
