//! The loop that accepts.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep};

use super::{Entered, Gate, Limit};
use crate::log;
use crate::shutdown::Guard;

/// How long to wait after an error of `accept`. Without file descriptors it fails again at once,
/// and a loop without a pause would take a whole core until one is free.
const PAUSE: Duration = Duration::from_millis(100);

/// After so many connections in a row those that were accepted have their turn. More of them at once don't fit in
/// the core's caches: without turns a connection costs 6 % more where 64 clients come at a time. And fewer are in
/// hand when a backend dies.
const TURN: usize = 8;

/// What accepts connections.
pub(super) trait Accept: Send + Sync + 'static {
    /// A connection.
    type Stream;
    /// Who is at its other end.
    type Client;

    /// The next connection.
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Stream, Self::Client)>> + Send;

    /// What is to be done before the first one.
    fn prepare(&self);
}

impl Accept for TcpListener {
    type Stream = TcpStream;
    type Client = SocketAddr;

    async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let accepted = Self::accept(self).await?;
        // On Linux it has that from the socket that listens.
        #[cfg(not(target_os = "linux"))]
        let _ = accepted.0.set_nodelay(true);
        Ok(accepted)
    }

    fn prepare(&self) {
        let _ = SockRef::from(self).set_tcp_nodelay(true);
    }
}

/// Accepts until shutdown begins, and spawns what `serve` makes of each connection.
pub async fn accept<F>(
    listener: impl Into<Arc<TcpListener>>,
    guard: Guard,
    serve: impl Fn(TcpStream, SocketAddr, Guard) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    accept_at(Gate::new(Limit::None), listener.into(), guard, serve).await;
}

/// The same, and each connection has a place at the gate.
pub(super) async fn accept_at<L: Accept, F>(
    gate: Arc<Gate>,
    listener: Arc<L>,
    mut guard: Guard,
    serve: impl Fn(L::Stream, L::Client, Guard) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    listener.prepare();
    let mut trouble = Trouble::default();
    let mut in_turn = 0;
    loop {
        let accepted = tokio::select! {
            accepted = async {
                gate.opens().await;
                listener.accept().await
            } => accepted,
            () = guard.stopping() => return,
        };
        match accepted {
            Ok((stream, client)) => {
                trouble.is_over();
                // In a box: a future that is moved into another one has room there twice.
                let served = Box::pin(serve(stream, client, guard.clone()));
                match gate.try_enter() {
                    Some(place) => spawn(served, place),
                    // Other listeners have let in the last ones meanwhile. Nobody is sent away: it waits, and so
                    // does this listener from now on.
                    None => {
                        let gate = Arc::clone(&gate);
                        tokio::spawn(async move { spawn(served, gate.enter().await) });
                    }
                }
                in_turn += 1;
                if in_turn == TURN {
                    in_turn = 0;
                    yield_now().await;
                }
            }
            // The client has gone again: the next one is not worse off.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                trouble.is_there(&error);
                sleep(PAUSE).await;
            }
        }
    }
}

/// Serves, and gives the place back.
fn spawn(served: impl Future<Output = ()> + Send + 'static, place: Entered) {
    tokio::spawn(async move {
        served.await;
        drop(place);
    });
}

/// A time in which nothing can be accepted. It is told when it begins and when it is over, and not ten
/// times a second.
#[derive(Default)]
struct Trouble(Option<Instant>);

impl Trouble {
    fn is_there(&mut self, error: &io::Error) {
        if self.0.is_none() {
            self.0 = Some(Instant::now());
            log::warn(format_args!("accept: {error}; clients wait"));
        }
    }

    fn is_over(&mut self) {
        if let Some(since) = self.0.take() {
            let lasted = since.elapsed().as_secs_f64();
            log::warn(format_args!("accept: works again, after {lasted:.1} s"));
        }
    }
}
