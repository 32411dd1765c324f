//! One client's session, from its first datagram to its end.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::task::Poll;

use equipoise_core::BackendId;
use parking_lot::Mutex;
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::Notify;
use tokio::time::{Duration, Instant, sleep_until};

use super::batch::{self, Reader};
use super::counters::{Counters, Dropped};
use super::listener::{Flow, Shared};
use super::way::{Way, is_refusal};

/// Finds backends for clients.
pub trait Serve: Send + Sync + 'static {
    /// What a session holds as long as it lives: a lease, a line of a log.
    type Held: Held;

    /// Finds a backend for a client that has sent to `local`, and [`connect`]s to it. `avoid` is the one
    /// that has just refused this client. `None` if there is none: then what the client has sent
    /// meanwhile is dropped, and its next datagram asks again.
    fn open(
        &self,
        client: SocketAddr,
        local: SocketAddr,
        avoid: Option<BackendId>,
    ) -> impl Future<Output = Option<(UdpSocket, Self::Held)>> + Send;
}

/// What a session holds. Dropped without [`end`](Self::end), the session was cut off with its runtime.
pub trait Held: Send + Sync + 'static {
    /// The backend.
    fn backend(&self) -> BackendId;

    /// The backend has answered for the first time.
    fn answered(&self) {}

    /// Waits until the backend may take nothing any more.
    fn gone(&self) -> impl Future<Output = ()> + Send;

    /// The session has ended.
    fn end(self, end: End, traffic: &Traffic);
}

/// How a session ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum End {
    /// Neither side has sent anything for as long as may be.
    Idle,
    /// The backend has sent all answers that were waited for.
    Answered,
    /// Nobody listens at the backend: ICMP says so, or another error of the socket.
    Refused,
    /// The backend was taken out.
    TakenOut,
    /// The listener has stopped.
    Stopped,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Idle => "idle",
            Self::Answered => "answered",
            Self::Refused => "refused by backend",
            Self::TakenOut => "the backend was taken out",
            Self::Stopped => "the listener was stopped",
        })
    }
}

/// What has passed, each way.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Datagrams of the client that were sent to the backend.
    pub sent: AtomicU64,
    /// Their bytes, without headers.
    pub sent_bytes: AtomicU64,
    /// Datagrams of the backend that were sent to the client.
    pub received: AtomicU64,
    /// Their bytes, without headers.
    pub received_bytes: AtomicU64,
}

