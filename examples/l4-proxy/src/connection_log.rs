//! One line per connection.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use equipoise_core::{Clock, Instant, PinOutcome};
use equipoise_tokio::relay::Bytes;
use proxy_kit::backend::Address;
use proxy_kit::clock::Monotonic;
use proxy_kit::log::{self, Logged};
use proxy_kit::peer::Peer;

/// What is known of a connection. It is written when this is dropped, so that a connection that
/// shutdown cuts has its line too.
#[derive(Debug)]
pub(crate) struct ConnectionLog {
    which: Logged,
    clock: Monotonic,
    since: Instant,
    client: Peer,
    /// The proxy in front, if one said who the client is.
    via: Option<Peer>,
    pool: Arc<str>,
    backend: Option<Address>,
    attempts: u32,
    /// What came of its session.
    pub(crate) pin: Option<PinOutcome>,
    pub(crate) bytes: Bytes,
    /// Of UDP: how many the client sent, and how many it got.
    pub(crate) datagrams: Option<(u64, u64)>,
    end: Cow<'static, str>,
    is_well: bool,
}

impl ConnectionLog {
    pub(crate) fn new(which: Logged, clock: Monotonic, client: Peer, pool: &Arc<str>) -> Self {
        Self {
            which,
            clock,
            since: clock.now(),
            client,
            via: None,
            pool: Arc::clone(pool),
            backend: None,
            attempts: 0,
            pin: None,
            bytes: Bytes::default(),
            datagrams: None,
            end: Cow::Borrowed("cut by shutdown"),
            is_well: false,
        }
    }

    /// Another pool than that of the listener takes it.
    pub(crate) fn routed(&mut self, pool: &Arc<str>) {
        self.pool = Arc::clone(pool);
    }

    /// The client turns out to be another one, who came by a proxy.
    pub(crate) fn client(&mut self, client: Peer) {
        if client != self.client {
            self.via = Some(std::mem::replace(&mut self.client, client));
        }
    }

    /// A backend is tried.
    pub(crate) fn attempt(&mut self, backend: &Address) {
        self.backend = Some(backend.clone());
        self.attempts += 1;
    }

    /// It ended as it should.
    pub(crate) fn ended(&mut self, how: impl Into<Cow<'static, str>>) {
        (self.end, self.is_well) = (how.into(), true);
    }

    /// It is not to be written.
    pub(crate) fn silence(&mut self) {
        self.which = Logged::Off;
    }

    /// Something went wrong.
    pub(crate) fn failed(&mut self, why: impl Into<Cow<'static, str>>) {
        (self.end, self.is_well) = (why.into(), false);
    }
}

impl fmt::Display for ConnectionLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.client)?;
        if let Some(via) = self.via {
            write!(f, " via={via}")?;
        }
        let backend = self.backend.as_ref().map_or("-", Address::as_str);
        write!(f, " pool={} backend={backend} attempts={}", self.pool, self.attempts)?;
        if let Some(pin) = self.pin {
            write!(f, " pin={}", pin.name())?;
        }
        let Bytes { from_client, from_backend } = &self.bytes;
        let (sent, received) = (from_client.load(Relaxed), from_backend.load(Relaxed));
        write!(f, " sent={sent} received={received}")?;
        if let Some((sent, received)) = self.datagrams {
            write!(f, " datagrams={sent}/{received}")?;
        }
        let duration = self.clock.now().since(self.since).as_secs_f64() * 1e3;
        write!(f, " duration={duration:.1}ms end=\"{}\"", self.end)
    }
}

impl Drop for ConnectionLog {
    fn drop(&mut self) {
        let is_written = match self.which {
            Logged::All => true,
            Logged::Failed => !self.is_well,
            Logged::Off => false,
        };
        if is_written {
            log::line(format_args!("{self}"));
        }
    }
}
