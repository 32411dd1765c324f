//! A backend's connections, reused.
//!
//! The pool of connections is our own, not hyper-util's client: a proxy has to know whether a
//! connection was new or used, and whether a request was sent or came back unsent. On that hangs
//! what may be tried again.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use equipoise_core::{Clock, Instant};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::HeaderValue;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use proxy_kit::clock::Monotonic;
use proxy_kit::connect::Backend;

use crate::upload::Upload;

/// Most idle connections that are kept for a backend.
const MAX_IDLE: usize = 64;
/// How long one is kept. Less than the 60 to 75 s after which common servers close it.
const MAX_IDLE_TIME: Duration = Duration::from_secs(50);

/// What the proxy keeps about a backend.
#[derive(Debug)]
pub(crate) struct Upstream {
    backend: Backend,
    idle: Arc<Idle>,
}

/// Connections that wait for a request, the most recently used one last.
#[derive(Debug)]
struct Idle {
    waiting: Mutex<Vec<(Instant, SendRequest<Upload>)>>,
    clock: Monotonic,
}

/// A connection that is this request's alone.
#[derive(Debug)]
pub(crate) struct Connection {
    sender: SendRequest<Upload>,
    home: Arc<Idle>,
    /// It has carried a request before; the backend may close it at any moment.
    pub(crate) reused: bool,
}

/// What became of a request that got no response.
#[derive(Debug)]
pub(crate) enum SendError {
    /// No byte of it was sent. Here it is.
    Unsent(Box<Request<Upload>>),
    /// It was sent, at least in part, and the connection broke.
    Sent,
}

impl Upstream {
    pub(crate) fn new(backend: Backend, clock: Monotonic) -> Self {
        Self { backend, idle: Arc::new(Idle { waiting: Mutex::new(Vec::new()), clock }) }
    }

    /// `host:port`
    pub(crate) fn name(&self) -> &str {
        self.backend.name()
    }

    /// Its name as a Host header.
    pub(crate) fn host_header(&self) -> Option<HeaderValue> {
        HeaderValue::try_from(self.backend.name()).ok()
    }

    /// A connection that is open already.
    pub(crate) fn idle(&self) -> Option<Connection> {
        let now = self.idle.clock.now();
        let mut waiting = self.idle.waiting.lock();
        waiting.retain(|(since, sender)| sender.is_ready() && now.since(*since) < MAX_IDLE_TIME);
        let (_, sender) = waiting.pop()?;
        Some(Connection { sender, home: Arc::clone(&self.idle), reused: true })
    }

    /// A new connection.
    pub(crate) async fn connect(&self, limit: Duration) -> io::Result<Connection> {
        let stream = self.backend.connect(limit).await?;
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        // Its errors reach the request that it carries, or, if it is idle, nobody.
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(Connection { sender, home: Arc::clone(&self.idle), reused: false })
    }
}

impl Connection {
    /// Sends a request and waits for the head of the response.
    pub(crate) async fn send(
        &mut self,
        request: Request<Upload>,
    ) -> Result<Response<Incoming>, SendError> {
        match self.sender.try_send_request(request).await {
            Ok(response) => Ok(response),
            Err(mut error) => Err(match error.take_message() {
                Some(request) => SendError::Unsent(Box::new(request)),
                None => SendError::Sent,
            }),
        }
    }

    /// Keeps the connection for another request, as soon as it is ready for one. To be called at
    /// the end of the response.
    pub(crate) fn give_back(mut self) {
        tokio::spawn(async move {
            if self.sender.ready().await.is_ok() {
                let mut waiting = self.home.waiting.lock();
                if waiting.len() < MAX_IDLE {
                    waiting.push((self.home.clock.now(), self.sender));
                }
            }
        });
    }
}
