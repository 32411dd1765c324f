//! From a configuration to a running proxy, and from one configuration to the next. Everything that can
//! be wrong is found out before anything is served, or changed.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use proxy_kit::admin::{self, AdminSettings};
use proxy_kit::clock::Monotonic;
use proxy_kit::flags::Flags;
use proxy_kit::listen::{self, Bound, Gate, Inherited, Limit, Listening, Switched};
use proxy_kit::pools::{self, AllPools, NamedPool, Renewal};
use proxy_kit::run::{Running, report_checked, report_fixed, until_replaced};
use proxy_kit::settings::listeners_from_flags;
use proxy_kit::shutdown::{Shutdown, Signals};
use proxy_kit::socket::StreamAddr;
use proxy_kit::{StartError, keys, log};
use tokio::net::TcpListener;

use crate::NAME;
use crate::config::{Cli, DEFAULT_LISTEN, Settings, Timeouts};
use crate::demo::Demo;
use crate::forward::Forwarder;
use crate::proxy::Proxy;
use crate::route::Routes;
use crate::upstream::Upstream;

/// Runs the proxy until it is told to stop.
pub(crate) async fn start(cli: Cli) -> Result<(), StartError> {
    if cli.is_demo() {
        return start_demo(cli.flags).await;
    }
    let settings = Settings::load(&cli.flags)?;
    let starting = Starting::new(settings).await?;
    if cli.flags.check {
        report_checked(NAME, &cli.flags);
        return Ok(());
    }
    let mut inherited = Inherited::from_env()?;
    let sockets = listen::bind_or_inherit(&starting.listeners, 1, &mut inherited)?;
    starting.run(cli.flags, sockets, inherited, |_| {}).await
}

/// The proxy's own port comes first: if it is taken, no backend has been started.
async fn start_demo(mut flags: Flags) -> Result<(), StartError> {
    let addresses = listeners_from_flags(&flags, DEFAULT_LISTEN)?;
    let mut inherited = Inherited::from_env()?;
    let addresses: Vec<_> = addresses.into_iter().map(StreamAddr::Ip).collect();
    let sockets = listen::bind_or_inherit(&addresses, 1, &mut inherited)?;
    let demo = Demo::bind()?;
    flags.backend = demo.specs()?;
    let starting = Starting::new(Settings::load(&flags)?).await?;
    demo.serve();
    let greet = |address: &StreamAddr| {
        log::line(format_args!("{NAME}: three demo backends are up; see them take turns:"));
        log::line(format_args!("    curl http://{address}/"));
    };
    starting.run(flags, sockets, inherited, greet).await
}

/// A proxy whose backends are resolved.
struct Starting {
    clock: Monotonic,
    listeners: Vec<StreamAddr>,
    admin: Option<AdminSettings>,
    pools: Vec<NamedPool<Upstream>>,
    routes: Routes,
    timeouts: Timeouts,
}

impl Starting {
    async fn new(settings: Settings) -> Result<Self, StartError> {
        let Settings { listeners, admin, pools, routes, timeouts } = settings;
        let listeners = listeners.into_iter().map(StreamAddr::Ip).collect();
        let clock = Monotonic::start();
        let pools = pools::build(&pools, clock, make(clock)).await?;
        Ok(Self { clock, listeners, admin, pools, routes, timeouts })
    }

    async fn run(
        self,
        flags: Flags,
        sockets: Vec<Bound>,
        mut inherited: Inherited,
        greet: impl Fn(&StreamAddr),
    ) -> Result<(), StartError> {
        let Self { clock, listeners, admin, pools, routes, timeouts } = self;
        let signals = Signals::install_all(flags.config.is_some());
        let signals = signals.map_err(|error| StartError::new("signals", error))?;
        keys::announce(NAME, pools.iter());
        let admin_settings = admin.clone();
        let admin = admin.map(|admin| admin.bind(&mut inherited)).transpose()?;
        inherited.close(NAME);
        let shutdown = Shutdown::new();
        for pool in &pools {
            pool.start(make(clock)).await?;
        }
        let pools = Arc::new(AllPools::new(pools.into_iter().map(Arc::new).collect()));
        let admin = admin.map(|admin| admin::start(NAME, admin, pools.clone(), shutdown.guard()));
        let listening = Listening::new(Gate::new(Limit::None), shutdown.guard());
        let mut working = Working {
            flags,
            clock,
            pools,
            listening,
            limit: timeouts.shutdown,
            admin_settings,
            admin,
        };
        let proxy = working.proxy(routes, timeouts);
        say(&working.switch(&listeners, &proxy, sockets)?, greet);
        // A pool that a reload takes out must not live on here.
        drop(proxy);
        until_replaced(NAME, signals, shutdown, working).await;
        Ok(())
    }
}

fn make(clock: Monotonic) -> impl Fn(proxy_kit::connect::Backend) -> Upstream + Clone {
    move |backend| Upstream::new(backend, clock)
}

/// A proxy at work.
struct Working {
    flags: Flags,
    clock: Monotonic,
    pools: Arc<AllPools<Upstream>>,
    listening: Listening<Proxy>,
    /// For requests in hand at shutdown.
    limit: Duration,
    /// As they were at the start.
    admin_settings: Option<AdminSettings>,
    /// Where operators are served.
    admin: Option<Arc<TcpListener>>,
}

impl Working {
    fn proxy(&self, routes: Routes, timeouts: Timeouts) -> Arc<Proxy> {
        let pools = self.pools.now().to_vec();
        Arc::new(Proxy { routes, pools, forwarder: Forwarder { clock: self.clock, timeouts } })
    }

    /// All listeners are served alike.
    fn switch(
        &mut self,
        listeners: &[StreamAddr],
        proxy: &Arc<Proxy>,
        sockets: Vec<Bound>,
    ) -> Result<Switched, StartError> {
        let services =
            listeners.iter().map(|address| (address.clone(), Arc::clone(proxy))).collect();
        self.listening.switch(services, sockets)
    }
}

impl Running for Working {
    async fn reload(&mut self) -> Result<String, StartError> {
        let Settings { listeners, admin, pools, routes, timeouts } = Settings::load(&self.flags)?;
        let listeners: Vec<_> = listeners.into_iter().map(StreamAddr::Ip).collect();
        let before = self.pools.now();
        let renewal = Renewal::prepare(&before, &pools, self.clock, make(self.clock)).await?;
        let sockets = self.listening.bind(&listeners)?;
        keys::announce(NAME, renewal.made());
        let (pools, changes, retiring) = renewal.commit();
        self.pools.replace(pools);
        self.limit = timeouts.shutdown;
        let proxy = self.proxy(routes, timeouts);
        say(&self.switch(&listeners, &proxy, sockets)?, |_| {});
        retiring.retire();
        report_fixed(NAME, &[("[admin]", admin != self.admin_settings)]);
        Ok(changes.to_string())
    }

    fn sockets(&self) -> Vec<BorrowedFd<'_>> {
        let admin = self.admin.as_deref().map(AsFd::as_fd);
        self.listening.sockets().map(AsFd::as_fd).chain(admin).collect()
    }

    fn handed_over(&mut self) {
        self.listening.hand_over();
    }

    fn shutdown_limit(&self) -> Duration {
        self.limit
    }
}

fn say(switched: &Switched, greet: impl Fn(&StreamAddr)) {
    switched.log(NAME);
    switched.opened.iter().for_each(greet);
}
