//! Bound sockets, and the loop that accepts.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use crate::shutdown::Guard;
use crate::{StartError, log};

/// How long to wait after an error of `accept`. Without file descriptors it fails again at once,
/// and a loop without a pause would take a whole core until one is free.
const PAUSE: Duration = Duration::from_millis(100);

/// Binds all addresses, or none.
///
/// # Errors
/// An address that can't be had, by name: in use, not of this machine, not allowed.
pub async fn bind(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, StartError> {
    let mut listeners = Vec::new();
    for address in addresses {
        let bound = TcpListener::bind(address).await;
        let wrong = |error| StartError::new(format!("listen on {address}"), error);
        listeners.push(bound.map_err(wrong)?);
    }
    Ok(listeners)
}

/// Accepts until shutdown begins, and spawns what `serve` makes of each connection.
pub async fn accept<F>(
    listener: TcpListener,
    mut guard: Guard,
    serve: impl Fn(TcpStream, SocketAddr, Guard) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = guard.stopping() => return,
        };
        match accepted {
            Ok((stream, client)) => {
                let _ = stream.set_nodelay(true);
                tokio::spawn(serve(stream, client, guard.clone()));
            }
            Err(error) => {
                log::warn(format_args!("accept: {error}"));
                sleep(PAUSE).await;
            }
        }
    }
}
