//! Pick, send, and try the next one.
//!
//! # What is tried again
//! | what happened | next |
//! |---|---|
//! | no connection could be made | the next backend, whatever the request |
//! | a reused connection was closed before the request was sent | another connection, same backend |
//! | a connection broke after the request was sent, no response | the request if it is idempotent and has no body: after a reused connection on the same backend, else on the next one; 502 for any other |
//! | its check found the backend dead while the request waited for a response | the same request on the next one, if it may be repeated; any other waits on |
//! | no response in time | 504 |
//!
//! How many requests are tried again is limited by the pool's retry budget.
//!
//! So no backend gets a request that another one may have acted on, unless it may be repeated
//! (RFC 9110, section 9.2.2). A backend that failed is not asked again for the same request.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use equipoise_core::{BackendId, Clock, Failure, HashKey, Outcome};
use equipoise_pool::{Lease, PickError};
use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::{Request, Response, StatusCode};
use proxy_kit::clock::Monotonic;
use proxy_kit::connect::is_local;
use proxy_kit::pools::{NamedPool, Place};
use proxy_kit::sticky::Session;
use tokio::time::sleep;

use crate::config::Timeouts;
use crate::refusal::Refusal;
use crate::request_log::RequestLog;
use crate::upload::{Progress, Upload};
use crate::upstream::{Connection, SendError, Upstream};

/// A response's head, and what it came over.
#[derive(Debug)]
pub(crate) struct Forwarded {
    pub(crate) response: Response<Incoming>,
    pub(crate) lease: Lease<Upstream>,
    pub(crate) connection: Connection,
    /// At the pool's circuit breaker.
    pub(crate) place: Option<Place>,
}

/// Forwards requests to pools.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Forwarder {
    pub(crate) clock: Monotonic,
    pub(crate) timeouts: Timeouts,
}

/// Why one backend gave no response.
enum Failed {
    /// The request was not sent: any backend may have it.
    Unsent { request: Box<Request<Upload>>, error: io::Error },
    /// It was sent, and the connection broke.
    Broken,
    /// No response in time.
    Late,
    /// The client did not send the body in time.
    ClientLate,
    /// The client broke off in the body.
    ClientBroke,
}

