//! An HTTP reverse proxy on Equipoise, tokio and hyper.
//!
//! | module | what it does |
//! |---|---|
//! | `config` | flags or a TOML file, checked |
//! | `start` | from a configuration to a running proxy |
//! | `demo` | three backends in this process, to have something to balance over |
//! | `server` | one client's connection: limits, timeouts, shutdown |
//! | `proxy` | one request: target, route, forward, log |
//! | `target` | which host is asked, and is the request well formed |
//! | `route` | which pool takes it |
//! | [`seen`] | what a pool's key may be made from |
//! | `cookies` | the cookies of a request |
//! | `affinity` | the session of a request: what it brought, and what its client is told |
//! | `forward` | pick, send, and try the next one: the heart |
//! | `upstream` | a backend's connections, reused |
//! | `upload` | the request body on its way to the backend |
//! | `download` | the response body on its way to the client; it holds the lease |
//! | `headers` | hop-by-hop and forwarded headers |
//! | `refusal` | the proxy's own answers |
//! | `request_log` | one line per request |

mod affinity;
mod config;
mod cookies;
mod demo;
mod download;
mod forward;
mod headers;
mod proxy;
mod refusal;
mod request_log;
mod route;
pub mod seen;
mod server;
mod start;
mod target;
mod upload;
mod upstream;

use std::process::ExitCode;

const NAME: &str = "l7-proxy";

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
