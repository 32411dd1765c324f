//! A proxy of TCP, Unix sockets and UDP on Equipoise and tokio.
//!
//! | module | what it does |
//! |---|---|
//! | `config` | flags or a TOML file, checked |
//! | `start` | from a configuration to a running proxy |
//! | `front` | what comes before there is a pool: the handshake, or the ClientHello, and the route |
//! | `routes` | which pool takes which host and protocol |
//! | `connection` | one client: a backend that can be reached, then the relay |
//! | `udp_listener` | `[[udp]]`, as it is written and checked |
//! | `udp_notices` | what the log says of a flood of datagrams, in few lines |
//! | `datagrams` | UDP: a backend for each client, as TCP has for each connection |
//! | `shown` | what an operator sees of the UDP listeners |
//! | `seen` | what a pool's key may be made from |
//! | `first_bytes` | what a client says before it has a backend, when the key wants to know |
//! | [`client_hello`] | whom the beginning of a TLS connection asks for |
//! | `taken` | a connection's place at a backend |
//! | `target` | a backend, and a way to reach its connections |
//! | `connection_log` | one line per connection |

pub mod client_hello;
mod config;
mod connection;
mod connection_log;
mod datagrams;
mod first_bytes;
mod front;
mod routes;
mod seen;
mod shown;
mod start;
mod taken;
mod target;
mod udp_listener;
mod udp_notices;

use std::process::ExitCode;

const NAME: &str = "l4-proxy";

/// The program: `main` returns what this returns.
pub fn main() -> ExitCode {
    match proxy_kit::flags::parse(NAME) {
        Ok(cli) => proxy_kit::run::run(NAME, start::start(cli)),
        Err(code) => code,
    }
}

/// Checks a configuration, as `--check` does but without resolving its backends: the reader alone,
/// for the fuzzer.
///
/// # Errors
/// What is wrong with it.
pub fn check(text: &str) -> Result<(), proxy_kit::StartError> {
    config::Settings::from_text("text", text).map(drop)
}