impl Forwarder {
    /// Gets a response from a backend of the pool, that of the session if there is one, picked by the
    /// key if it picks by one. `prepare` sets the headers that depend on the backend.
    pub(crate) async fn forward(
        &self,
        pool: &NamedPool<Upstream>,
        key: Option<HashKey>,
        mut session: Option<&mut Session<'_>>,
        request: Request<Upload>,
        prepare: impl Fn(&mut Parts, &Upstream),
        log: &mut RequestLog,
    ) -> Result<Forwarded, Refusal> {
        let (head, body) = request.into_parts();
        let again = Again::if_safe(&head, &body);
        let mut request = (head, body);
        let mut tried = Tried::default();
        pool.count_request();
        loop {
            let mut asked =
                equipoise_pool::Request::new().at(self.clock.now()).avoiding(&tried.backends);
            if let Some(key) = key {
                asked = asked.with_key(key);
            }
            if !tried.backends.is_empty() && !pool.may_retry() {
                let reason = "the backend failed, and too many requests are being tried again";
                return Err(Refusal::new(StatusCode::BAD_GATEWAY, reason));
            }
            let picked = match &mut session {
                Some(session) => session.pick(pool.pool(), &asked).await,
                None => pool.pool().pick(&asked),
            };
            let lease = picked.map_err(|error| tried.refusal(error))?;
            log.backend = Some(lease.name().to_owned());
            log.attempts += 1;
            let (mut head, body) = request;
            prepare(&mut head, &lease);
            let resend = || {
                let (mut head, body) = again.as_ref()?.request(self.clock).into_parts();
                prepare(&mut head, &lease);
                Some(Request::from_parts(head, body))
            };
            let request_now = Request::from_parts(head, body);
            // One that can go elsewhere need not wait for a backend that its check has found dead.
            let attempt = self.attempt(&lease, request_now, resend);
            let attempt = async {
                if again.is_none() {
                    return attempt.await;
                }
                tokio::select! {
                    done = attempt => done,
                    () = lease.died() => Err(Failed::Broken),
                }
            };
            let failed = match attempt.await {
                Ok((response, connection)) => {
                    return Ok(Forwarded { response, lease, connection, place: None });
                }
                Err(failed) => failed,
            };
            let (id, now) = (lease.id(), self.clock.now());
            match failed {
                Failed::Unsent { error, .. } if is_local(&error) => {
                    // Dropped without an opinion on the backend.
                    drop(lease);
                    let reason = format!("this proxy can't connect: {error}");
                    return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, reason));
                }
                Failed::Unsent { request: unsent, error } => {
                    lease.finish(now, Outcome::Failure(Failure::Connect));
                    tried.add(id, error.kind() == io::ErrorKind::TimedOut);
                    request = unsent.into_parts();
                }
                Failed::Broken => {
                    lease.finish(now, Outcome::Failure(Failure::Reset));
                    tried.add(id, false);
                    let Some(again) = &again else {
                        let reason = "the backend broke off before it answered";
                        return Err(Refusal::new(StatusCode::BAD_GATEWAY, reason));
                    };
                    request = again.request(self.clock).into_parts();
                }
                Failed::Late => {
                    lease.finish(now, Outcome::Failure(Failure::Timeout));
                    let reason = "the backend did not answer in time";
                    return Err(Refusal::new(StatusCode::GATEWAY_TIMEOUT, reason));
                }
                // Not the backend's fault: the lease is dropped without an opinion.
                Failed::ClientLate => {
                    let reason = "the request body did not arrive in time";
                    return Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, reason));
                }
                Failed::ClientBroke => {
                    let reason = "the request body is malformed or incomplete";
                    return Err(Refusal::new(StatusCode::BAD_REQUEST, reason));
                }
            }
        }
    }

    /// One backend: over connections that it has open, then over a new one. `resend` makes the
    /// request once more, if it may be sent more than once.
    async fn attempt(
        &self,
        upstream: &Upstream,
        mut request: Request<Upload>,
        resend: impl Fn() -> Option<Request<Upload>>,
    ) -> Result<(Response<Incoming>, Connection), Failed> {
        let mut may_reuse = true;
        loop {
            let idle = if may_reuse { upstream.idle() } else { None };
            let mut connection = match idle {
                Some(connection) => connection,
                None => match upstream.connect(self.timeouts.connect).await {
                    Ok(connection) => connection,
                    Err(error) => {
                        return Err(Failed::Unsent { request: Box::new(request), error });
                    }
                },
            };
            let progress = request.body().progress();
            progress.touch(self.clock.now());
            let sent = tokio::select! {
                sent = connection.send(request) => sent,
                failed = self.too_late(&progress) => return Err(failed),
            };
            request = match sent {
                Ok(response) => return Ok((response, connection)),
                Err(_) if progress.broken_by_client() => return Err(Failed::ClientBroke),
                Err(SendError::Unsent(request)) if connection.reused => *request,
                Err(SendError::Unsent(request)) => {
                    let error = io::ErrorKind::ConnectionReset.into();
                    return Err(Failed::Unsent { request, error });
                }
                Err(SendError::Sent) if connection.reused => {
                    may_reuse = false;
                    resend().ok_or(Failed::Broken)?
                }
                Err(SendError::Sent) => return Err(Failed::Broken),
            };
        }
    }

    /// Waits until nothing has moved for the response timeout. A long upload may take its time.
    async fn too_late(&self, progress: &Arc<Progress>) -> Failed {
        loop {
            let still = self.clock.now().since(progress.moved());
            let left = self.timeouts.response_head.saturating_sub(still);
            if left == Duration::ZERO {
                let client = progress.waits_for_client();
                return if client { Failed::ClientLate } else { Failed::Late };
            }
            sleep(left).await;
        }
    }
}

/// A request that may be sent more than once: it is idempotent, and has no body.
struct Again(Parts);

impl Again {
    fn if_safe(head: &Parts, body: &Upload) -> Option<Self> {
        (head.method.is_idempotent() && body.is_empty()).then(|| Self(head.clone()))
    }

    fn request(&self, clock: Monotonic) -> Request<Upload> {
        Request::from_parts(self.0.clone(), Upload::empty(clock))
    }
}

/// The backends that have failed this request.
#[derive(Default)]
struct Tried {
    backends: Vec<BackendId>,
    timed_out: usize,
}

impl Tried {
    fn add(&mut self, backend: BackendId, timed_out: bool) {
        self.backends.push(backend);
        self.timed_out += usize::from(timed_out);
    }

    /// What to answer when there is no backend left.
    fn refusal(&self, error: PickError) -> Refusal {
        if error == PickError::NoKey {
            // The request lacks what it is to be placed by: no use in sending it again.
            return Refusal::new(StatusCode::BAD_REQUEST, error.to_string());
        }
        if matches!(error, PickError::Pinned(_)) {
            return Refusal::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string());
        }
        let full = matches!(error, PickError::Exhausted { full: 1.., .. });
        if self.backends.is_empty() || full {
            return Refusal::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string());
        }
        if self.timed_out == self.backends.len() {
            let reason = "no backend accepted a connection in time";
            return Refusal::new(StatusCode::GATEWAY_TIMEOUT, reason);
        }
        let reason = format!("no backend could be reached: {} tried", self.backends.len());
        Refusal::new(StatusCode::BAD_GATEWAY, reason)
    }
}
