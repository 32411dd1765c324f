//! The socket that clients send to, and the table of their sessions.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use equipoise_core::BackendId;
use parking_lot::Mutex;
use tokio::net::UdpSocket;
use tokio::time::{Duration, Instant, sleep};

use super::batch::{self, Read, Reader};
use super::config::UdpConfig;
use super::counters::{Counters, Dropped};
use super::session::{Passed, Serve, Session, Task};
use super::way::{self, Way};

/// Serves the clients of one socket.
///
/// ```
/// use std::net::SocketAddr;
/// use std::sync::Arc;
/// use equipoise_core::BackendId;
/// use equipoise_tokio::udp::{Counters, End, Held, Listener, Serve, Traffic, UdpConfig, connect};
/// use tokio::net::UdpSocket;
///
/// /// All clients go to one backend.
/// struct One(SocketAddr);
/// struct Nothing;
///
/// impl Serve for One {
///     type Held = Nothing;
///     async fn open(
///         &self, _: SocketAddr, _: SocketAddr, _: Option<BackendId>,
///     ) -> Option<(UdpSocket, Nothing)> {
///         Some((connect(self.0).await.ok()?, Nothing))
///     }
/// }
///
/// impl Held for Nothing {
///     fn backend(&self) -> BackendId { BackendId::new(1) }
///     async fn gone(&self) { std::future::pending().await }
///     fn end(self, _: End, _: &Traffic) {}
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let backend = UdpSocket::bind("127.0.0.1:0").await?;
/// let socket = UdpSocket::bind("127.0.0.1:0").await?;
/// let (address, serve) = (socket.local_addr()?, Arc::new(One(backend.local_addr()?)));
/// let counters = Arc::new(Counters::default());
/// let listener = Listener::new(Arc::new(socket), serve, UdpConfig::default(), counters)?;
/// let task = tokio::spawn(listener.run(std::future::pending()));
///
/// let client = UdpSocket::bind("127.0.0.1:0").await?;
/// client.send_to(b"ping", address).await?;
/// let mut buffer = [0; 16];
/// let (len, session) = backend.recv_from(&mut buffer).await?;
/// backend.send_to(&buffer[..len], session).await?;
/// assert_eq!(client.recv_from(&mut buffer).await?, (4, address));
/// # task.abort();
/// # Ok(())
/// # }
/// ```
pub struct Listener<S>(Arc<Shared<S>>);

/// What the listener and the tasks of its sessions share.
pub(super) struct Shared<S> {
    pub(super) socket: Arc<UdpSocket>,
    pub(super) local: SocketAddr,
    pub(super) serve: Arc<S>,
    pub(super) config: UdpConfig,
    pub(super) counters: Arc<Counters>,
    pub(super) since: Instant,
    takes_trains: bool,
    table: Mutex<Table>,
}

/// Whose a session is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Flow {
    pub(super) client: SocketAddr,
    /// To which address of this machine the client sends, where the socket has them all.
    pub(super) to: Option<IpAddr>,
}

#[derive(Default)]
struct Table {
    sessions: HashMap<Flow, Arc<Session>>,
    /// Whom a backend has just refused, and when: the next session goes elsewhere.
    refused: HashMap<Flow, (BackendId, Instant)>,
}

impl<S: Serve> Listener<S> {
    /// Serves the clients that send to this socket. Nobody else may read from it: what comes may be
    /// several datagrams as a piece (`UDP_GRO`).
    ///
    /// # Errors
    /// The system does not say where the socket is bound, or to which of its addresses datagrams come.
    pub fn new(
        socket: Arc<UdpSocket>,
        serve: Arc<S>,
        config: UdpConfig,
        counters: Arc<Counters>,
    ) -> io::Result<Self> {
        let (local, since) = (socket.local_addr()?, Instant::now());
        way::name_addresses(&socket, local)?;
        batch::widen(&socket);
        Ok(Self(Arc::new(Shared {
            takes_trains: way::cuts_trains(&socket),
            socket,
            local,
            serve,
            config,
            counters,
            since,
            table: Mutex::default(),
        })))
    }

    /// Serves until `stop`; then its sessions end. An error of the socket is not the end: it goes on
    /// after a pause.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        tokio::select! {
            () = Shared::receive(&self.0) => {}
            () = stop => {}
        }
        // When the task is aborted instead, this is done by `drop`.
    }
}

