//! What comes before there is a pool: the handshake, or the ClientHello, and the route.

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use equipoise_tokio::proxy_protocol::{Preamble, Receiver};
use equipoise_tokio::relay::End;
use equipoise_tokio::socket::Socket;
use proxy_kit::StartError;
use proxy_kit::listen::Serve;
use proxy_kit::peer::Peer;
use proxy_kit::proxy_protocol::Client;
use proxy_kit::shutdown::Guard;
use proxy_kit::tls::{ServerStream, Terminator};

use crate::client_hello::Asked;
use crate::config::Listener;
use crate::connection::{NoBackend, Pair, Service};
use crate::connection_log::ConnectionLog;
use crate::first_bytes::FirstBytes;
use crate::routes::Routes;

/// A client's connection, who it is, and what it has said first.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) stream: ClientStream,
    pub(crate) who: Client,
    pub(crate) first: FirstBytes,
}

/// A client's connection.
#[derive(Debug)]
pub(crate) enum ClientStream {
    Plain(Socket),
    /// One whose TLS ends here.
    Tls(Box<ServerStream>),
}

impl ClientStream {
    /// Waits until the client has gone, and has said so by a reset.
    pub(crate) async fn broken(&self) {
        match self {
            Self::Plain(socket) => socket.broken().await,
            Self::Tls(stream) => stream.get_ref().0.socket().broken().await,
        }
    }

    /// The protocol that was agreed upon, where TLS ends here. Where it passes through, the client has offered
    /// some, and the backend will choose.
    pub(crate) fn alpn(&self) -> Option<&[u8]> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(stream) => stream.get_ref().1.alpn_protocol(),
        }
    }
}

/// What the connections of a listener share.
#[derive(Debug)]
pub(crate) struct Front {
    /// By the pool's index.
    services: Vec<Arc<Service>>,
    /// The index of the one that takes what no route does.
    default: usize,
    routes: Routes,
    terminator: Option<Arc<Terminator>>,
    /// How the PROXY protocol is received, if it is.
    receiver: Option<Receiver>,
    /// Whether nothing is read before there is a backend.
    is_direct: bool,
    /// Whether it matters to one of the pools where a client connected to.
    looks_at_local: bool,
}

/// Reads the certificates of all listeners, in their order. Who has the settings of one of `before` is that
/// one: it knows its sessions, and if its files are wrong now its certificates stay.
pub(crate) fn load(
    listeners: &[Listener],
    before: &[Arc<Terminator>],
) -> Result<Vec<Option<Arc<Terminator>>>, StartError> {
    let load = |listener: &Listener| {
        let Some(settings) = &listener.tls else { return Ok(None) };
        let known = before.iter().find(|terminator| terminator.settings() == settings);
        match known {
            Some(known) => Ok(Some(Arc::clone(known))),
            None => Terminator::load(settings.clone()).map(|new| Some(Arc::new(new))),
        }
    };
    listeners.iter().map(load).collect()
}

impl Serve for Front {
    fn serve(
        fronts: Arc<ArcSwap<Self>>,
        client: Socket,
        from: Peer,
        guard: Guard,
    ) -> impl Future<Output = ()> + Send + 'static {
        // In a box of its own, which is gone when it is over: a task has room for the largest of its steps, and a
        // connection on which nothing happens should not keep that of a search for a backend.
        let found = Box::pin(find(fronts, client, from));
        async move {
            if let Some((pair, mut log)) = found.await {
                pair.relay(&mut log).await;
            }
            // Shutdown waits for it.
            drop(guard);
        }
    }
}

