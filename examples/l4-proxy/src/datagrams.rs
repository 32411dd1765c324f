//! UDP: a backend for each client, as TCP has for each connection.

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use arc_swap::ArcSwap;
use equipoise_core::{BackendId, Clock, Failure, Outcome};
use equipoise_tokio::socket::StreamAddr;
use equipoise_tokio::udp::{Counters, End, Held, Listener, Serve, Traffic};
use parking_lot::Mutex;
use proxy_kit::connect::is_local;
use proxy_kit::listen::{Gate, InSession, Inherited};
use proxy_kit::pools::Place;
use proxy_kit::shutdown::Guard;
use proxy_kit::{StartError, log};
use tokio::net::UdpSocket;
use tokio::sync::oneshot;

use crate::NAME;
use crate::connection::{MAX_TRIES, Service};
use crate::connection_log::ConnectionLog;
use crate::seen::Seen;
use crate::shown::{Shown, ShownListener};
use crate::taken::Taken;
use crate::target::Target;
use crate::udp_listener::UdpListener;
use crate::udp_notices::{self, Unserved};

/// The UDP listeners at work.
#[derive(Debug)]
pub(crate) struct Datagrams {
    running: Vec<Running>,
    shown: Arc<Shown>,
    gate: Arc<Gate>,
    guard: Guard,
}

/// A UDP listener at work. Dropped, it stops, and so do its sessions.
#[derive(Debug)]
struct Running {
    written: UdpListener,
    socket: Arc<UdpSocket>,
    clients: Arc<Clients>,
    counters: Arc<Counters>,
    _stop: oneshot::Sender<()>,
}

/// Takes the sockets of these listeners, the inherited ones first.
pub(crate) async fn bind(
    listeners: &[UdpListener],
    inherited: &mut Inherited,
) -> Result<Vec<(UdpListener, UdpSocket)>, StartError> {
    let mut sockets = Vec::new();
    for &listener in listeners {
        let socket = match inherited.take_udp(listener.address)? {
            Some(socket) => socket,
            None => bind_one(listener.address).await?,
        };
        sockets.push((listener, socket));
    }
    Ok(sockets)
}

async fn bind_one(address: SocketAddr) -> Result<UdpSocket, StartError> {
    let wrong = |error| StartError::new(format!("listen on udp {address}"), error);
    UdpSocket::bind(address).await.map_err(wrong)
}

impl Datagrams {
    /// None yet. Each session has a place at the gate.
    pub(crate) fn new(gate: Arc<Gate>, guard: Guard) -> Self {
        Self { running: Vec::new(), shown: Arc::default(), gate, guard }
    }

    /// What an operator sees of them, now and later.
    pub(crate) fn shown(&self) -> Arc<Shown> {
        Arc::clone(&self.shown)
    }

    /// Binds those listeners that are not there yet. One whose limits are others has its socket already.
    pub(crate) async fn bind(
        &self,
        listeners: &[UdpListener],
    ) -> Result<Vec<(UdpListener, UdpSocket)>, StartError> {
        let mut sockets = Vec::new();
        for &listener in listeners {
            if self.running.iter().all(|running| running.written.address != listener.address) {
                sockets.push((listener, bind_one(listener.address).await?));
            }
        }
        Ok(sockets)
    }

