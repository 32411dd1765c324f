//! What comes before there is a pool: the handshake, or the ClientHello, and the route.

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use equipoise_tokio::relay::End;
use proxy_kit::StartError;
use proxy_kit::listen::Serve;
use proxy_kit::shutdown::Guard;
use proxy_kit::tls::{ServerStream, Terminator};
use tokio::net::TcpStream;

use crate::client_hello::Asked;
use crate::config::Listener;
use crate::connection::Service;
use crate::connection_log::ConnectionLog;
use crate::first_bytes::FirstBytes;
use crate::routes::Routes;

/// A client's connection.
#[derive(Debug)]
pub(crate) enum Client {
    Plain(TcpStream),
    /// One whose TLS ends here.
    Tls(Box<ServerStream>),
}

impl Client {
    pub(crate) fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => stream.get_ref().0.socket(),
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
        front: Arc<ArcSwap<Self>>,
        client: TcpStream,
        from: SocketAddr,
        guard: Guard,
    ) -> impl Future<Output = ()> + Send + 'static {
        let front = front.load_full();
        async move {
            front.serve_connection(client, from).await;
            // Shutdown waits for it.
            drop(guard);
        }
    }
}

impl Front {
    pub(crate) fn new(
        listener: &Listener,
        terminator: Option<Arc<Terminator>>,
        services: &[Arc<Service>],
    ) -> Self {
        let routes = listener.routes.clone();
        Self { services: services.to_vec(), default: listener.pool, routes, terminator }
    }

    /// Serves a connection to its end.
    async fn serve_connection(&self, client: TcpStream, from: SocketAddr) {
        let service = &self.services[self.default];
        let mut log = ConnectionLog::new(service.clock, from, &service.pool.name);
        let (client, first) = match self.open(client).await {
            Ok(opened) => opened,
            Err(why) => return log.end(&why),
        };
        let routed = self.routes.pool(&first.asked).map(|index| &self.services[index]);
        if let Some(service) = routed {
            log.routed(&service.pool.name);
        }
        routed.unwrap_or(service).serve(client, from, first, &mut log).await;
    }

    /// The handshake, or what the client says first where somebody wants to know it.
    async fn open(&self, mut client: TcpStream) -> Result<(Client, FirstBytes), String> {
        let service = &self.services[self.default];
        let timeouts = service.timeouts;
        if let Some(terminator) = &self.terminator {
            let stream = terminator.accept(client, timeouts.tls_handshake).await;
            let stream = stream.map_err(|error| error.to_string())?;
            let (_, session) = stream.get_ref();
            let asked = Asked {
                sni: session.server_name().map(str::to_owned),
                alpn: session.alpn_protocol().map(<[u8]>::to_vec).into_iter().collect(),
            };
            return Ok((Client::Tls(Box::new(stream)), FirstBytes { bytes: Vec::new(), asked }));
        }
        let first = if self.routes.is_empty() && !service.looks_at_sni() {
            Ok(FirstBytes::default())
        } else {
            FirstBytes::read(&mut client, timeouts.first_bytes).await
        };
        let first = first.map_err(|_| End::BrokenByClient.to_string())?;
        Ok((Client::Plain(client), first))
    }
}
