//! Keeps certificates as their files are.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::Terminator;
use crate::log;
use crate::shutdown::Guard;

/// From one look at the files to the next. They are small, and are read whole: that sees every
/// change, whatever the time of the file says, and needs nothing of the system.
const INTERVAL: Duration = Duration::from_secs(2);

/// Keeps the certificates of listeners as their files are.
#[derive(Debug, Default)]
pub struct Keeper {
    /// With the addresses of their listeners.
    terminators: Mutex<Vec<(String, Arc<Terminator>)>>,
    look: Notify,
}

impl Keeper {
    /// From now on it keeps these, by the addresses of their listeners, and looks at their files at once.
    pub fn keep(&self, terminators: Vec<(String, Arc<Terminator>)>) {
        *self.terminators.lock() = terminators;
        self.look.notify_one();
    }

    /// Those that it keeps.
    pub fn terminators(&self) -> Vec<Arc<Terminator>> {
        self.terminators.lock().iter().map(|(_, terminator)| Arc::clone(terminator)).collect()
    }

    /// Looks at the files every two seconds until shutdown begins. At its end it says what became of the
    /// handshakes. `program` begins each line of the log.
    pub async fn run(self: Arc<Self>, program: &'static str, mut guard: Guard) {
        let mut ticks = interval_at(Instant::now() + INTERVAL, INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.look.notified() => {}
                () = guard.stopping() => break,
            }
            for terminator in self.terminators() {
                let said = tokio::task::spawn_blocking(move || terminator.refresh()).await;
                for line in said.unwrap_or_default() {
                    match line {
                        Ok(line) => log::line(format_args!("{program}: tls: {line}")),
                        Err(line) => log::warn(format_args!("{program}: tls: {line}")),
                    }
                }
            }
        }
        for (name, terminator) in &*self.terminators.lock() {
            let counts = terminator.counts();
            log::line(format_args!(
                "{program}: tls: {name}: handshakes complete={} failed={} late={}",
                counts.complete, counts.failed, counts.late
            ));
        }
    }
}
