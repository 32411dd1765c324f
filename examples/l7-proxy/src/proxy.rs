//! One request: its target, its route, its backend, its line in the log.

use std::sync::Arc;

use equipoise_core::{Clock, Failure, Outcome};
use http_body_util::{Either, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::HeaderValue;
use hyper::http::request::Parts;
use hyper::http::uri::{PathAndQuery, Uri};
use hyper::{Request, Response, StatusCode, Version};
use proxy_kit::pools::NamedPool;

use crate::affinity::Affinity;
use crate::download::{Download, Held};
use crate::forward::{Forwarded, Forwarder};
use crate::headers;
use crate::refusal::Refusal;
use crate::request_log::RequestLog;
use crate::route::{Asked, Routes};
use crate::seen::{Ends, Seen};
use crate::target::Target;
use crate::upload::Upload;
use crate::upstream::Upstream;

/// What all requests share.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) routes: Routes,
    pub(crate) pools: Vec<Arc<NamedPool<Upstream>>>,
    pub(crate) forwarder: Forwarder,
}

/// A backend's body, or a line of our own.
pub(crate) type ReplyBody = Either<Download, Full<Bytes>>;

impl Proxy {
    /// Answers a request.
    pub(crate) async fn answer(
        &self,
        ends: Ends,
        request: Request<Incoming>,
    ) -> Response<ReplyBody> {
        let (head, body) = request.into_parts();
        let clock = self.forwarder.clock;
        let mut log = RequestLog::new(clock, head.method.clone(), head.uri.path());
        let request = Request::from_parts(head, Upload::new(body, clock));
        match self.forward(ends, request, &mut log).await {
            Ok(forwarded) => self.relay(forwarded, log).map(Either::Left),
            Err(refusal) => {
                log.status = Some(refusal.status);
                log.refused = Some(refusal.reason.clone());
                refusal.into_response().map(Either::Right)
            }
        }
    }

    async fn forward(
        &self,
        ends: Ends,
        request: Request<Upload>,
        log: &mut RequestLog,
    ) -> Result<Forwarded, Refusal> {
        let (mut head, body) = request.into_parts();
        let target = Target::of(&head)?;
        let asked = Asked { host: &target.host, path: head.uri.path(), headers: &head.headers };
        let pool = self.routes.find(asked).and_then(|index| self.pools.get(index));
        let Some(pool) = pool else {
            let reason = format!("no route for {}{}", target.host, head.uri.path());
            return Err(Refusal::new(StatusCode::NOT_FOUND, reason));
        };
        log.pool = Some(pool.name.clone());
        // Before the headers are changed, and once: another attempt is with the same key.
        let host = target.host_header.as_ref().map_or(&b""[..], HeaderValue::as_bytes);
        let seen = Seen { ends, host, uri: &head.uri, headers: &head.headers };
        let key = pool.key.as_ref().and_then(|key| key.of(&seen));
        let sticky = pool.sticky.as_deref();
        let mut affinity = sticky.map(|sticky| Affinity::read(sticky, ends, &mut head));
        // From the client's connection to the backend's: HTTP/1.1, and the path without the host.
        head.version = Version::HTTP_11;
        head.uri = origin_form(&head.uri);
        headers::forward_request(&mut head.headers, &target, ends.client.ip());
        let prepare = |head: &mut Parts, upstream: &Upstream| {
            headers::set_host(&mut head.headers, &target, upstream.host_header());
        };
        let request = Request::from_parts(head, body);
        let refused = |why| Refusal::new(StatusCode::SERVICE_UNAVAILABLE, why);
        let place = pool.admit().map_err(refused)?;
        let session = affinity.as_mut().map(|affinity| &mut affinity.session);
        let forwarded = self.forwarder.forward(pool, key, session, request, prepare, log).await;
        let mut forwarded = match forwarded {
            Ok(forwarded) => forwarded,
            Err(mut refusal) => {
                if let Some(affinity) = &affinity {
                    log.pin = affinity.refused(&mut refusal.headers);
                }
                if refusal.status.is_server_error() {
                    place.end(Outcome::Failure(Failure::Response(refusal.status.as_u16())));
                }
                return Err(refusal);
            }
        };
        forwarded.place = Some(place);
        if forwarded.response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let reason = "the backend changed the protocol without being asked";
            return Err(Refusal::new(StatusCode::BAD_GATEWAY, reason));
        }
        let headers = forwarded.response.headers_mut();
        headers::forward_response(headers);
        if let Some(affinity) = &affinity {
            let (backend, clock) = (forwarded.lease.id(), self.forwarder.clock);
            log.pin = affinity.answer(headers, backend, clock).await;
        }
        Ok(forwarded)
    }

    /// Passes a response on. Whatever the request holds is handed to the body.
    fn relay(&self, forwarded: Forwarded, mut log: RequestLog) -> Response<Download> {
        let Forwarded { response, lease, connection, place } = forwarded;
        let clock = self.forwarder.clock;
        let (mut head, body) = response.into_parts();
        let outcome = if head.status.is_server_error() {
            Outcome::Failure(Failure::Response(head.status.as_u16()))
        } else {
            Outcome::Success
        };
        head.version = Version::HTTP_11;
        log.status = Some(head.status);
        let latency = clock.now().since(lease.since());
        let held = Held { lease, connection, place, log, clock, latency, outcome };
        Response::from_parts(head, Download::new(body, held))
    }
}

fn origin_form(uri: &Uri) -> Uri {
    let path = uri.path_and_query().cloned();
    path.unwrap_or_else(|| PathAndQuery::from_static("/")).into()
}
