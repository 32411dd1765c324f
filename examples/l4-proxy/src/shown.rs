//! What an operator sees of the UDP listeners.

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use equipoise_tokio::udp::{Counters, Dropped, End};
use proxy_kit::admin::{
    ActError, Action, PoolReport, Pools, UdpDatagrams, UdpDropped, UdpReport, UdpSessions,
};

/// The listeners that there are.
#[derive(Debug, Default)]
pub(crate) struct Shown(ArcSwap<Vec<ShownListener>>);

/// One of them.
#[derive(Debug)]
pub(crate) struct ShownListener {
    pub(crate) address: SocketAddr,
    pub(crate) pool: String,
    pub(crate) max_sessions: usize,
    pub(crate) counters: Arc<Counters>,
}

impl Shown {
    pub(crate) fn replace(&self, listeners: Vec<ShownListener>) {
        self.0.store(Arc::new(listeners));
    }
}

impl ShownListener {
    fn report(&self) -> UdpReport {
        let Self { address, pool, max_sessions, counters } = self;
        UdpReport {
            address: address.to_string(),
            pool: pool.clone(),
            sessions: UdpSessions {
                now: counters.sessions(),
                max: *max_sessions,
                opened: counters.opened(),
                idle: counters.ended(End::Idle),
                answered: counters.ended(End::Answered),
                refused: counters.ended(End::Refused),
                taken_out: counters.ended(End::TakenOut),
                stopped: counters.ended(End::Stopped),
            },
            datagrams: UdpDatagrams {
                from_clients: counters.from_clients(),
                to_backends: counters.to_backends(),
                from_backends: counters.from_backends(),
                to_clients: counters.to_clients(),
                waiting_bytes: counters.waiting(),
            },
            dropped: UdpDropped {
                full: counters.dropped(Dropped::Full),
                unserved: counters.dropped(Dropped::Unserved),
                waiting: counters.dropped(Dropped::Waiting),
                unsent: counters.dropped(Dropped::Unsent),
            },
        }
    }
}

/// All that an operator sees.
pub(crate) struct Operated<P> {
    pub(crate) pools: Arc<P>,
    pub(crate) udp: Arc<Shown>,
}

impl<P: Pools> Pools for Operated<P> {
    fn report(&self) -> Vec<PoolReport> {
        self.pools.report()
    }

    fn act(&self, pool: &str, backend: &str, action: Action) -> Result<(), ActError> {
        self.pools.act(pool, backend, action)
    }

    fn udp(&self) -> Option<Vec<UdpReport>> {
        Some(self.udp.0.load().iter().map(ShownListener::report).collect())
    }
}
