//! Bound sockets, and what serves the connections that each accepts.

mod accept;
mod gate;
mod inherited;
mod listener;
mod unix;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use equipoise_tokio::socket::{Socket, StreamAddr};
use socket2::{Domain, SockRef, TcpKeepalive, Type};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

pub use self::accept::accept;
pub use self::gate::{Entered, Gate, InSession, Limit};
pub use self::inherited::Inherited;
pub use self::listener::Listener;

use self::accept::accept_at;
use self::listener::address_of;
use self::unix::SocketFile;
use crate::peer::Peer;
use crate::shutdown::Guard;
use crate::workers::Workers;
use crate::{StartError, log};

/// Connections that the system keeps until they are accepted, if it keeps so many: `somaxconn`.
const BACKLOG: i32 = 4096;

/// What serves the connections of a listener.
pub trait Serve: Sized + Send + Sync + 'static {
    /// Serves a connection to its end. `service` is what serves now; after a reload there is another
    /// one in it. `guard` is held as long as shutdown has to wait for it.
    fn serve(
        service: Arc<ArcSwap<Self>>,
        stream: Socket,
        client: Peer,
        guard: Guard,
    ) -> impl Future<Output = ()> + Send + 'static;
}

/// The sockets that listen on an address, one for each worker, and the address as it is written: its
/// port may be 0. Those of a Unix address are one socket, which all workers share.
#[derive(Debug)]
pub struct Bound {
    written: StreamAddr,
    sockets: Vec<socket2::Socket>,
    /// What is removed with them.
    file: Option<SocketFile>,
}

impl Bound {
    /// Listens here, with so many sockets.
    ///
    /// # Errors
    /// An address that can't be had, by name: in use, not of this machine, not allowed.
    pub fn new(address: StreamAddr, sockets: usize) -> Result<Self, StartError> {
        Self { written: address, sockets: Vec::new(), file: None }.filled(sockets)
    }

    /// With more sockets, until there are so many.
    fn filled(mut self, sockets: usize) -> Result<Self, StartError> {
        while self.sockets.len() < sockets {
            let socket = self.another(sockets > 1);
            self.sockets.push(socket.map_err(|error| cannot_listen(&self.written, &error))?);
        }
        Ok(self)
    }

    fn another(&mut self, is_shared: bool) -> io::Result<socket2::Socket> {
        match (&self.written, self.sockets.first()) {
            (StreamAddr::Ip(address), None) => listen(*address, is_shared),
            // The first one has chosen the port.
            (StreamAddr::Ip(address), Some(first)) => {
                listen(address_of(first)?.ip().unwrap_or(*address), is_shared)
            }
            (StreamAddr::Unix(path), None) => {
                let (socket, file) = unix::listen(path)?;
                self.file = Some(file);
                Ok(socket)
            }
            (StreamAddr::Unix(_), Some(first)) => first.try_clone(),
        }
    }
}

fn cannot_listen(address: &StreamAddr, error: &io::Error) -> StartError {
    StartError::new(format!("listen on {address}"), error)
}

