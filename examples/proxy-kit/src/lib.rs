//! What the example proxies share: everything between the command line and the first request, and
//! between the last request and the exit.
//!
//! | module | what it does |
//! |---|---|
//! | [`flags`] | the command line |
//! | [`file`](mod@file) | reads a TOML file; an error is one line with the place in the file |
//! | [`backend`] | a backend as it is written: `host:port[,weight=N][,backup][,max=N][,check=PORT]`, `unix:/path[...]`, or a table |
//! | [`settings`] | sections of a configuration, checked into types that can't be wrong |
//! | [`health`] | how the health of backends is found out: as it is written, and checked |
//! | [`discover`] | backends from a file or a name server |
//! | [`admin`] | shows an operator the backends and their health, and lets them be changed |
//! | [`keys`] | by which key a pool picks: as it is written, checked, and at work |
//! | [`sticky`] | how a pool keeps a session's requests together: as it is written, checked, and at work |
//! | [`pools`] | resolved backends in an `equipoise_pool::Pool` |
//! | [`connect`] | a connection to a backend, in a limited time |
//! | [`peer`] | who is at the other end of a connection |
//! | [`listen`] | bound sockets, and what serves the connections that each accepts |
//! | [`workers`] | threads that serve connections by themselves |
//! | [`keepalive`] | TCP's own probes of connections on which nothing happens |
//! | [`descriptors`] | file descriptors: as many as may be had, and how many clients they are enough for |
//! | [`tls`] | TLS that ends at a listener: certificates that are read anew, and the handshake |
//! | `handover` | one process takes the place of another, with its sockets |
//! | [`shutdown`] | signals, connections in hand, and the wait for them |
//! | [`clock`] | the one place that reads the time |
//! | [`run`](mod@run) | from `main` to the exit code |
//! | [`log`] | lines on the standard output |
//!
//! # The order of a start
//! 1. Check the configuration: no I/O.
//! 2. Resolve all backends.
//! 3. Bind all listeners, but for those that are inherited.
//! 4. Serve.
//!
//! Whatever goes wrong in 1 to 3 is a [`StartError`]: one line, exit code 2, and nothing was
//! served. A reload takes the same steps, and whatever goes wrong in 1 to 3 leaves all as it was.

pub mod admin;
pub mod backend;
pub mod clock;
pub mod connect;
#[cfg(unix)]
pub mod descriptors;
pub mod discover;
mod error;
pub mod file;
pub mod flags;
#[cfg(unix)]
mod handover;
pub mod health;
pub mod keepalive;
pub mod keys;
pub mod listen;
pub mod log;
pub mod observer;
pub mod peer;
pub mod pools;
pub mod proxy_protocol;
pub mod run;
pub mod settings;
pub mod shutdown;
pub mod sticky;
pub mod tls;
pub mod workers;

/// Connections by TCP and over Unix sockets, and where they go.
pub use equipoise_tokio::socket;
pub use error::StartError;