    /// From now on these are the listeners; `services` serve the pools. Sessions stay where a listener is as
    /// it was, with their backends even if its pool is another one.
    pub(crate) fn switch(
        &mut self,
        listeners: &[UdpListener],
        services: &[Arc<Service>],
        new: Vec<(UdpListener, UdpSocket)>,
    ) -> Result<(), StartError> {
        let mut before = std::mem::take(&mut self.running);
        let mut new: Vec<_> =
            new.into_iter().map(|(listener, socket)| (listener, Arc::new(socket))).collect();
        for &listener in listeners {
            let service = Arc::clone(&services[listener.pool]);
            let at = before.iter().position(|old| old.written.address == listener.address);
            if let Some(old) = at.map(|at| before.swap_remove(at)) {
                if old.written.config == listener.config {
                    old.clients.service.store(service);
                    self.running.push(Running { written: listener, ..old });
                } else {
                    let (socket, counters) = (Arc::clone(&old.socket), Arc::clone(&old.counters));
                    drop(old);
                    self.running.push(self.start(listener, socket, service, counters)?);
                }
            } else if let Some(at) = new.iter().position(|(bound, _)| *bound == listener) {
                let (_, socket) = new.swap_remove(at);
                let address = address_of(&socket)?;
                self.running.push(self.start(listener, socket, service, Arc::default())?);
                log::line(format_args!("{NAME}: serving udp {address}"));
            }
        }
        for old in before {
            log::line(format_args!("{NAME}: no longer serving udp {}", address_of(&old.socket)?));
        }
        self.shown.replace(self.running.iter().map(Running::shown).collect::<Result<_, _>>()?);
        Ok(())
    }

    fn start(
        &self,
        written: UdpListener,
        socket: Arc<UdpSocket>,
        service: Arc<Service>,
        counters: Arc<Counters>,
    ) -> Result<Running, StartError> {
        let clients = Arc::new(Clients {
            service: ArcSwap::new(service),
            gate: Arc::clone(&self.gate),
            guard: self.guard.clone(),
            unserved: Mutex::default(),
        });
        let (serve, at) = (Arc::clone(&clients), Arc::clone(&socket));
        let (address, most) = (address_of(&socket)?, written.config.max_sessions);
        let counted = Arc::clone(&counters);
        let listener = Listener::new(at, serve, written.config, Arc::clone(&counters))
            .map_err(|error| StartError::new("udp listener", error))?;
        let (stop, stopped) = oneshot::channel::<()>();
        let mut guard = self.guard.clone();
        tokio::spawn(listener.run(async move {
            tokio::select! {
                _ = stopped => {}
                () = guard.stopping() => {}
                () = udp_notices::tell_when_full(address, most, &counted) => {}
            }
        }));
        Ok(Running { written, socket, clients, counters, _stop: stop })
    }

    /// The sockets, for whoever takes them over.
    pub(crate) fn sockets(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.running.iter().map(|running| running.socket.as_fd())
    }
}

impl Running {
    fn shown(&self) -> Result<ShownListener, StartError> {
        Ok(ShownListener {
            address: address_of(&self.socket)?,
            pool: self.clients.service.load().pool.name.to_string(),
            max_sessions: self.written.config.max_sessions,
            counters: Arc::clone(&self.counters),
        })
    }
}

fn address_of(socket: &UdpSocket) -> Result<SocketAddr, StartError> {
    socket.local_addr().map_err(|error| StartError::new("udp listener", error))
}

/// Finds backends for the clients of a listener.
#[derive(Debug)]
pub(crate) struct Clients {
    service: ArcSwap<Service>,
    gate: Arc<Gate>,
    /// Shutdown waits until the end of each session is in the log.
    guard: Guard,
    unserved: Mutex<Unserved>,
}

/// A client's session.
#[derive(Debug)]
pub(crate) struct Session {
    lease: Taken,
    service: Arc<Service>,
    place: Mutex<Place>,
    log: ConnectionLog,
    _in_session: InSession,
    _guard: Guard,
}

impl Serve for Clients {
    type Held = Session;

    async fn open(
        &self,
        client: SocketAddr,
        local: SocketAddr,
        avoid: Option<BackendId>,
    ) -> Option<(UdpSocket, Session)> {
        let service = self.service.load_full();
        let mut log = service.log(client.into());
        let reached = match self.gate.try_begin() {
            Some(in_session) => reach(&service, client, local, avoid, &mut log)
                .await
                .map(|(lease, place, socket)| (in_session, lease, place, socket)),
            None => Err(format!("no file descriptor for it: {}", self.gate)),
        };
        match reached {
            Ok((_in_session, lease, place, socket)) => {
                let (_guard, place) = (self.guard.clone(), Mutex::new(place));
                Some((socket, Session { lease, service, place, log, _in_session, _guard }))
            }
            Err(why) => {
                match self.unserved.lock().note(service.clock.now()) {
                    Some(0) => log.failed(why),
                    Some(more) => log.failed(format!("{why}; and {more} more since the last line")),
                    None => log.silence(),
                }
                None
            }
        }
    }
}

