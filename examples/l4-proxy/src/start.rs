//! From a configuration to a running proxy. Everything that can be wrong is found out before
//! anything is served.

use std::sync::Arc;

use proxy_kit::admin;
use proxy_kit::clock::Monotonic;
use proxy_kit::pools::AllPools;
use proxy_kit::run::{report_checked, until_stopped};
use proxy_kit::shutdown::{Shutdown, Signals};
use proxy_kit::{StartError, keys, listen, log, pools};

use crate::NAME;
use crate::config::{Cli, Settings};
use crate::connection::Service;
use crate::target::Target;

/// Runs the proxy until it is told to stop.
pub(crate) async fn start(cli: Cli) -> Result<(), StartError> {
    let Settings { listeners, pools, admin, timeouts } = Settings::load(&cli.flags)?;
    let clock = Monotonic::start();
    let pools = pools::build(&pools, clock, Target::new).await?;
    if cli.flags.check {
        report_checked(NAME, &cli.flags);
        return Ok(());
    }
    let services: Vec<_> = pools
        .into_iter()
        .map(|pool| Service { pool: Arc::new(pool), clock, timeouts })
        .map(Arc::new)
        .collect();
    let addresses: Vec<_> = listeners.iter().map(|listener| listener.address).collect();
    let sockets = listen::bind(&addresses).await?;
    let signals = Signals::install().map_err(|error| StartError::new("signals", error))?;
    keys::announce(NAME, services.iter().map(|service| &*service.pool));
    let admin = match admin {
        Some(admin) => Some(admin.bind().await?),
        None => None,
    };
    let shutdown = Shutdown::new();
    let pools: Vec<_> = services.iter().map(|service| Arc::clone(&service.pool)).collect();
    for pool in &pools {
        pool.start(Target::new).await?;
    }
    if let Some(admin) = admin {
        admin::start(NAME, admin, Arc::new(AllPools(pools)), shutdown.guard());
    }
    for (listener, socket) in listeners.into_iter().zip(sockets) {
        let address = socket.local_addr().map_err(|error| StartError::new("listener", error))?;
        let service = Arc::clone(&services[listener.pool]);
        tokio::spawn(listen::accept(socket, shutdown.guard(), move |stream, client, guard| {
            let service = Arc::clone(&service);
            async move {
                service.serve(stream, client).await;
                // Shutdown waits for it.
                drop(guard);
            }
        }));
        log::line(format_args!("{NAME}: listening on {address}"));
    }
    until_stopped(NAME, signals, shutdown, timeouts.shutdown).await;
    Ok(())
}
