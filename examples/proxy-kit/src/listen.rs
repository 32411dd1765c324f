//! Bound sockets, and what serves the connections that each accepts.

mod accept;
mod gate;
mod inherited;

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::AbortHandle;

pub use self::accept::accept;
pub use self::gate::{Gate, Place};
pub use self::inherited::Inherited;

use self::accept::accept_at;
use crate::shutdown::Guard;
use crate::{StartError, log};

/// Connections that the system keeps until they are accepted, if it keeps so many: `somaxconn`.
const BACKLOG: u32 = 4096;

/// What serves the connections of a listener.
pub trait Serve: Sized + Send + Sync + 'static {
    /// Serves a connection to its end. `service` is what serves now; after a reload there is another
    /// one in it. `guard` is held as long as shutdown has to wait for it.
    fn serve(
        service: Arc<ArcSwap<Self>>,
        stream: TcpStream,
        client: SocketAddr,
        guard: Guard,
    ) -> impl Future<Output = ()> + Send + 'static;
}

/// A socket that listens, and the address that is written for it: its port may be 0.
#[derive(Debug)]
pub struct Bound {
    written: SocketAddr,
    listener: Arc<TcpListener>,
}

impl Bound {
    /// Listens here.
    ///
    /// # Errors
    /// An address that can't be had, by name: in use, not of this machine, not allowed.
    pub fn new(address: SocketAddr) -> Result<Self, StartError> {
        Ok(Self { written: address, listener: Arc::new(bind_one(address)?) })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// What the system says.
    pub fn local_addr(&self) -> Result<SocketAddr, StartError> {
        self.listener.local_addr().map_err(|error| StartError::new("listener", error))
    }
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // Connections of a process before this one may be in TIME_WAIT.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
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
    listen(address).map_err(|error| StartError::new(format!("listen on {address}"), error))
}

/// The same, but sockets that were inherited are taken where they are of the same address.
///
/// # Errors
/// As [`Bound::new`].
pub fn bind_or_inherit(
    addresses: &[SocketAddr],
    inherited: &mut Inherited,
) -> Result<Vec<Bound>, StartError> {
    let bind = |address: &SocketAddr| match inherited.take(*address)? {
        Some(listener) => Ok(Bound { written: *address, listener: Arc::new(listener) }),
        None => Bound::new(*address),
    };
    addresses.iter().map(bind).collect()
}

/// The sockets of a proxy at work, and what serves the connections of each. Dropped, it accepts no
/// more.
#[derive(Debug)]
pub struct Listening<S> {
    sockets: Vec<Socket<S>>,
    gate: Arc<Gate>,
    guard: Guard,
}

#[derive(Debug)]
struct Socket<S> {
    bound: Bound,
    service: Arc<ArcSwap<S>>,
    accepts: AbortHandle,
}

/// What [`Listening::switch`] has changed.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Switched {
    /// Where it listens from now on, and has not before.
    pub opened: Vec<SocketAddr>,
    /// Where it does not listen any more.
    pub closed: Vec<SocketAddr>,
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
    /// Nothing yet. No more connections are accepted at a time than the gate lets in.
    pub fn new(gate: Arc<Gate>, guard: Guard) -> Self {
        Self { sockets: Vec::new(), gate, guard }
    }

    /// Binds those of the addresses that it does not listen on yet.
    ///
    /// # Errors
    /// As [`Bound::new`]; nothing has changed.
    pub fn bind(&self, addresses: &[SocketAddr]) -> Result<Vec<Bound>, StartError> {
        let mut here: Vec<_> = self.sockets.iter().map(|socket| socket.bound.written).collect();
        let mut is_new = |address: &&SocketAddr| {
            let at = here.iter().position(|here| here == *address);
            at.map(|at| here.swap_remove(at)).is_none()
        };
        addresses
            .iter()
            .filter(|address| is_new(address))
            .map(|&address| Bound::new(address))
            .collect()
    }

    /// From now on it listens on these addresses alone, and this is what serves their connections.
    /// `new` are the sockets of those that it did not listen on. Connections that were accepted stay.
    ///
    /// # Errors
    /// The system does not say where a socket listens.
    pub fn switch(
        &mut self,
        services: Vec<(SocketAddr, Arc<S>)>,
        mut new: Vec<Bound>,
    ) -> Result<Switched, StartError> {
        let mut before = std::mem::take(&mut self.sockets);
        let mut switched = Switched::default();
        for (address, service) in services {
            if let Some(at) = before.iter().position(|socket| socket.bound.written == address) {
                let socket = before.swap_remove(at);
                socket.service.store(service);
                self.sockets.push(socket);
            } else if let Some(at) = new.iter().position(|bound| bound.written == address) {
                let bound = new.swap_remove(at);
                switched.opened.push(bound.local_addr()?);
                self.sockets.push(self.accepting(bound, service));
            }
        }
        for socket in before {
            switched.closed.extend(socket.bound.local_addr());
        }
        Ok(switched)
    }

    fn accepting(&self, bound: Bound, service: Arc<S>) -> Socket<S> {
        let service = Arc::new(ArcSwap::new(service));
        let listener = Arc::clone(&bound.listener);
        let (gate, guard) = (Arc::clone(&self.gate), self.guard.clone());
        let serves = Arc::clone(&service);
        let accepts = accept_at(gate, listener, guard, move |stream, client, guard| {
            S::serve(Arc::clone(&serves), stream, client, guard)
        });
        Socket { bound, service, accepts: tokio::spawn(accepts).abort_handle() }
    }

    /// All sockets, for whoever takes them over.
    pub fn sockets(&self) -> impl Iterator<Item = &TcpListener> {
        self.sockets.iter().map(|socket| &*socket.bound.listener)
    }
}

impl<S> Drop for Socket<S> {
    fn drop(&mut self) {
        // Nothing that was accepted is lost: that has a task of its own.
        self.accepts.abort();
    }
}
