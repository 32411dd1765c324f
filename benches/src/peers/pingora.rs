//! pingora-load-balancing: `LoadBalancer::select`.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use futures_util::FutureExt as _;
use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_load_balancing::discovery::ServiceDiscovery;
use pingora_load_balancing::selection::{BackendIter, BackendSelection};
use pingora_load_balancing::{Backend, Backends, LoadBalancer};

use crate::row::Worker;

pub use pingora_load_balancing::selection::{Random, RoundRobin};

/// How many backends `select` may look at, as in pingora's own example.
const MAX_ITERATIONS: usize = 256;

/// Finds whatever was put there.
struct Discovery(Arc<ArcSwap<BTreeSet<Backend>>>);

#[async_trait]
impl ServiceDiscovery for Discovery {
    async fn discover(&self) -> pingora_error::Result<(BTreeSet<Backend>, HashMap<u64, bool>)> {
        Ok(((**self.0.load()).clone(), HashMap::new()))
    }
}

fn backends(count: usize) -> BTreeSet<Backend> {
    let backend = |i: u32| {
        let address = std::net::SocketAddr::from((i.to_be_bytes(), 80));
        Backend { addr: SocketAddr::Inet(address), weight: 1, ext: Default::default() }
    };
    (0x0a00_0000..).take(count).map(backend).collect()
}

/// A pick. A clone of the backend comes out; nothing is counted, so there is nothing to end.
pub struct Select<S: BackendSelection> {
    balancer: Arc<LoadBalancer<S>>,
    found: Arc<ArcSwap<BTreeSet<Backend>>>,
}

impl<S> Select<S>
where
    S: BackendSelection + Send + Sync + 'static,
    S::Iter: BackendIter,
{
    /// A balancer over so many backends; clone it for each thread.
    pub fn new(count: usize) -> Self {
        let found = Arc::new(ArcSwap::from_pointee(BTreeSet::new()));
        let discovery = Discovery(Arc::clone(&found));
        let balancer = LoadBalancer::from_backends(Backends::new(Box::new(discovery)));
        let select = Self { balancer: Arc::new(balancer), found };
        select.update(count);
        select
    }

    fn update(&self, count: usize) {
        self.found.store(Arc::new(backends(count)));
        let update = self.balancer.update().now_or_never();
        update.expect("discovery is ready").expect("discovery succeeds");
    }
}

impl<S: BackendSelection> Clone for Select<S> {
    fn clone(&self) -> Self {
        Self { balancer: Arc::clone(&self.balancer), found: Arc::clone(&self.found) }
    }
}

impl<S: BackendSelection> fmt::Debug for Select<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Select").finish_non_exhaustive()
    }
}

impl<S> Worker for Select<S>
where
    S: BackendSelection + Send + Sync + 'static,
    S::Iter: BackendIter,
{
    #[inline]
    fn step(&mut self) -> u64 {
        self.balancer.select(b"", MAX_ITERATIONS).map_or(0, |backend| backend.weight as u64)
    }
}

/// One membership change, through `update`.
pub struct Update<S: BackendSelection> {
    select: Select<S>,
    count: usize,
    away: bool,
}

impl<S> Update<S>
where
    S: BackendSelection + Send + Sync + 'static,
    S::Iter: BackendIter,
{
    /// A balancer of its own.
    pub fn new(count: usize) -> Self {
        Self { select: Select::new(count), count, away: false }
    }
}

impl<S: BackendSelection> fmt::Debug for Update<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Update").field("count", &self.count).finish_non_exhaustive()
    }
}

impl<S> Worker for Update<S>
where
    S: BackendSelection + Send + Sync + 'static,
    S::Iter: BackendIter,
{
    fn step(&mut self) -> u64 {
        self.away = !self.away;
        self.select.update(self.count - usize::from(self.away));
        0
    }
}
