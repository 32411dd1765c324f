//! From a configuration to a running proxy, and from one configuration to the next. Everything that can
//! be wrong is found out before anything is served, or changed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use proxy_kit::admin;
use proxy_kit::clock::Monotonic;
use proxy_kit::flags::Flags;
use proxy_kit::listen::{self, Gate, Inherited, Listening};
use proxy_kit::pools::{self, AllPools, NamedPool, Renewal};
use proxy_kit::run::{Running, report_checked, until_replaced};
use proxy_kit::shutdown::{Shutdown, Signals};
use proxy_kit::{StartError, keys};
use tokio::net::TcpListener;

use crate::NAME;
use crate::config::{Cli, Listener, Settings, Timeouts};
use crate::connection::Service;
use crate::target::Target;

/// Runs the proxy until it is told to stop.
pub(crate) async fn start(cli: Cli) -> Result<(), StartError> {
    let Settings { listeners, pools, admin, timeouts, max_connections } =
        Settings::load(&cli.flags)?;
    let clock = Monotonic::start();
    let pools = pools::build(&pools, clock, Target::new).await?;
    if cli.flags.check {
        report_checked(NAME, &cli.flags);
        return Ok(());
    }
    let mut inherited = Inherited::from_env()?;
    let addresses: Vec<_> = listeners.iter().map(|listener| listener.address).collect();
    let sockets = listen::bind_or_inherit(&addresses, &mut inherited)?;
    let is_reloaded = cli.flags.config.is_some();
    let signals =
        Signals::install_all(is_reloaded).map_err(|error| StartError::new("signals", error))?;
    keys::announce(NAME, pools.iter());
    let admin = admin.map(|admin| admin.bind(&mut inherited)).transpose()?;
    inherited.close(NAME);
    let shutdown = Shutdown::new();
    for pool in &pools {
        pool.start(Target::new).await?;
    }
    let pools = Arc::new(AllPools::new(pools.into_iter().map(Arc::new).collect()));
    let admin = admin.map(|admin| admin::start(NAME, admin, pools.clone(), shutdown.guard()));
    let gate = Gate::new(max_connections);
    let listening = Listening::new(Arc::clone(&gate), shutdown.guard());
    let mut proxy = Proxy { flags: cli.flags, clock, pools, gate, listening, timeouts, admin };
    let services = proxy.services(&listeners, &proxy.pools.now());
    proxy.listening.switch(services, sockets)?.log(NAME);
    until_replaced(NAME, signals, shutdown, proxy).await;
    Ok(())
}

/// A proxy at work.
struct Proxy {
    flags: Flags,
    clock: Monotonic,
    pools: Arc<AllPools<Target>>,
    gate: Arc<Gate>,
    listening: Listening<Service>,
    timeouts: Timeouts,
    /// Where operators are served.
    admin: Option<Arc<TcpListener>>,
}

impl Proxy {
    /// What serves each listener.
    fn services(
        &self,
        listeners: &[Listener],
        pools: &[Arc<NamedPool<Target>>],
    ) -> Vec<(SocketAddr, Arc<Service>)> {
        let (clock, timeouts) = (self.clock, self.timeouts);
        let service = |listener: &Listener| {
            let pool = Arc::clone(&pools[listener.pool]);
            (listener.address, Arc::new(Service { pool, clock, timeouts }))
        };
        listeners.iter().map(service).collect()
    }
}

impl Running for Proxy {
    async fn reload(&mut self) -> Result<String, StartError> {
        let Settings { listeners, pools, admin: _, timeouts, max_connections } =
            Settings::load(&self.flags)?;
        let before = self.pools.now();
        let renewal = Renewal::prepare(&before, &pools, self.clock, Target::new).await?;
        let addresses: Vec<_> = listeners.iter().map(|listener| listener.address).collect();
        let sockets = self.listening.bind(&addresses)?;
        keys::announce(NAME, renewal.made());
        let (pools, changed) = renewal.commit();
        self.timeouts = timeouts;
        self.gate.set(max_connections);
        let services = self.services(&listeners, &pools);
        self.pools.replace(pools);
        self.listening.switch(services, sockets)?.log(NAME);
        Ok(changed.to_string())
    }

    fn sockets(&self) -> Vec<&TcpListener> {
        self.listening.sockets().chain(self.admin.as_deref()).collect()
    }

    fn shutdown_limit(&self) -> Duration {
        self.timeouts.shutdown
    }
}
