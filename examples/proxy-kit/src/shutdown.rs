//! Signals, connections in hand, and the wait for them.

use std::io;
use std::time::Duration;

#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};
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
            () = signals.stop() => {}
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

/// What a signal asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Asked {
    /// SIGTERM or Ctrl-C: to stop.
    Stop,
    /// SIGHUP: to read the configuration again.
    Reload,
    /// SIGUSR2: to start the program anew and let it take over.
    HandOver,
}

/// Ctrl-C, and SIGTERM where there is one; others if they are asked for.
#[derive(Debug)]
pub struct Signals {
    #[cfg(unix)]
    terminate: Signal,
    #[cfg(unix)]
    interrupt: Signal,
    #[cfg(unix)]
    hangup: Option<Signal>,
    #[cfg(unix)]
    user2: Option<Signal>,
}

impl Signals {
    /// Takes the signals over that ask a process to stop. From here on they no longer end it by
    /// themselves.
    ///
    /// # Errors
    /// When the system refuses.
    #[cfg(unix)]
    pub fn install() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: None,
            user2: None,
        })
    }

    /// The same, and those that ask a proxy for something. SIGHUP only if it can be `reloaded`: a
    /// terminal that is closed sends it, and without a file to read again it means what it meant.
    ///
    /// # Errors
    /// When the system refuses.
    #[cfg(unix)]
    pub fn install_all(reloaded: bool) -> io::Result<Self> {
        let hangup = reloaded.then(|| signal(SignalKind::hangup())).transpose()?;
        let user2 = Some(signal(SignalKind::user_defined2())?);
        Ok(Self { hangup, user2, ..Self::install()? })
    }

    /// Takes Ctrl-C over.
    ///
    /// # Errors
    /// When the system refuses.
    #[cfg(not(unix))]
    pub fn install() -> io::Result<Self> {
        Ok(Self {})
    }

    /// The same.
    ///
    /// # Errors
    /// When the system refuses.
    #[cfg(not(unix))]
    pub fn install_all(_: bool) -> io::Result<Self> {
        Self::install()
    }

    /// Waits for the next signal. Several of a kind that come meanwhile are one.
    pub async fn next(&mut self) -> Asked {
        #[cfg(unix)]
        tokio::select! {
            biased;
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
            () = received(&mut self.hangup) => Asked::Reload,
            () = received(&mut self.user2) => Asked::HandOver,
        }
        #[cfg(not(unix))]
        {
            self.stop().await;
            Asked::Stop
        }
    }

    /// Waits for a signal to stop. The others are kept for [`next`](Self::next).
    pub async fn stop(&mut self) {
        #[cfg(unix)]
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
        #[cfg(not(unix))]
        let _ = tokio::signal::ctrl_c().await;
    }
}

#[cfg(unix)]
async fn received(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}
