//! One client: a backend that can be reached, then the relay.

use std::io;
use std::sync::Arc;

use equipoise_core::{BackendId, Clock, Failure, HashKey, Outcome};
use equipoise_hash::key::KeyKind;
use equipoise_pool::Request;
use equipoise_tokio::relay::{ByCopy, End, Relay};
use equipoise_tokio::socket::Socket;
use proxy_kit::clock::Monotonic;
use proxy_kit::connect::{Backend, Then, is_local};
use proxy_kit::keys::PoolKey;
use proxy_kit::peer::Peer;
use proxy_kit::pools::{NamedPool, Place};
use proxy_kit::sticky::Session;
use proxy_kit::tls::ServerStream;
use socket2::SockRef;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use crate::config::Serving;
use crate::connection_log::ConnectionLog;
use crate::front::{ClientStream, Opened};
use crate::seen::Seen;
use crate::taken::Taken;
use crate::target::Target;

/// How many backends are tried for a client at most, one after the other. Where so many are dead one finds them out.
pub(crate) const MAX_TRIES: usize = 32;

/// What the connections of a pool share.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) pool: Arc<NamedPool<Target>>,
    pub(crate) clock: Monotonic,
    /// All pools share its pipes.
    pub(crate) relay: Relay,
    pub(crate) serving: Serving,
}

/// A client, and the connection to its backend.
#[derive(Debug)]
pub(crate) struct Pair {
    client: ClientStream,
    /// What the client has said so far.
    first: Vec<u8>,
    backend: Socket,
    taken: Taken,
    place: Place,
    service: Arc<Service>,
}

/// A client has no backend.
#[derive(Debug)]
pub(crate) enum NoBackend {
    /// The log knows why.
    Over,
    /// This is why, and another pool has taken the place of the one that was asked.
    Retired(Box<Opened>, String),
}

impl Service {
    /// Finds a backend for a client.
    pub(crate) async fn find(
        self: Arc<Self>,
        client: Opened,
        log: &mut ConnectionLog,
    ) -> Result<Pair, NoBackend> {
        let Opened { stream, who, first } = client;
        let sni = first.asked.sni.as_deref();
        let seen = Seen { client: who.address.ip(), local: who.local, sni };
        let key = self.pool.key.as_ref().and_then(|key| key.of(&seen));
        let send = self.pool.send_proxy();
        let alpn = stream.alpn();
        let preamble = send.map(|send| send.preamble(&who, sni, alpn)).unwrap_or_default();
        let mut place = match self.pool.admit() {
            Ok(place) => place,
            Err(refused) => {
                log.failed(refused);
                return Err(NoBackend::Over);
            }
        };
        let mut session =
            self.pool.sticky.as_deref().map(|s| s.pins.session(s.of_client(who.address.ip())));
        let speaks = !first.bytes.is_empty();
        let reached = tokio::select! {
            biased;
            reached = self.reach(key, session.as_mut(), &preamble, speaks, log) => Some(reached),
            // Who has gone is not to wait for a backend, before others who have not.
            () = stream.broken() => None,
        };
        let taken_by = reached.as_ref().and_then(|reached| reached.as_ref().ok());
        let taken_by = taken_by.map(|(taken, _)| taken.id());
        log.pin = session.as_ref().and_then(|session| session.settle(taken_by));
        let Some(reached) = reached else {
            // That says nothing of the pool.
            drop(place);
            log.failed(End::BrokenByClient.name());
            return Err(NoBackend::Over);
        };
        let (taken, backend) = match reached {
            Ok(reached) => reached,
            Err(why) if self.pool.has_retired() => {
                let client = Box::new(Opened { stream, who, first });
                return Err(NoBackend::Retired(client, why));
            }
            Err(error) => {
                place.end(Outcome::Failure(Failure::Connect));
                log.failed(error);
                return Err(NoBackend::Over);
            }
        };
        // That and how soon it could be reached says something about the backend; how long the client
        // then stays, and who breaks off, does not, and would be known too late.
        taken.sample(self.clock.now(), Outcome::Success);
        // The same holds for the pool: a trial of its circuit breaker is not to last as long as a client.
        place.sample(Outcome::Success);
        Ok(Pair { client: stream, first: first.bytes, backend, taken, place, service: self })
    }

    /// What is known of a connection of this client so far.
    pub(crate) fn log(&self, client: Peer) -> ConnectionLog {
        ConnectionLog::new(self.serving.logged, self.clock, client, &self.pool.name)
    }

