//! tower's power of two choices.
//!
//! A request is `poll_ready` and `call`; it ends when its response is polled, or dropped.

use std::convert::Infallible;
use std::fmt;
use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use tower::Service;
use tower::balance::p2c::Balance;
use tower::discover::ServiceList;
use tower::load::{CompleteOnResponse, Load, PeakEwma, PendingRequests};

use crate::ours::IN_FLIGHT;
use crate::row::Worker;

/// A backend that answers at once.
#[derive(Clone, Debug)]
pub struct Backend(u32);

impl Service<()> for Backend {
    type Response = u32;
    type Error = Infallible;
    type Future = Ready<Result<u32, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> Self::Future {
        ready(Ok(self.0))
    }
}

/// A backend with the count or the average that the balancer compares.
pub trait Loaded:
    Service<(), Response = u32, Error: Into<tower::BoxError>> + Load<Metric: fmt::Debug>
{
    /// Wraps a backend.
    fn wrap(backend: Backend) -> Self;
}

impl Loaded for PendingRequests<Backend> {
    fn wrap(backend: Backend) -> Self {
        Self::new(backend, CompleteOnResponse::default())
    }
}

impl Loaded for PeakEwma<Backend> {
    fn wrap(backend: Backend) -> Self {
        Self::new(backend, Duration::from_millis(30), 1e10, CompleteOnResponse::default())
    }
}

type Balancer<L> = Balance<ServiceList<Vec<L>>, ()>;
type Response<L> = <Balancer<L> as Service<()>>::Future;

/// Where a worker finds its balancer.
pub trait Handle<L: Loaded> {
    /// Picks and calls.
    fn request(&mut self) -> Response<L>;
}

impl<L: Loaded> Handle<L> for Balancer<L> {
    #[inline]
    fn request(&mut self) -> Response<L> {
        let mut context = Context::from_waker(Waker::noop());
        assert!(self.poll_ready(&mut context).is_ready(), "every backend is ready");
        self.call(())
    }
}

impl<L: Loaded> Handle<L> for Arc<Mutex<Balancer<L>>> {
    #[inline]
    fn request(&mut self) -> Response<L> {
        self.lock().request()
    }
}

/// A balancer over so many backends.
fn balancer<L: Loaded>(backends: usize) -> Balancer<L> {
    let backends: Vec<L> = (0..backends as u32).map(|i| L::wrap(Backend(i))).collect();
    Balance::new(ServiceList::new::<()>(backends))
}

/// A whole request: pick and call, and poll the oldest of [`IN_FLIGHT`] responses.
pub struct WholeRequest<L: Loaded, H> {
    balancer: H,
    in_flight: [Option<Response<L>>; IN_FLIGHT],
    at: usize,
}

impl<L: Loaded> WholeRequest<L, Balancer<L>> {
    /// One worker with a balancer of its own.
    pub fn alone(backends: usize) -> Self {
        Self::new(balancer(backends))
    }
}

impl<L: Loaded> WholeRequest<L, Arc<Mutex<Balancer<L>>>> {
    /// Workers that lock one balancer for as long as they pick.
    pub fn locked(backends: usize, threads: usize) -> Vec<Self> {
        let balancer = Arc::new(Mutex::new(balancer(backends)));
        (0..threads).map(|_| Self::new(Arc::clone(&balancer))).collect()
    }
}

impl<L: Loaded, H> WholeRequest<L, H> {
    fn new(balancer: H) -> Self {
        Self { balancer, in_flight: [const { None }; IN_FLIGHT], at: 0 }
    }
}

impl<L: Loaded, H> fmt::Debug for WholeRequest<L, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WholeRequest").finish_non_exhaustive()
    }
}

impl<L, H> Worker for WholeRequest<L, H>
where
    L: Loaded<Future: Send + Unpin> + Send,
    H: Handle<L> + Send,
{
    #[inline]
    fn step(&mut self) -> u64 {
        let response = self.balancer.request();
        self.at = (self.at + 1) % IN_FLIGHT;
        let Some(mut oldest) = self.in_flight[self.at].replace(response) else { return 0 };
        let mut context = Context::from_waker(Waker::noop());
        match Pin::new(&mut oldest).poll(&mut context) {
            Poll::Ready(Ok(picked)) => u64::from(picked),
            _ => 0,
        }
    }
}
