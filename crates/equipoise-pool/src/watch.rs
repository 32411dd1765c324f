//! Calling whoever minds the pool's health.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use equipoise_core::{BackendId, Outcome, Runs};

use crate::gate::{Gate, Pass};
use crate::primitive::{AtomicBool, Mutex, Ordering};
use crate::window::Window;

/// Wakes the one who minds a pool's health, and knows which backends to look at.
pub(crate) struct Watch {
    /// At which runs of failures to call; 0: never.
    thresholds: Runs,
    wake: Box<dyn Fn() + Send + Sync>,
    /// Each backend is in it once at most, and so may be one that has left.
    calls: Mutex<Vec<BackendId>>,
}

/// Something happened at a backend that can't wait for the next sweep.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Alarm {
    /// At which backend.
    pub id: BackendId,
    /// How many of its last requests failed in a row.
    pub runs: Runs,
    /// How its trial went, if it is on trial and that is decided.
    pub trial: Option<bool>,
}

impl Watch {
    pub(crate) fn new(thresholds: Runs, wake: Box<dyn Fn() + Send + Sync>) -> Self {
        Self { thresholds, wake, calls: Mutex::new(Vec::new()) }
    }

    /// Whom to look at. Empties the list.
    pub(crate) fn take_calls(&self) -> Vec<BackendId> {
        std::mem::take(&mut self.calls.lock())
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("thresholds", &self.thresholds).finish_non_exhaustive()
    }
}

/// What a watched backend's requests leave behind.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) window: Window,
    pub(crate) gate: Gate,
    /// It is in the list of calls.
    called: AtomicBool,
    /// A request has gone to it since somebody asked.
    visited: AtomicBool,
    watch: Arc<Watch>,
}

impl Watched {
    pub(crate) fn new(watch: Arc<Watch>) -> Self {
        Self {
            window: Window::new(),
            gate: Gate::new(),
            called: AtomicBool::new(false),
            visited: AtomicBool::new(false),
            watch,
        }
    }

    /// Records how a request went that passed the gate so.
    #[inline]
    pub(crate) fn record(&self, id: BackendId, pass: Pass, outcome: Outcome, latency: Duration) {
        if !self.visited.load(Ordering::Relaxed) {
            self.visited.store(true, Ordering::Relaxed);
        }
        let mut call = self.window.record(outcome, latency, &self.watch.thresholds);
        if pass == Pass::Trial {
            call |= self.gate.decide(outcome == Outcome::Success);
        }
        if call {
            self.call(id);
        }
    }

    #[cold]
    fn call(&self, id: BackendId) {
        // Release and acquire: who takes the call sees what it is about.
        if !self.called.swap(true, Ordering::AcqRel) {
            self.watch.calls.lock().push(id);
            (self.watch.wake)();
        }
    }

    /// What the call was about. What happens from here on calls again. `None` if it has not called:
    /// then it was another backend of this id, which has left the pool.
    pub(crate) fn answer(&self, id: BackendId) -> Option<Alarm> {
        let has_called = self.called.swap(false, Ordering::AcqRel);
        has_called.then(|| Alarm { id, runs: self.window.runs(), trial: self.gate.verdict() })
    }

    /// Whether a request has ended on it since the last call.
    pub(crate) fn take_visited(&self) -> bool {
        self.visited.swap(false, Ordering::Relaxed)
    }
}
