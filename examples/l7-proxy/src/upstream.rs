//! A backend's connections, reused.
//!
//! The pool of connections is our own, not hyper-util's client: a proxy has to know whether a
//! connection was new or used, and whether a request was sent or came back unsent. On that hangs
//! what may be tried again.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use equipoise_core::{Clock, Instant, Reason};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::HeaderValue;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use proxy_kit::clock::Monotonic;
use proxy_kit::connect::{Backend, Then};
use proxy_kit::observer::Connections;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::upload::Upload;

/// Most idle connections that are kept for a backend.
const MAX_IDLE: usize = 64;
/// How long one is kept. Less than the 60 to 75 s after which common servers close it.
const MAX_IDLE_TIME: Duration = Duration::from_secs(50);

/// What the proxy keeps about a backend. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Upstream {
    backend: Backend,
    idle: Arc<Idle>,
}

/// Connections that wait for a request, the most recently used one last.
#[derive(Debug)]
struct Idle {
    waiting: Mutex<Vec<(Instant, SendRequest<Upload>)>>,
    /// How often the backend was taken out: connections from before are of no use.
    age: AtomicU64,
    /// Told when it is found dead.
    died: Notify,
    clock: Monotonic,
}

/// A connection that is this request's alone.
#[derive(Debug)]
pub(crate) struct Connection {
    sender: SendRequest<Upload>,
    home: Arc<Idle>,
    age: u64,
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
        let (waiting, age, died) = (Mutex::new(Vec::new()), AtomicU64::new(0), Notify::new());
        Self { backend, idle: Arc::new(Idle { waiting, age, died, clock }) }
    }

    /// `host:port` or `unix:/path`
    pub(crate) fn name(&self) -> &str {
        self.backend.name()
    }

    /// Its name as a Host header; `localhost`, if it is a Unix socket.
    pub(crate) fn host_header(&self) -> Option<HeaderValue> {
        HeaderValue::try_from(self.backend.host()).ok()
    }

    /// A connection that is open already.
    pub(crate) fn idle(&self) -> Option<Connection> {
        let now = self.idle.clock.now();
        let mut waiting = self.idle.waiting.lock();
        waiting.retain(|(since, sender)| sender.is_ready() && now.since(*since) < MAX_IDLE_TIME);
        let (_, sender) = waiting.pop()?;
        Some(self.connection(sender, self.age(), true))
    }

    fn connection(&self, sender: SendRequest<Upload>, age: u64, reused: bool) -> Connection {
        Connection { sender, home: Arc::clone(&self.idle), age, reused }
    }

    fn age(&self) -> u64 {
        self.idle.age.load(Ordering::Relaxed)
    }

    /// Waits until the backend's check finds it dead.
    pub(crate) fn died(&self) -> Notified<'_> {
        self.idle.died.notified()
    }

    /// A new connection.
    pub(crate) async fn connect(&self, limit: Duration) -> io::Result<Connection> {
        let age = self.age();
        let stream = self.backend.connect(limit, Then::Send).await?;
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        // Its errors reach the request that it carries, or, if it is idle, nobody.
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(self.connection(sender, age, false))
    }
}

impl Connections for Upstream {
    /// Idle connections are closed, and those in use when their request has ended.
    fn close_idle(&self) {
        self.close(None);
    }

    fn close(&self, reason: Option<Reason>) {
        self.idle.age.fetch_add(1, Ordering::Relaxed);
        // Dropped when the lock is free again.
        let _idle = std::mem::take(&mut *self.idle.waiting.lock());
        if reason == Some(Reason::Down) {
            self.idle.died.notify_waiters();
        }
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
                let is_current = self.age == self.home.age.load(Ordering::Relaxed);
                if is_current && waiting.len() < MAX_IDLE {
                    waiting.push((self.home.clock.now(), self.sender));
                }
            }
        });
    }
}
