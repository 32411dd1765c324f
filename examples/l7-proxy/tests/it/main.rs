//! The real binary, between real sockets.

mod bodies;
mod configuration;
mod failover;
mod fleet;
mod headers;
mod health;
mod keys;
mod lab;
mod logins;
mod malformed;
mod reload;
mod reuse;
mod routes;
mod shared;
mod shutdown;
mod spread;
mod sticky;
mod timeouts;

/// The program under test.
const PROXY: &str = env!("CARGO_BIN_EXE_l7-proxy");
/// A directory for files.
const SCRATCH: &str = env!("CARGO_TARGET_TMPDIR");
