//! Says when a UDP listener has as many sessions as it may have.

use std::net::SocketAddr;
use std::time::Duration;

use equipoise_tokio::udp::{Counters, Dropped};
use proxy_kit::log;
use tokio::time::sleep;

/// How often it looks: a flood is told once, and not for each datagram.
const EVERY: Duration = Duration::from_millis(500);

/// Looks for ever. It is told when datagrams of new clients are dropped for that, and when there is room again.
pub(crate) async fn tell(address: SocketAddr, most: usize, counters: &Counters) {
    let dropped = || counters.dropped(Dropped::Full);
    loop {
        let before = dropped();
        while dropped() == before {
            sleep(EVERY).await;
        }
        log::warn(format_args!(
            "udp {address}: {most} sessions, max_sessions; datagrams of new clients are dropped"
        ));
        while counters.sessions() >= most {
            sleep(EVERY).await;
        }
        log::warn(format_args!(
            "udp {address}: there is room for new clients; dropped were {} datagrams",
            dropped() - before
        ));
    }
}
