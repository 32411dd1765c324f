//! What the log says of a flood of datagrams: a line now and then, not one for each.

use std::net::SocketAddr;
use std::time::Duration;

use equipoise_core::Instant;
use equipoise_tokio::udp::{Counters, Dropped};
use proxy_kit::log;
use tokio::time::sleep;

/// How often it looks.
const EVERY: Duration = Duration::from_millis(500);

/// Looks for ever whether a listener has as many sessions as it may have. The log is told when datagrams of new
/// clients are dropped for that, and when there is room again.
pub(crate) async fn tell_when_full(address: SocketAddr, most: usize, counters: &Counters) {
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

/// Clients that got no backend. Each datagram of theirs would be a line of the log: one a second will do.
#[derive(Debug, Default)]
pub(crate) struct Unserved {
    told: Option<Instant>,
    /// How many there were since.
    more: u64,
}

impl Unserved {
    /// How many were left out before this one, if it is to have a line.
    pub(crate) fn note(&mut self, now: Instant) -> Option<u64> {
        if self.told.is_some_and(|told| now.since(told) < Duration::from_secs(1)) {
            self.more += 1;
            return None;
        }
        self.told = Some(now);
        Some(std::mem::take(&mut self.more))
    }
}
