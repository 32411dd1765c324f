//! Signals, connections in hand, and the wait for them.

use std::io;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

/// Knows how many connections are in hand, and tells them when to stop.
#[derive(Debug)]
pub struct Shutdown(watch::Sender<bool>);

/// Held by everything that shutdown waits for: accept loops and connections.
#[derive(Clone, Debug)]
pub struct Guard(watch::Receiver<bool>);

impl Shutdown {
    /// Nothing in hand yet.
    pub fn new() -> Self {
        Self(watch::Sender::new(false))
    }

    /// A guard for something to wait for; it clones into more.
    pub fn guard(&self) -> Guard {
        Guard(self.0.subscribe())
    }

    /// Tells all holders of guards to stop, and waits until they have, but not longer than `limit`
    /// and not after a second signal. Returns how many were left.
    pub async fn finish(self, limit: Duration, signals: &mut Signals) -> usize {
        self.0.send_replace(true);
        tokio::select! {
            _ = timeout(limit, self.0.closed()) => {}
            () = signals.next() => {}
        }
        self.0.receiver_count()
    }
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::new()
    }
}

impl Guard {
    /// Waits until shutdown begins.
    pub async fn stopping(&mut self) {
        // An error means that there is nobody left to wait for us.
        let _ = self.0.wait_for(|&stopping| stopping).await;
    }
}

/// Ctrl-C, and SIGTERM where there is one.
#[derive(Debug)]
pub struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    /// Takes the signals over. From here on they no longer end the process by themselves.
    ///
    /// # Errors
    /// When the system refuses.
    #[cfg(unix)]
    pub fn install() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Takes Ctrl-C over.
    ///
    /// # Errors
    /// When the system refuses.
    #[cfg(not(unix))]
    pub fn install() -> io::Result<Self> {
        Ok(Self {})
    }

    /// Waits for the next signal.
    pub async fn next(&mut self) {
        #[cfg(unix)]
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
        #[cfg(not(unix))]
        let _ = tokio::signal::ctrl_c().await;
    }
}