    /// Whether the pool's key is made from what the client says first. If not, nothing is read:
    /// the client may wait for the backend to say something.
    pub(crate) fn looks_at_sni(&self) -> bool {
        self.pool.key.as_ref().is_some_and(|key| key.looks_at(KeyKind::Sni))
    }

    /// Whether it matters where the client connected to.
    pub(crate) fn looks_at_local(&self) -> bool {
        let by_key = |key: &PoolKey| key.looks_at(KeyKind::Connection);
        self.pool.send_proxy().is_some() || self.pool.key.as_ref().is_some_and(by_key)
    }

    /// Connects to a backend, and to the next one if it can't be reached. Nothing of the client's
    /// has been sent yet, so any of them will do, and nothing is asked of one twice: so no budget limits
    /// it, as one limits what is tried again.
    async fn reach(
        &self,
        key: Option<HashKey>,
        mut session: Option<&mut Session<'_>>,
        preamble: &[u8],
        speaks: bool,
        log: &mut ConnectionLog,
    ) -> Result<(Taken, Socket), String> {
        let mut tried = Vec::new();
        loop {
            let taken = self.pick(key, session.as_deref_mut(), &tried).await?;
            log.attempt(taken.backend.address());
            match self.connect(&taken.backend, preamble, speaks).await {
                Ok(stream) => return Ok((taken, stream)),
                // Dropped without an opinion on the backend.
                Err(error) if is_local(&error) => {
                    return Err(format!("this proxy can't connect: {error}"));
                }
                Err(error) => {
                    tried.push(taken.id());
                    taken.finish(self.clock.now(), Outcome::Failure(Failure::Connect));
                    if tried.len() == MAX_TRIES {
                        return Err(format!("{MAX_TRIES} backends can't be reached; {error}"));
                    }
                }
            }
        }
    }

    /// Connects, and says who the client is. `speaks`: it has said something.
    async fn connect(
        &self,
        backend: &Backend,
        preamble: &[u8],
        speaks: bool,
    ) -> io::Result<Socket> {
        let Serving { timeouts, keepalive, .. } = &self.serving;
        let then = if preamble.is_empty() && !speaks { Then::Wait } else { Then::Send };
        let mut stream = backend.connect(timeouts.connect, then).await?;
        if let (Some(keepalive), Socket::Tcp(stream)) = (keepalive, &stream) {
            SockRef::from(stream).set_tcp_keepalive(keepalive)?;
        }
        if !preamble.is_empty() {
            timeout(timeouts.connect, stream.write_all(preamble)).await??;
        }
        Ok(stream)
    }

    /// Picks a backend, when one is not full.
    pub(crate) async fn pick(
        &self,
        key: Option<HashKey>,
        mut session: Option<&mut Session<'_>>,
        tried: &[BackendId],
    ) -> Result<Taken, String> {
        let mut turns = self.pool.turns();
        loop {
            turns.next().await.map_err(|error| error.to_string())?;
            let mut request = Request::new().at(self.clock.now()).avoiding(tried);
            if let Some(key) = key {
                request = request.with_key(key);
            }
            let picked = match &mut session {
                // In a box: its store may be Redis, and who has no session needs no room for that.
                Some(session) => Box::pin(session.pick(self.pool.pool(), &request)).await,
                None => self.pool.pool().pick(&request),
            };
            match picked {
                Ok(lease) => {
                    turns.taken();
                    return Ok(Taken::new(lease, &self.pool));
                }
                Err(error) if turns.may_wait(&error) => {}
                Err(error) => return Err(error.to_string()),
            }
        }
    }
}

impl Pair {
    /// Passes on what both have to say, to the end.
    pub(crate) async fn relay(self, log: &mut ConnectionLog) {
        let Self { client, first, backend, taken, place, service } = self;
        let (relay, bytes, gone) = (&service.relay, &log.bytes, taken.gone());
        let end = match client {
            ClientStream::Plain(client) => relay.run(client, first, backend, bytes, gone).await,
            ClientStream::Tls(client) => {
                Box::pin(relay.run(ended_here(*client), first, backend, bytes, gone)).await
            }
        };
        drop((taken, place));
        match end {
            End::Closed => log.ended(end.name()),
            _ => log.failed(end.name()),
        }
    }
}

/// A client whose TLS ends here.
///
/// An end of the connection without TLS's own (`close_notify`) is a break: somebody in between may have
/// cut it, RFC 8446, 6.1. The backend sees a reset, not the end of what the client had to say.
fn ended_here(client: ServerStream) -> ByCopy<ServerStream> {
    ByCopy::new(client, |client| {
        client.get_ref().0.socket().set_zero_linger();
    })
}
