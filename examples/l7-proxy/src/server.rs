//! One client's connection.

use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use arc_swap::ArcSwap;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use proxy_kit::listen::Serve;
use proxy_kit::log;
use proxy_kit::peer::Peer;
use proxy_kit::shutdown::Guard;
use proxy_kit::socket::Socket;

use crate::proxy::Proxy;
use crate::seen::Ends;

/// Most headers of a request, and most bytes in their lines; more is answered with 431.
const MAX_HEADERS: usize = 100;
const MAX_HEADER_BYTES: usize = 64 * 1024;

impl Serve for Proxy {
    async fn serve(proxy: Arc<ArcSwap<Self>>, stream: Socket, client: Peer, guard: Guard) {
        // It listens at IP addresses alone.
        if let Peer::Ip(client) = client {
            serve(proxy, stream, client, guard).await;
        }
    }
}

/// Answers the requests of one connection, until the client or a shutdown ends it. At a shutdown
/// the request in flight is finished. After a reload the next request goes by the new configuration.
async fn serve(proxy: Arc<ArcSwap<Proxy>>, stream: Socket, client: SocketAddr, mut guard: Guard) {
    let ends = Ends { client, local: stream.local_ip() };
    let service = service_fn(|request| {
        let proxy = proxy.load_full();
        async move { Ok::<_, Infallible>(proxy.answer(ends, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(proxy.load().forwarder.timeouts.request_head)
        .max_headers(MAX_HEADERS)
        .max_header_size(MAX_HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = guard.stopping() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result
        && error.is_parse()
    {
        let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
        log::warn(format_args!("{}: client {client}: {error}{cause}", crate::NAME));
    }
}
