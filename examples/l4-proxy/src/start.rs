//! From a configuration to a running proxy, and from one configuration to the next. Everything that can
//! be wrong is found out before anything is served, or changed.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use equipoise_tokio::relay::Relay;
use proxy_kit::admin::{self, AdminSettings};
use proxy_kit::clock::Monotonic;
use proxy_kit::descriptors;
use proxy_kit::flags::Flags;
use proxy_kit::listen::{self, Bound, Gate, Inherited, Limit, Listening};
use proxy_kit::pools::{self, AllPools, NamedPool, Renewal};
use proxy_kit::run::{Running, report_checked, report_fixed, until_replaced};
use proxy_kit::shutdown::{Shutdown, Signals};
use proxy_kit::tls::{Keeper, Terminator};
use proxy_kit::workers::Workers;
use proxy_kit::{StartError, keys};
use tokio::net::TcpListener;

use crate::NAME;
use crate::config::{Cli, Listener, Serving, Settings};
use crate::connection::Service;
use crate::datagrams::{self, Datagrams};
use crate::front::{self, Front};
use crate::shown::Operated;
use crate::target::Target;
use crate::udp_listener::UdpListener;

/// Runs the proxy until it is told to stop.
pub(crate) async fn start(cli: Cli) -> Result<(), StartError> {
    let Settings { listeners, udp, pools, admin, workers, max_connections, serving } =
        Settings::load(&cli.flags)?;
    let clock = Monotonic::start();
    let pools = pools::build(&pools, clock, Target::new).await?;
    let terminators = front::load(&listeners, &[])?;
    if cli.flags.check {
        report_checked(NAME, &cli.flags);
        return Ok(());
    }
    let mut inherited = Inherited::from_env()?;
    let addresses: Vec<_> = listeners.iter().map(|listener| listener.address.clone()).collect();
    let (worker_count, workers) = (workers, Workers::start(workers)?);
    let sockets = listen::bind_or_inherit(&addresses, workers.sockets(), &mut inherited)?;
    let udp_sockets = datagrams::bind(&udp, &mut inherited).await?;
    let is_reloaded = cli.flags.config.is_some();
    let signals =
        Signals::install_all(is_reloaded).map_err(|error| StartError::new("signals", error))?;
    keys::announce(NAME, pools.iter());
    let fixed = (admin.clone(), worker_count);
    let admin = admin.map(|admin| admin.bind(&mut inherited)).transpose()?;
    inherited.close(NAME);
    let shutdown = Shutdown::new();
    for pool in &pools {
        pool.start(Target::new).await?;
    }
    let pools = Arc::new(AllPools::new(pools.into_iter().map(Arc::new).collect()));
    let descriptors = descriptors::raise();
    let gate = Gate::new(limit(max_connections, &udp, descriptors));
    let datagrams = Datagrams::new(Arc::clone(&gate), shutdown.guard());
    let operated = Arc::new(Operated { pools: pools.clone(), udp: datagrams.shown() });
    let admin = admin.map(|admin| admin::start(NAME, admin, operated, shutdown.guard()));
    let mut listening = Listening::new(Arc::clone(&gate), shutdown.guard()).by(&workers);
    listening.set_keepalive(serving.keepalive.clone());
    let certificates = Arc::new(Keeper::default());
    tokio::spawn(Arc::clone(&certificates).run(NAME, shutdown.guard()));
    let (flags, limits) = (cli.flags, gate);
    let relay = Relay::new(serving.timeouts.relay);
    let mut proxy = Proxy {
        flags,
        descriptors,
        clock,
        pools,
        limits,
        listening,
        certificates,
        datagrams,
        serving,
        relay,
        fixed,
        admin,
    };
    let pools = proxy.pools.now();
    let services = proxy.switch(&listeners, &pools, terminators, sockets)?;
    proxy.datagrams.switch(&udp, &services, udp_sockets)?;
    // A pool that a reload takes out must not live on here.
    drop((pools, services));
    until_replaced(NAME, signals, shutdown, proxy).await;
    Ok(())
}

