//! pingora-ketama, and pingora-load-balancing's `Consistent`, which has it inside.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use futures_util::FutureExt as _;
use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_ketama::{Bucket, Continuum, Version};
use pingora_load_balancing::discovery::ServiceDiscovery;
use pingora_load_balancing::selection::Consistent;
use pingora_load_balancing::{Backend, Backends, LoadBalancer};

use crate::hash::candidate::{Candidate, Change};
use crate::hash::keys::Key;
use crate::hash::servers::{Server, number};

/// How many backends `select` may look at, as in pingora's own example.
const MAX_ITERATIONS: usize = 256;

/// A ketama ring with 160 points for each unit of weight.
pub struct Ketama(Continuum);

impl Ketama {
    /// The ring as nginx has it.
    pub fn v1(servers: &[Server]) -> Self {
        Self(Continuum::new(&buckets(servers)))
    }

    /// The ring of pingora's second version.
    pub fn v2(servers: &[Server]) -> Self {
        let version = Version::V2 { point_multiple: pingora_ketama::DEFAULT_POINT_MULTIPLE };
        Self(Continuum::new_with_version(&buckets(servers), version))
    }
}

fn buckets(servers: &[Server]) -> Vec<Bucket> {
    servers.iter().map(|server| Bucket::new(server.address(), server.weight.into())).collect()
}

impl fmt::Debug for Ketama {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ketama").finish_non_exhaustive()
    }
}

impl Candidate for Ketama {
    fn owner(&self, key: &Key) -> u32 {
        self.0.node(key).map_or(u32::MAX, |address| number(&address))
    }
}

/// `LoadBalancer::select`: what a user of pingora calls. A clone of the backend comes out.
pub struct Balancer {
    balancer: LoadBalancer<Consistent>,
    found: Arc<ArcSwap<BTreeSet<Backend>>>,
}

/// Finds whatever was put there.
struct Discovery(Arc<ArcSwap<BTreeSet<Backend>>>);

#[async_trait]
impl ServiceDiscovery for Discovery {
    async fn discover(&self) -> pingora_error::Result<(BTreeSet<Backend>, HashMap<u64, bool>)> {
        Ok(((**self.0.load()).clone(), HashMap::new()))
    }
}

impl Balancer {
    /// A balancer of these servers.
    pub fn build(servers: &[Server]) -> Self {
        let found = Arc::new(ArcSwap::from_pointee(BTreeSet::new()));
        let discovery = Discovery(Arc::clone(&found));
        let balancer = LoadBalancer::from_backends(Backends::new(Box::new(discovery)));
        let new = Self { balancer, found };
        new.update(servers);
        new
    }

    fn update(&self, servers: &[Server]) {
        let backend = |server: &Server| Backend {
            addr: SocketAddr::Inet(server.address()),
            weight: server.weight.into(),
            ext: Default::default(),
        };
        self.found.store(Arc::new(servers.iter().map(backend).collect()));
        let update = self.balancer.update().now_or_never();
        update.expect("discovery is ready").expect("discovery succeeds");
    }
}

impl fmt::Debug for Balancer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Balancer").finish_non_exhaustive()
    }
}

impl Candidate for Balancer {
    fn owner(&self, key: &Key) -> u32 {
        match self.balancer.select(key, MAX_ITERATIONS).map(|backend| backend.addr) {
            Some(SocketAddr::Inet(address)) => number(&address),
            _ => u32::MAX,
        }
    }

    fn change(&mut self, _: Change, servers: &[Server]) -> bool {
        self.update(servers);
        true
    }
}
