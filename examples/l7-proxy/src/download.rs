//! The response body on its way to the client. It holds the lease: a backend that is sending is
//! busy, and a policy that counts requests in flight must know.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use equipoise_core::{Clock, Failure, Outcome};
use equipoise_pool::Lease;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use proxy_kit::clock::Monotonic;
use proxy_kit::pools::Place;

use crate::request_log::RequestLog;
use crate::upstream::{Connection, Upstream};

/// A response body, and all that ends with it.
#[derive(Debug)]
pub(crate) struct Download {
    inner: Incoming,
    /// `None` once it has ended.
    held: Option<Held>,
}

/// What is held until the response ends.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) lease: Lease<Upstream>,
    pub(crate) connection: Connection,
    pub(crate) place: Option<Place>,
    pub(crate) log: RequestLog,
    pub(crate) clock: Monotonic,
    /// How long the head took: the latency that says something about the backend. The body's time
    /// depends on its length and on the client.
    pub(crate) latency: Duration,
    /// How the request went, if the body arrives.
    pub(crate) outcome: Outcome,
}

impl Download {
    pub(crate) fn new(inner: Incoming, held: Held) -> Self {
        Self { inner, held: Some(held) }
    }

    /// The end of the body has been read.
    fn complete(&mut self) {
        if let Some(held) = self.held.take() {
            let Held { lease, connection, place, log, clock, latency, outcome } = held;
            lease.sample_latency(clock.now(), latency, outcome);
            if let Some(place) = place {
                place.end(outcome);
            }
            connection.give_back();
            drop((lease, log));
        }
    }

    /// The backend broke off. hyper then cuts the client off too, so that what it has can't pass
    /// for the whole.
    fn broken(&mut self) {
        if let Some(mut held) = self.held.take() {
            let now = held.clock.now();
            held.lease.sample_latency(now, held.latency, Outcome::Failure(Failure::Reset));
            if let Some(place) = held.place.take() {
                place.end(Outcome::Failure(Failure::Reset));
            }
            held.log.cut = Some("backend");
        }
    }
}

impl Body for Download {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Err(_))) => self.broken(),
            Poll::Ready(None) => self.complete(),
            // Trailers are the last of it; nobody asks for more.
            Poll::Ready(Some(Ok(frame))) if frame.is_trailers() => self.complete(),
            // With a known length nobody may ask for more.
            Poll::Ready(Some(Ok(_))) if self.inner.is_end_stream() => self.complete(),
            _ => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        if self.inner.is_end_stream() {
            // A response without a body, which is never polled.
            self.complete();
        } else if let Some(held) = &mut self.held {
            // The client has gone: no opinion on the backend, and a connection in an unknown state.
            held.log.cut = Some("client");
        }
    }
}