async fn reach(
    service: &Service,
    client: SocketAddr,
    local: SocketAddr,
    avoid: Option<BackendId>,
    log: &mut ConnectionLog,
) -> Result<(Taken, Place, UdpSocket), String> {
    let seen = Seen { client: Some(client), local: Some(local), sni: None };
    let key = service.pool.key.as_ref().and_then(|key| key.of(&seen));
    let place = service.pool.admit()?;
    let sticky = service.pool.sticky.as_deref();
    let mut session = sticky.map(|s| s.pins.session(s.of_client(Some(client))));
    let (mut tried, mut asked_again) = (Vec::from_iter(avoid), false);
    loop {
        let picked = service.pick(key, session.as_mut(), &tried).await;
        let taken_by = picked.as_ref().ok().map(Taken::id);
        let lease = match picked {
            Ok(lease) => lease,
            // There is nobody else: perhaps it is back.
            Err(_) if tried.len() == 1 && tried.first() == avoid.as_ref() && !asked_again => {
                tried.clear();
                asked_again = true;
                continue;
            }
            Err(why) => {
                log.pin = session.as_ref().and_then(|session| session.settle(None));
                return Err(why);
            }
        };
        log.attempt(lease.backend.address());
        match connect(&lease).await {
            Ok(socket) => {
                log.pin = session.as_ref().and_then(|session| session.settle(taken_by));
                return Ok((lease, place, socket));
            }
            Err(error) if is_local(&error) => {
                return Err(format!("this proxy can't connect: {error}"));
            }
            Err(_) => {
                tried.push(lease.id());
                lease.finish(service.clock.now(), Outcome::Failure(Failure::Connect));
                if tried.len() >= MAX_TRIES {
                    return Err(format!("{MAX_TRIES} backends can't be reached"));
                }
            }
        }
    }
}

/// A socket to the first address of the backend to which there is a way.
async fn connect(target: &Target) -> std::io::Result<UdpSocket> {
    let mut result = Err(std::io::ErrorKind::NotFound.into());
    for address in target.backend.addresses().iter().filter_map(StreamAddr::ip) {
        result = equipoise_tokio::udp::connect(address).await;
        if result.is_ok() {
            break;
        }
    }
    result
}

impl Held for Session {
    fn backend(&self) -> BackendId {
        self.lease.id()
    }

    fn answered(&self) {
        self.lease.sample(self.service.clock.now(), Outcome::Success);
        // A trial of the pool's circuit breaker is not to last as long as the client.
        self.place.lock().sample(Outcome::Success);
    }

    async fn gone(&self) {
        self.lease.gone().await;
    }

    fn end(self, end: End, traffic: &Traffic) {
        // The guard first: it goes last, after the log.
        let Self { _guard, _in_session, lease, service, place, mut log } = self;
        let place = place.into_inner();
        if end == End::Refused {
            let outcome = Outcome::Failure(Failure::Connect);
            lease.finish(service.clock.now(), outcome);
            place.end(outcome);
        } else {
            // If nobody has answered, perhaps nobody was to: that says nothing of anybody.
            drop((lease, place));
        }
        log.bytes.from_client.store(traffic.sent_bytes.load(Relaxed), Relaxed);
        log.bytes.from_backend.store(traffic.received_bytes.load(Relaxed), Relaxed);
        log.datagrams = Some((traffic.sent.load(Relaxed), traffic.received.load(Relaxed)));
        match end {
            End::Refused | End::TakenOut => log.failed(end.to_string()),
            _ => log.ended(end.to_string()),
        }
    }
}