/// How many clients there may be at a time: as many as is configured, or as the descriptors are enough for.
fn limit(configured: Option<usize>, udp: &[UdpListener], descriptors: Option<usize>) -> Limit {
    let Some(most) = configured else { return descriptors::limit(descriptors) };
    if let Some(descriptors) = descriptors {
        let sessions = udp.iter().map(|listener| listener.config.max_sessions).sum();
        descriptors::warn_of_too_few(NAME, descriptors, most, sessions);
    }
    Limit::Connections(most)
}

/// A proxy at work.
struct Proxy {
    flags: Flags,
    /// How many it may have.
    descriptors: Option<usize>,
    clock: Monotonic,
    pools: Arc<AllPools<Target>>,
    limits: Arc<Gate>,
    listening: Listening<Front>,
    certificates: Arc<Keeper>,
    datagrams: Datagrams,
    serving: Serving,
    relay: Relay,
    /// `[admin]` and `workers`, which are as they were at the start.
    fixed: (Option<AdminSettings>, usize),
    /// Where operators are served.
    admin: Option<Arc<TcpListener>>,
}

impl Proxy {
    /// From now on these are the listeners, and what serves them. Hands out what serves each pool.
    fn switch(
        &mut self,
        listeners: &[Listener],
        pools: &[Arc<NamedPool<Target>>],
        terminators: Vec<Option<Arc<Terminator>>>,
        sockets: Vec<Bound>,
    ) -> Result<Vec<Arc<Service>>, StartError> {
        let clock = self.clock;
        let relay = self.relay.with_limits(self.serving.timeouts.relay);
        let service = |pool: &Arc<NamedPool<Target>>| {
            let (pool, relay, serving) = (Arc::clone(pool), relay.clone(), self.serving.clone());
            Arc::new(Service { pool, clock, relay, serving })
        };
        let services: Vec<_> = pools.iter().map(service).collect();
        let front = |(listener, terminator): (&Listener, &Option<Arc<Terminator>>)| {
            (
                listener.address.clone(),
                Arc::new(Front::new(listener, terminator.clone(), &services)),
            )
        };
        let fronts = listeners.iter().zip(&terminators).map(front).collect();
        self.listening.switch(fronts, sockets)?.log(NAME);
        let named = self.listening.addresses().zip(terminators);
        let named = named.filter_map(|(address, tls)| Some((address.to_string(), tls?)));
        self.certificates.keep(named.collect());
        Ok(services)
    }
}

impl Running for Proxy {
    async fn reload(&mut self) -> Result<String, StartError> {
        let Settings { listeners, udp, pools, admin, workers, max_connections, serving } =
            Settings::load(&self.flags)?;
        let before = self.pools.now();
        let renewal = Renewal::prepare(&before, &pools, self.clock, Target::new).await?;
        let addresses: Vec<_> = listeners.iter().map(|listener| listener.address.clone()).collect();
        let terminators = front::load(&listeners, &self.certificates.terminators())?;
        let sockets = self.listening.bind(&addresses)?;
        let udp_sockets = self.datagrams.bind(&udp).await?;
        keys::announce(NAME, renewal.made());
        let (pools, changed, retiring) = renewal.commit();
        self.listening.set_keepalive(serving.keepalive.clone());
        self.serving = serving;
        self.limits.set(limit(max_connections, &udp, self.descriptors));
        let services = self.switch(&listeners, &pools, terminators, sockets)?;
        self.datagrams.switch(&udp, &services, udp_sockets)?;
        self.pools.replace(pools);
        retiring.retire();
        let (admin_before, workers_before) = &self.fixed;
        report_fixed(
            NAME,
            &[("[admin]", admin != *admin_before), ("workers", workers != *workers_before)],
        );
        Ok(changed.to_string())
    }

    fn sockets(&self) -> Vec<BorrowedFd<'_>> {
        let admin = self.admin.as_deref().map(AsFd::as_fd);
        let streams = self.listening.sockets().map(AsFd::as_fd).chain(admin);
        streams.chain(self.datagrams.sockets()).collect()
    }

    fn handed_over(&mut self) {
        self.listening.hand_over();
    }

    fn shutdown_limit(&self) -> Duration {
        self.serving.timeouts.shutdown
    }
}
