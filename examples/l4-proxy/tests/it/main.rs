//! The real binary, between real sockets.

mod chaos;
mod configuration;
mod connection_log;
mod crowd;
mod failover;
mod fleet;
mod handover;
mod health;
mod hostile;
mod keepalive;
mod keys;
mod lab;
mod limits;
mod proxy_protocol;
mod proxy_protocol_peers;
mod proxy_protocol_tls;
mod real_protocols;
mod relay;
mod reload;
mod shutdown;
mod sticky;
mod tls_ended;
mod tls_party;
mod tls_reload;
mod tls_routes;
mod udp;
mod unix;
mod workers;

/// The program under test.
const PROXY: &str = env!("CARGO_BIN_EXE_l4-proxy");
/// A directory for files.
const SCRATCH: &str = env!("CARGO_TARGET_TMPDIR");