/// `is_shared`: with other sockets on the same address, among which the system deals out connections.
fn listen(address: SocketAddr, is_shared: bool) -> io::Result<socket2::Socket> {
    let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    // Connections of a process before this one may be in TIME_WAIT.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    #[cfg(unix)]
    socket.set_reuse_port(is_shared)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

/// Binds all addresses, or none.
///
/// # Errors
/// As [`Bound::new`].
pub fn bind(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, StartError> {
    addresses.iter().map(|&address| bind_one(address)).collect()
}

/// Binds an address.
///
/// # Errors
/// As [`Bound::new`].
pub fn bind_one(address: SocketAddr) -> Result<TcpListener, StartError> {
    let listener = listen(address, false).and_then(|socket| TcpListener::from_std(socket.into()));
    listener.map_err(|error| cannot_listen(&address.into(), &error))
}

/// Binds all addresses with so many sockets each. Those that were inherited are among them where they are
/// of the same address.
///
/// # Errors
/// As [`Bound::new`].
pub fn bind_or_inherit(
    addresses: &[StreamAddr],
    sockets: usize,
    inherited: &mut Inherited,
) -> Result<Vec<Bound>, StartError> {
    let bind = |address: &StreamAddr| {
        let taken = inherited.take(address)?;
        // They may be from a process without workers.
        #[cfg(unix)]
        for socket in taken.iter().filter(|_| sockets > 1 && address.ip().is_some()) {
            let shared = socket.set_reuse_port(true);
            shared.map_err(|error| cannot_listen(address, &error))?;
        }
        // Who has bound a Unix socket removes its file.
        Bound { written: address.clone(), sockets: taken, file: None }.filled(sockets)
    };
    addresses.iter().map(bind).collect()
}

/// The sockets of a proxy at work, and what serves the connections of each. Dropped, it accepts no
/// more.
#[derive(Debug)]
pub struct Listening<S> {
    places: Vec<Place<S>>,
    gate: Arc<Gate>,
    guard: Guard,
    /// What accepts and serves connections, one socket of each address each.
    runtimes: Vec<Handle>,
    keepalive: Option<TcpKeepalive>,
}

/// An address, and who accepts there.
#[derive(Debug)]
struct Place<S> {
    written: StreamAddr,
    service: Arc<ArcSwap<S>>,
    acceptors: Vec<Acceptor>,
    file: Option<SocketFile>,
}

#[derive(Debug)]
struct Acceptor {
    listener: Arc<Listener>,
    accepts: AbortHandle,
}

/// What [`Listening::switch`] has changed.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Switched {
    /// Where it listens from now on, and has not before.
    pub opened: Vec<StreamAddr>,
    /// Where it does not listen any more.
    pub closed: Vec<StreamAddr>,
}

impl Switched {
    /// Says so.
    pub fn log(&self, program: &str) {
        for address in &self.opened {
            log::line(format_args!("{program}: listening on {address}"));
        }
        for address in &self.closed {
            log::line(format_args!("{program}: no longer listening on {address}"));
        }
    }
}

impl<S: Serve> Listening<S> {
    /// Nothing yet. No more connections are accepted at a time than the gate lets in, and they are served
    /// where this is called.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn new(gate: Arc<Gate>, guard: Guard) -> Self {
        let runtimes = vec![Handle::current()];
        Self { places: Vec::new(), gate, guard, runtimes, keepalive: None }
    }

    /// Connections are accepted and served by these workers, if there are any.
    #[must_use]
    pub fn by(self, workers: &Workers) -> Self {
        let handles: Vec<_> = workers.handles().cloned().collect();
        if handles.is_empty() { self } else { Self { runtimes: handles, ..self } }
    }

    /// From now on a client's connection on which nothing happens is probed like this.
    pub fn set_keepalive(&mut self, keepalive: Option<TcpKeepalive>) {
        self.keepalive = keepalive;
        self.sockets().for_each(|listener| keep_alive(listener, self.keepalive.as_ref()));
    }

    /// Binds those of the addresses that it does not listen on yet.
    ///
    /// # Errors
    /// As [`Bound::new`]; nothing has changed.
    pub fn bind(&self, addresses: &[StreamAddr]) -> Result<Vec<Bound>, StartError> {
        let mut here: Vec<_> = self.places.iter().map(|place| &place.written).collect();
        let mut is_new = |address: &&StreamAddr| {
            let at = here.iter().position(|here| here == address);
            at.map(|at| here.swap_remove(at)).is_none()
        };
        addresses
            .iter()
            .filter(|address| is_new(address))
            .map(|address| Bound::new(address.clone(), self.runtimes.len()))
            .collect()
    }

    /// From now on it listens on these addresses alone, and this is what serves their connections.
    /// `new` are the sockets of those that it did not listen on. Connections that were accepted stay.
    ///
    /// # Errors
    /// The system does not say where a socket listens, or does not let it be used.
    pub fn switch(
        &mut self,
        services: Vec<(StreamAddr, Arc<S>)>,
        mut new: Vec<Bound>,
    ) -> Result<Switched, StartError> {
        let mut before = std::mem::take(&mut self.places);
        let mut switched = Switched::default();
        for (address, service) in services {
            if let Some(at) = before.iter().position(|place| place.written == address) {
                let place = before.swap_remove(at);
                place.service.store(service);
                self.places.push(place);
            } else if let Some(at) = new.iter().position(|bound| bound.written == address) {
                let place = self.accepting(new.swap_remove(at), service);
                let place = place.map_err(|error| cannot_listen(&address, &error))?;
                switched.opened.extend(place.local_addr());
                self.places.push(place);
            }
        }
        switched.closed.extend(before.iter().filter_map(Place::local_addr));
        Ok(switched)
    }

    fn accepting(&self, bound: Bound, service: Arc<S>) -> io::Result<Place<S>> {
        let service = Arc::new(ArcSwap::new(service));
        // A process before this one may have had more workers: none of its sockets is closed, where
        // connections wait.
        let runtimes = self.runtimes.iter().cycle();
        let acceptor = |(listener, runtime): (_, &Handle)| {
            let _entered = runtime.enter();
            let listener = Arc::new(Listener::new(listener)?);
            keep_alive(&listener, self.keepalive.as_ref());
            let serves = Arc::clone(&service);
            let serve =
                move |stream, client, guard| S::serve(Arc::clone(&serves), stream, client, guard);
            let (gate, guard) = (Arc::clone(&self.gate), self.guard.clone());
            let accepts = runtime.spawn(accept_at(gate, Arc::clone(&listener), guard, serve));
            Ok(Acceptor { listener, accepts: accepts.abort_handle() })
        };
        let acceptors: io::Result<_> =
            bound.sockets.into_iter().zip(runtimes).map(acceptor).collect();
        Ok(Place { written: bound.written, service, acceptors: acceptors?, file: bound.file })
    }

    /// All sockets, for whoever takes them over.
    pub fn sockets(&self) -> impl Iterator<Item = &Listener> {
        self.places.iter().flat_map(|place| &place.acceptors).map(|acceptor| &*acceptor.listener)
    }

    /// Where it listens.
    pub fn addresses(&self) -> impl Iterator<Item = StreamAddr> {
        self.places.iter().filter_map(Place::local_addr)
    }

    /// Somebody else has the sockets now: the files of Unix sockets stay.
    pub fn hand_over(&mut self) {
        self.places.iter_mut().filter_map(|place| place.file.take()).for_each(SocketFile::keep);
    }
}

/// On Linux a connection has this from the socket that accepts it.
fn keep_alive(listener: &Listener, keepalive: Option<&TcpKeepalive>) {
    let Listener::Tcp(listener) = listener else { return };
    let socket = SockRef::from(listener);
    let _ = match keepalive {
        Some(keepalive) => socket.set_tcp_keepalive(keepalive),
        None => socket.set_keepalive(false),
    };
}

impl<S> Place<S> {
    fn local_addr(&self) -> Option<StreamAddr> {
        self.acceptors.first().and_then(|acceptor| acceptor.listener.local_addr().ok())
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        // Nothing that was accepted is lost: that has a task of its own.
        self.accepts.abort();
    }
}