/// A socket of its own for a session, connected to a backend. Nothing is sent.
///
/// # Errors
/// Too many open files, or no way to the address.
pub async fn connect(backend: SocketAddr) -> io::Result<UdpSocket> {
    let any = match backend {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(backend).await?;
    Ok(socket)
}

/// Bytes that may wait for one session to get its backend, and for all of them.
const WAITING: usize = 256 << 10;
const ALL_WAITING: usize = 8 << 20;
/// What a datagram costs besides its bytes, so that empty ones are bounded, too.
const OVERHEAD: usize = 64;

/// What the listener and the session's task share.
pub(super) struct Session {
    upstream: OnceLock<(UdpSocket, BackendId)>,
    to_backend: Way,
    to_client: Way,
    waiting: Mutex<Vec<Box<[u8]>>>,
    waiting_bytes: AtomicUsize,
    pub(super) traffic: Traffic,
    /// Milliseconds of the listener's clock.
    last: AtomicU64,
    refused: AtomicBool,
    kick: Notify,
    counters: Arc<Counters>,
}

/// What came of a client's datagrams.
pub(super) enum Passed {
    /// They are on their way, wait, or were counted as dropped.
    Done,
    /// This backend refuses. So many of them are dealt with; the others were not sent.
    Refused(BackendId, usize),
}

impl Session {
    pub(super) fn new(
        to_client: Way,
        takes_trains: bool,
        counters: Arc<Counters>,
        now: u64,
    ) -> Self {
        Self {
            upstream: OnceLock::new(),
            to_backend: Way::connected(takes_trains),
            to_client,
            waiting: Mutex::default(),
            waiting_bytes: AtomicUsize::new(0),
            traffic: Traffic::default(),
            last: AtomicU64::new(now),
            refused: AtomicBool::new(false),
            kick: Notify::new(),
            counters,
        }
    }

    /// Sends datagrams of the client's, or keeps them until there is a backend.
    pub(super) fn send(&self, datagrams: &[IoSlice<'_>], now: u64) -> Passed {
        self.last.store(now, Relaxed);
        if let Some(upstream) = self.upstream.get() {
            return self.pass(upstream, datagrams);
        }
        let mut waiting = self.waiting.lock();
        // It may have got one while we waited for the lock.
        if let Some(upstream) = self.upstream.get() {
            drop(waiting);
            return self.pass(upstream, datagrams);
        }
        for datagram in datagrams {
            let cost = datagram.len() + OVERHEAD;
            if self.waiting_bytes.load(Relaxed) + cost > WAITING
                || !self.counters.keep(cost, ALL_WAITING)
            {
                self.counters.drop_some(Dropped::Waiting, 1);
            } else {
                self.waiting_bytes.fetch_add(cost, Relaxed);
                waiting.push(Box::from(&**datagram));
            }
        }
        Passed::Done
    }

    fn pass(
        &self,
        (socket, backend): &(UdpSocket, BackendId),
        datagrams: &[IoSlice<'_>],
    ) -> Passed {
        if self.refused.load(Relaxed) {
            return Passed::Refused(*backend, 0);
        }
        let sent = self.to_backend.send(socket, datagrams);
        self.traffic.sent.fetch_add(sent.count as u64, Relaxed);
        self.traffic.sent_bytes.fetch_add(sent.bytes as u64, Relaxed);
        self.counters.sent_to_backend(sent);
        if sent.refused {
            self.refused.store(true, Relaxed);
            self.kick.notify_one();
            return Passed::Refused(*backend, sent.count + sent.unsent);
        }
        Passed::Done
    }

    /// There is a backend: what waits goes first.
    fn connect(&self, socket: UdpSocket, backend: BackendId) -> &UdpSocket {
        let mut waiting = self.waiting.lock();
        let upstream = (socket, backend);
        let datagrams = std::mem::take(&mut *waiting);
        let datagrams: Vec<_> = datagrams.iter().map(|datagram| IoSlice::new(datagram)).collect();
        if let Passed::Refused(_, done) = self.pass(&upstream, &datagrams) {
            self.counters.drop_some(Dropped::Unserved, datagrams.len() - done);
        }
        self.counters.release(self.waiting_bytes.swap(0, Relaxed));
        &self.upstream.get_or_init(|| upstream).0
    }

    /// Ends it from outside.
    pub(super) fn stop(&self) {
        self.kick.notify_one();
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let left = self.waiting.get_mut().len();
        self.counters.drop_some(Dropped::Unserved, left);
        self.counters.release(*self.waiting_bytes.get_mut());
    }
}

/// The session's task. Dropped, the session is out of the table.
pub(super) struct Task<S> {
    pub(super) shared: Arc<Shared<S>>,
    pub(super) session: Arc<Session>,
    pub(super) flow: Flow,
    pub(super) avoid: Option<BackendId>,
}

impl<S: Serve> Task<S> {
    pub(super) async fn run(self) {
        let (shared, session) = (&self.shared, &self.session);
        let (client, local) = (self.flow.client, shared.local(self.flow));
        let opened = shared.serve.open(client, local, self.avoid).await;
        let Some((socket, held)) = opened else { return };
        let end = {
            let mut gone = pin!(held.gone());
            // A new socket can be written to, but tokio does not know yet.
            let _ = socket.writable().await;
            let socket = session.connect(socket, held.backend());
            // An error alone (ICMP) does not make a socket readable.
            let mut failed = pin!(socket.ready(Interest::ERROR));
            let mut sleep = pin!(sleep_until(self.ends_at()));
            let mut kick = pin!(session.kick.notified());
            let (mut reader, mut answers) = (Reader::of_own(socket), 0);
            poll_fn(|cx| {
                while let Poll::Ready(ready) = socket.poll_recv_ready(cx) {
                    // The runtime is being shut down.
                    if ready.is_err() {
                        return Poll::Ready(End::Stopped);
                    }
                    match self.pass_answers(socket, &mut reader, &held, &mut answers) {
                        Ok(true) => {
                            // From here on nobody asks more of it. Who has meanwhile gets the answer.
                            shared.forget(self.flow, session);
                            if answers >= self.wanted() {
                                return Poll::Ready(End::Answered);
                            }
                        }
                        Ok(false) => {}
                        Err(error) if is_refusal(&error) => return Poll::Ready(End::Refused),
                        // Nothing that says that the socket is of no use any more.
                        Err(_) => {}
                    }
                }
                while failed.as_mut().poll(cx).is_ready() {
                    // Whoever has taken the error already says so by `kick`.
                    if let Ok(Some(error)) = socket.take_error()
                        && is_refusal(&error)
                    {
                        return Poll::Ready(End::Refused);
                    }
                    let clear = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
                    let _ = socket.try_io(Interest::ERROR, clear);
                    failed.set(socket.ready(Interest::ERROR));
                }
                if gone.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(End::TakenOut);
                }
                if kick.as_mut().poll(cx).is_ready() {
                    let refused = session.refused.load(Relaxed);
                    return Poll::Ready(if refused { End::Refused } else { End::Stopped });
                }
                while sleep.as_mut().poll(cx).is_ready() {
                    let ends_at = self.ends_at();
                    if ends_at <= Instant::now() {
                        return Poll::Ready(End::Idle);
                    }
                    // Each datagram puts the end off; the timer is set anew only here.
                    sleep.as_mut().reset(ends_at);
                }
                Poll::Pending
            })
            .await
        };
        if end == End::Refused {
            session.refused.store(true, Relaxed);
            shared.refused_by(self.flow, held.backend());
        }
        shared.counters.end(end);
        let session = Arc::clone(session);
        // First out of the table, so that the next datagram finds another backend.
        drop(self);
        held.end(end, &session.traffic);
    }

    fn ends_at(&self) -> Instant {
        let last = Duration::from_millis(self.session.last.load(Relaxed));
        self.shared.since + last + self.shared.config.idle
    }

    /// How many answers are waited for.
    fn wanted(&self) -> u64 {
        let questions = self.session.traffic.sent.load(Relaxed);
        let responses = self.shared.config.responses;
        responses.map_or(u64::MAX, |each| questions.saturating_mul(each.get().into()))
    }

    /// Passes answers on. Says whether there were as many as were waited for.
    fn pass_answers(
        &self,
        socket: &UdpSocket,
        reader: &mut Reader,
        held: &S::Held,
        answers: &mut u64,
    ) -> io::Result<bool> {
        let (shared, session) = (&self.shared, &self.session);
        batch::with(|batch| {
            let (count, _) = batch.read(socket, reader)?;
            if count == 0 {
                return Ok(false);
            }
            session.last.store(shared.now(), Relaxed);
            if *answers == 0 {
                held.answered();
            }
            let most = self.wanted();
            let datagrams = batch.datagrams(0..count);
            let count = datagrams.len();
            let wanted = count.min(usize::try_from(most.saturating_sub(*answers)).unwrap_or(count));
            *answers += wanted as u64;
            let sent = session.to_client.send(&shared.socket, &datagrams[..wanted]);
            session.traffic.received.fetch_add(sent.count as u64, Relaxed);
            session.traffic.received_bytes.fetch_add(sent.bytes as u64, Relaxed);
            shared.counters.read_of_a_backend(count);
            shared.counters.sent_to_client(sent);
            shared.counters.drop_some(Dropped::Unserved, count - wanted);
            Ok(*answers >= most)
        })
    }
}

impl<S> Drop for Task<S> {
    fn drop(&mut self) {
        self.shared.forget(self.flow, &self.session);
        self.shared.counters.leave();
    }
}
