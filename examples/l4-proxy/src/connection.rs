//! One client: a backend that can be reached, then the relay.

use std::net::SocketAddr;
use std::time::Duration;

use equipoise_core::{Clock, Failure, Outcome};
use equipoise_pool::{Lease, PickError, Request};
use proxy_kit::clock::Monotonic;
use proxy_kit::connect::Backend;
use proxy_kit::pools::NamedPool;
use tokio::net::TcpStream;

use crate::connection_log::ConnectionLog;
use crate::relay::{End, relay};

/// What the connections of a pool share.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) pool: NamedPool<Backend>,
    pub(crate) clock: Monotonic,
    pub(crate) connect_limit: Duration,
}

impl Service {
    /// Serves a connection to its end.
    pub(crate) async fn serve(&self, client: TcpStream, from: SocketAddr) {
        let mut log = ConnectionLog::new(self.clock, from, &self.pool.name);
        let (lease, backend) = match self.reach(&mut log).await {
            Ok(reached) => reached,
            Err(error) => return log.end(&error),
        };
        // How long it took to reach the backend says something about it; how long the client then
        // stays does not.
        let latency = self.clock.now().since(lease.since());
        let end = relay(client, backend, &log.bytes).await;
        let outcome = match end {
            End::Closed => Some(Outcome::Success),
            End::BrokenByBackend => Some(Outcome::Failure(Failure::Reset)),
            End::BrokenByClient => None,
        };
        if let Some(outcome) = outcome {
            lease.sample_latency(self.clock.now(), latency, outcome);
        }
        log.end(&end);
    }

    /// Connects to a backend, and to the next one if it can't be reached. Nothing of the client's
    /// has been sent yet, so any of them will do.
    async fn reach(
        &self,
        log: &mut ConnectionLog,
    ) -> Result<(Lease<Backend>, TcpStream), PickError> {
        let mut tried = Vec::new();
        loop {
            let request = Request::new().at(self.clock.now()).avoiding(&tried);
            let lease = self.pool.pool.pick(&request)?;
            log.attempt(lease.name());
            match lease.connect(self.connect_limit).await {
                Ok(stream) => return Ok((lease, stream)),
                Err(_) => {
                    tried.push(lease.id());
                    lease.finish(self.clock.now(), Outcome::Failure(Failure::Connect));
                }
            }
        }
    }
}
