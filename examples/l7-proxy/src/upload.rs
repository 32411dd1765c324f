//! The request body on its way to the backend.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};

use equipoise_core::{Clock, Instant};
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use proxy_kit::clock::Monotonic;

/// A request body that keeps account of how it moves: it tells a slow backend from a slow client,
/// and a broken backend from a broken client.
#[derive(Debug)]
pub(crate) struct Upload {
    /// `None` is an empty body: one that can be sent again.
    inner: Option<Incoming>,
    progress: Arc<Progress>,
    clock: Monotonic,
}

/// How a body moves, for whoever waits for the response.
#[derive(Debug)]
pub(crate) struct Progress {
    /// When it last moved, in nanoseconds of the clock.
    moved: AtomicU64,
    waits_for_client: AtomicBool,
    broken_by_client: AtomicBool,
}

impl Upload {
    pub(crate) fn new(inner: Incoming, clock: Monotonic) -> Self {
        let inner = (!inner.is_end_stream()).then_some(inner);
        Self { inner, progress: Arc::new(Progress::new(clock.now())), clock }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.inner.is_none()
    }

    /// Another empty body.
    pub(crate) fn empty(clock: Monotonic) -> Self {
        Self { inner: None, progress: Arc::new(Progress::new(clock.now())), clock }
    }

    pub(crate) fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }
}

impl Progress {
    fn new(now: Instant) -> Self {
        Self {
            moved: AtomicU64::new(now.as_nanos()),
            waits_for_client: AtomicBool::new(false),
            broken_by_client: AtomicBool::new(false),
        }
    }

    /// When the body last moved.
    pub(crate) fn moved(&self) -> Instant {
        Instant::from_nanos(self.moved.load(Relaxed))
    }

    /// The body moved now, or what carries it did.
    pub(crate) fn touch(&self, now: Instant) {
        self.moved.store(now.as_nanos(), Relaxed);
    }

    /// The next part of the body has yet to come from the client.
    pub(crate) fn waits_for_client(&self) -> bool {
        self.waits_for_client.load(Relaxed)
    }

    /// The body could not be read to its end.
    pub(crate) fn broken_by_client(&self) -> bool {
        self.broken_by_client.load(Relaxed)
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(inner) = &mut self.inner else { return Poll::Ready(None) };
        let polled = Pin::new(inner).poll_frame(cx);
        self.progress.waits_for_client.store(polled.is_pending(), Relaxed);
        if let Poll::Ready(frame) = &polled {
            self.progress.touch(self.clock.now());
            if let Some(Err(_)) = frame {
                self.progress.broken_by_client.store(true, Relaxed);
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or(SizeHint::with_exact(0), Body::size_hint)
    }
}
