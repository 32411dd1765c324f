//! One line per connection.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::Ordering::Relaxed;

use equipoise_core::{Clock, Instant, PinOutcome};
use equipoise_tokio::relay::Bytes;
use proxy_kit::clock::Monotonic;
use proxy_kit::log;

/// What is known of a connection. It is written when this is dropped, so that a connection that
/// shutdown cuts has its line too.
#[derive(Debug)]
pub(crate) struct ConnectionLog {
    clock: Monotonic,
    since: Instant,
    client: SocketAddr,
    /// The proxy in front, if one said who the client is.
    via: Option<SocketAddr>,
    pool: String,
    backend: Option<String>,
    attempts: u32,
    /// What came of its session.
    pub(crate) pin: Option<PinOutcome>,
    pub(crate) bytes: Bytes,
    /// Of UDP: how many the client sent, and how many it got.
    pub(crate) datagrams: Option<(u64, u64)>,
    end: String,
}

impl ConnectionLog {
    pub(crate) fn new(clock: Monotonic, client: SocketAddr, pool: &str) -> Self {
        let (since, pool) = (clock.now(), pool.to_owned());
        let end = "cut by shutdown".to_owned();
        Self {
            clock,
            since,
            client,
            via: None,
            pool,
            backend: None,
            attempts: 0,
            pin: None,
            bytes: Bytes::default(),
            datagrams: None,
            end,
        }
    }

    /// Another pool than that of the listener takes it.
    pub(crate) fn routed(&mut self, pool: &str) {
        pool.clone_into(&mut self.pool);
    }

    /// The client turns out to be another one, who came by a proxy.
    pub(crate) fn client(&mut self, client: SocketAddr) {
        if client != self.client {
            self.via = Some(std::mem::replace(&mut self.client, client));
        }
    }

    /// A backend is tried.
    pub(crate) fn attempt(&mut self, backend: &str) {
        self.backend = Some(backend.to_owned());
        self.attempts += 1;
    }

    /// How it ended, in a word or in the words of an error.
    pub(crate) fn end(&mut self, how: &dyn fmt::Display) {
        self.end = how.to_string();
    }
}

impl Drop for ConnectionLog {
    fn drop(&mut self) {
        let pin = self.pin.map(|pin| format!(" pin={}", pin.name())).unwrap_or_default();
        let via = self.via.map(|via| format!(" via={via}")).unwrap_or_default();
        let datagrams =
            self.datagrams.map(|(sent, received)| format!(" datagrams={sent}/{received}"));
        let datagrams = datagrams.unwrap_or_default();
        let duration = self.clock.now().since(self.since).as_secs_f64() * 1e3;
        log::line(format_args!(
            "{}{via} pool={} backend={} attempts={}{pin} sent={} received={}{datagrams} duration={duration:.1}ms end=\"{}\"",
            self.client,
            self.pool,
            self.backend.as_deref().unwrap_or("-"),
            self.attempts,
            self.bytes.from_client.load(Relaxed),
            self.bytes.from_backend.load(Relaxed),
            self.end,
        ));
    }
}
