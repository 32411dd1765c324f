//! From a configuration to a running proxy. Everything that can be wrong is found out before
//! anything is served.

use std::net::SocketAddr;
use std::sync::Arc;

use proxy_kit::admin::{self, AdminSettings};
use proxy_kit::clock::Monotonic;
use proxy_kit::flags::Flags;
use proxy_kit::pools::AllPools;
use proxy_kit::run::{report_checked, until_stopped};
use proxy_kit::settings::listeners_from_flags;
use proxy_kit::shutdown::{Shutdown, Signals};
use proxy_kit::{StartError, keys, listen, log, pools};
use tokio::net::TcpListener;

use crate::NAME;
use crate::config::{Cli, DEFAULT_LISTEN, Settings};
use crate::demo::Demo;
use crate::forward::Forwarder;
use crate::proxy::Proxy;
use crate::server::serve;
use crate::upstream::Upstream;

/// Runs the proxy until it is told to stop.
pub(crate) async fn start(cli: Cli) -> Result<(), StartError> {
    if cli.is_demo() {
        return start_demo(cli.flags).await;
    }
    let settings = Settings::load(&cli.flags)?;
    let addresses = settings.listeners.clone();
    let admin = settings.admin.clone();
    let proxy = build(settings).await?;
    if cli.flags.check {
        report_checked(NAME, &cli.flags);
        return Ok(());
    }
    let listeners = listen::bind(&addresses).await?;
    run(proxy, listeners, admin, |_| {}).await
}

/// The proxy's own port comes first: if it is taken, no backend has been started.
async fn start_demo(mut flags: Flags) -> Result<(), StartError> {
    let addresses = listeners_from_flags(&flags, DEFAULT_LISTEN)?;
    let listeners = listen::bind(&addresses).await?;
    let demo = Demo::bind().await?;
    flags.backend = demo.specs()?;
    let settings = Settings::load(&flags)?;
    let admin = settings.admin.clone();
    let proxy = build(settings).await?;
    demo.serve();
    run(proxy, listeners, admin, |address| {
        log::line(format_args!("{NAME}: three demo backends are up; see them take turns:"));
        log::line(format_args!("    curl http://{address}/"));
    })
    .await
}

async fn build(settings: Settings) -> Result<Proxy, StartError> {
    let Settings { listeners: _, admin: _, pools, routes, timeouts } = settings;
    let clock = Monotonic::start();
    let pools = pools::build(&pools, clock, |backend| Upstream::new(backend, clock)).await?;
    let pools = pools.into_iter().map(Arc::new).collect();
    Ok(Proxy { routes, pools, forwarder: Forwarder { clock, timeouts } })
}

async fn run(
    proxy: Proxy,
    listeners: Vec<TcpListener>,
    admin: Option<AdminSettings>,
    greet: impl Fn(SocketAddr),
) -> Result<(), StartError> {
    let signals = Signals::install().map_err(|error| StartError::new("signals", error))?;
    let limit = proxy.forwarder.timeouts.shutdown;
    keys::announce(NAME, proxy.pools.iter().map(Arc::as_ref));
    let admin = match admin {
        Some(admin) => Some(admin.bind().await?),
        None => None,
    };
    let (proxy, shutdown) = (Arc::new(proxy), Shutdown::new());
    let clock = proxy.forwarder.clock;
    for pool in &proxy.pools {
        pool.start(move |backend| Upstream::new(backend, clock)).await?;
    }
    if let Some(admin) = admin {
        let pools = Arc::new(AllPools(proxy.pools.clone()));
        admin::start(NAME, admin, pools, shutdown.guard());
    }
    for listener in listeners {
        let address = listener.local_addr().map_err(|error| StartError::new("listener", error))?;
        let proxy = Arc::clone(&proxy);
        tokio::spawn(listen::accept(listener, shutdown.guard(), move |stream, client, guard| {
            serve(Arc::clone(&proxy), stream, client, guard)
        }));
        log::line(format_args!("{NAME}: listening on {address}"));
        greet(address);
    }
    until_stopped(NAME, signals, shutdown, limit).await;
    Ok(())
}