/// Finds a backend for a client.
async fn find(
    fronts: Arc<ArcSwap<Front>>,
    client: Socket,
    from: Peer,
) -> Option<(Pair, ConnectionLog)> {
    let front = fronts.load_full();
    let mut log = front.services[front.default].log(from);
    let opened = if front.is_direct {
        front.open_directly(client, from)
    } else {
        // Most do without.
        Box::pin(front.open(client, from, &mut log)).await
    };
    drop(front);
    let mut opened = match opened {
        Ok(opened) => opened,
        Err(why) => {
            log.failed(why);
            return None;
        }
    };
    // A reload may have come meanwhile, and may come while the client waits for a backend: the pools that
    // there are now are the ones to ask.
    loop {
        let service = Arc::clone(fronts.load().service(&opened.first.asked));
        log.routed(&service.pool.name);
        let (client, why) = match Arc::clone(&service).find(opened, &mut log).await {
            Ok(pair) => return Some((pair, log)),
            Err(NoBackend::Over) => return None,
            Err(NoBackend::Retired(client, why)) => (client, why),
        };
        let is_current = |front: &Front| Arc::ptr_eq(front.service(&client.first.asked), &service);
        if is_current(&fronts.load()) {
            log.failed(why);
            return None;
        }
        opened = *client;
    }
}

impl Front {
    pub(crate) fn new(
        listener: &Listener,
        terminator: Option<Arc<Terminator>>,
        services: &[Arc<Service>],
    ) -> Self {
        let (routes, receiver) = (listener.routes.clone(), listener.receiver.clone());
        let (services, default) = (services.to_vec(), listener.pool);
        let reads = !routes.is_empty() || services[default].looks_at_sni();
        let is_direct = !reads && receiver.is_none() && terminator.is_none();
        let looks_at_local = services.iter().any(|service| service.looks_at_local());
        Self { services, default, routes, terminator, receiver, is_direct, looks_at_local }
    }

    /// Where the client connected to, if that matters: it takes a system call.
    fn local_of(&self, client: &Socket) -> Option<SocketAddr> {
        self.looks_at_local.then(|| client.local_ip()).flatten()
    }

    /// What serves a client that asks for this.
    fn service(&self, asked: &Asked) -> &Arc<Service> {
        &self.services[self.routes.pool(asked).unwrap_or(self.default)]
    }

    /// A client of which nothing is read first.
    fn open_directly(&self, client: Socket, from: Peer) -> Result<Opened, String> {
        let who = Client::new(from, self.local_of(&client), None);
        let first = FirstBytes::at_hand(&client).map_err(|_| End::BrokenByClient.to_string())?;
        Ok(Opened { stream: ClientStream::Plain(client), who, first })
    }

    /// The preamble of the PROXY protocol, then the handshake, or what the client says first where somebody
    /// wants to know it. To all that follows the client is the one that the preamble names.
    async fn open(
        &self,
        mut client: Socket,
        from: Peer,
        log: &mut ConnectionLog,
    ) -> Result<Opened, String> {
        let service = &self.services[self.default];
        let timeouts = service.serving.timeouts;
        let Preamble { header, rest } = match &self.receiver {
            Some(receiver) => {
                let preamble = receiver.read(&mut client, from.source()).await;
                preamble.map_err(|refused| refused.to_string())?
            }
            None => Preamble::default(),
        };
        let who = Client::new(from, self.local_of(&client), header);
        log.client(who.address);
        if let Some(terminator) = &self.terminator {
            let stream = terminator.accept(client, rest, timeouts.tls_handshake).await;
            let stream = stream.map_err(|error| error.to_string())?;
            let (_, session) = stream.get_ref();
            let asked = Asked {
                sni: session.server_name().map(str::to_owned),
                alpn: session.alpn_protocol().map(<[u8]>::to_vec).into_iter().collect(),
            };
            let first = FirstBytes { bytes: Vec::new(), asked };
            return Ok(Opened { stream: ClientStream::Tls(Box::new(stream)), who, first });
        }
        let first = if self.routes.is_empty() && !service.looks_at_sni() {
            Ok(FirstBytes { bytes: rest, asked: Asked::default() })
        } else {
            FirstBytes::read(&mut client, rest, timeouts.first_bytes).await
        };
        let first = first.map_err(|_| End::BrokenByClient.to_string())?;
        Ok(Opened { stream: ClientStream::Plain(client), who, first })
    }
}