impl<S> Drop for Listener<S> {
    fn drop(&mut self) {
        self.0.table.lock().sessions.values().for_each(|session| session.stop());
    }
}

impl<S> fmt::Debug for Listener<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shared { local, config, counters, .. } = &*self.0;
        let mut f = f.debug_struct("Listener");
        f.field("local", local).field("config", config).field("counters", counters);
        f.finish_non_exhaustive()
    }
}

impl<S> Shared<S> {
    /// Where a client sends to.
    pub(super) fn local(&self, flow: Flow) -> SocketAddr {
        SocketAddr::new(flow.to.unwrap_or(self.local.ip()), self.local.port())
    }

    /// Milliseconds since the listener began.
    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// A backend refuses a client.
    pub(super) fn refused_by(&self, flow: Flow, backend: BackendId) {
        let (mut table, now) = (self.table.lock(), Instant::now());
        if table.refused.len() >= self.config.max_sessions {
            let idle = self.config.idle;
            table.refused.retain(|_, (_, at)| now.duration_since(*at) < idle);
        }
        // One that does not fit may try the same backend again.
        if table.refused.len() < self.config.max_sessions {
            table.refused.insert(flow, (backend, now));
        }
    }

    /// Takes a session out, if it is still the client's.
    pub(super) fn forget(&self, flow: Flow, session: &Arc<Session>) {
        let mut table = self.table.lock();
        if let Entry::Occupied(entry) = table.sessions.entry(flow)
            && Arc::ptr_eq(entry.get(), session)
        {
            entry.remove();
        }
    }
}

impl<S: Serve> Shared<S> {
    async fn receive(self: &Arc<Self>) {
        let mut reader = Reader::of_listener(&self.socket);
        loop {
            let read = match self.socket.readable().await {
                Ok(()) => self.receive_batch(&mut reader),
                Err(error) => Err(error),
            };
            match read {
                // Sessions that are new get their turn before there is more for them.
                Ok(true) => tokio::task::yield_now().await,
                Ok(false) => {}
                Err(_) => sleep(Duration::from_millis(1)).await,
            }
        }
    }

    /// Says whether there may be more.
    fn receive_batch(self: &Arc<Self>, reader: &mut Reader) -> io::Result<bool> {
        batch::with(|batch| {
            let (count, may_be_more) = batch.read(&self.socket, reader)?;
            let (now, known) = (self.now(), batch.known(count));
            let mut table = self.table.lock();
            let mut start = 0;
            while let Some(first) = known.get(start) {
                let flow = Flow { client: first.from, to: first.to };
                let is_same = |read: &&Read| read.from == flow.client && read.to == flow.to;
                let end = start + known[start..].iter().take_while(is_same).count();
                let datagrams = batch.datagrams(start..end);
                self.counters.read_of_clients(datagrams.len());
                self.receive_some(&mut table, flow, &datagrams, now);
                start = end;
            }
            Ok(may_be_more)
        })
    }

    fn receive_some(
        self: &Arc<Self>,
        table: &mut Table,
        flow: Flow,
        mut datagrams: &[IoSlice<'_>],
        now: u64,
    ) {
        let mut avoid = None;
        if let Some(session) = table.sessions.get(&flow) {
            match session.send(datagrams, now) {
                Passed::Done => return,
                // These are not lost: they go to another backend.
                Passed::Refused(backend, done) => {
                    avoid = Some(backend);
                    datagrams = &datagrams[done..];
                }
            }
            table.sessions.remove(&flow);
        }
        if !self.counters.enter(self.config.max_sessions) {
            return self.counters.drop_some(Dropped::Full, datagrams.len());
        }
        let remembered = table.refused.remove(&flow);
        let avoid = avoid.or_else(|| {
            let (backend, at) = remembered?;
            (at.elapsed() < self.config.idle).then_some(backend)
        });
        let to_client = Way::to(flow.client, flow.to, self.takes_trains);
        let session = Session::new(to_client, self.takes_trains, Arc::clone(&self.counters), now);
        let session = Arc::new(session);
        session.send(datagrams, now);
        table.sessions.insert(flow, Arc::clone(&session));
        tokio::spawn(Task { shared: Arc::clone(self), session, flow, avoid }.run());
    }
}
