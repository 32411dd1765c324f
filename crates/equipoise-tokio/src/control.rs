//! The control task: it keeps a pool in step with probes, traffic, discovery and operators.

mod ask;
mod observer;
mod state;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use equipoise_core::{Admin, BackendId, Clock, Instant, Policy, Runs, Weight};
use equipoise_health::monitor::{Monitor, MonitorConfig, Order};
use equipoise_pool::{Pool, UpdateError};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::sleep;

use self::ask::{Heard, ask};
use self::observer::Told;
pub use self::observer::{Observer, Silent};
use self::state::State;
pub use self::state::{Managed, Standing};
use crate::discovery::{Discover, Endpoint};
use crate::probe::Probe;

/// What a [`Controller`] does.
#[derive(Debug)]
pub struct ControlSettings {
    /// The machines.
    pub monitor: MonitorConfig,
    /// How a backend is asked, if there is a check; [`Tcp`](crate::probe::Tcp) by default.
    pub probe: Arc<dyn Probe>,
    /// How many probes may be under way at a time, 1 or more. Those beyond it wait. Default 100.
    pub concurrent_probes: usize,
}

impl Default for ControlSettings {
    fn default() -> Self {
        let monitor = MonitorConfig::default();
        Self { monitor, probe: Arc::new(crate::probe::Tcp), concurrent_probes: 100 }
    }
}

/// A pool with all that keeps it healthy: it is probed, its outliers are ejected, operators drain and
/// enable, and every change is published and told.
///
/// It is a handle: clones are the same controller. Nothing happens by itself until somebody spawns
/// [`run`](Self::run); [`follow`](Self::follow) takes its backends from discovery.
///
/// `B` is cheap to clone (an `Arc`, say): the controller keeps one, to name it when its connections are
/// to be closed.
///
/// ```
/// use equipoise_algorithms::RoundRobin;
/// use equipoise_core::{Clock, Instant};
/// use equipoise_health::{CheckConfig, OutlierConfig};
/// use equipoise_tokio::control::{ControlSettings, Controller, Managed, Silent};
/// use equipoise_tokio::probe::Target;
///
/// struct Monotonic(std::time::Instant);
/// impl Clock for Monotonic {
///     fn now(&self) -> Instant {
///         Instant::ZERO + self.0.elapsed()
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut settings = ControlSettings::default();
/// settings.monitor.check = Some(CheckConfig::default());
/// settings.monitor.outlier = Some(OutlierConfig::default());
/// let clock = Monotonic(std::time::Instant::now());
/// let controller = Controller::new(RoundRobin, 42, settings, clock, Silent);
///
/// let address = "127.0.0.1:1"; // nobody is there
/// let mut backend = Managed::new("a", address);
/// backend.targets = vec![Target::new(address.parse()?)];
/// controller.update(vec![backend])?;
/// tokio::spawn({
///     let controller = controller.clone();
///     async move { controller.run().await }
/// });
///
/// while !controller.standings()[0].report.reason.starts_with("down: connection refused") {
///     tokio::time::sleep(std::time::Duration::from_millis(10)).await;
/// }
/// # Ok(())
/// # }
/// ```
pub struct Controller<B, P: Policy> {
    inner: Arc<Inner<B, P>>,
}

struct Inner<B, P: Policy> {
    pool: Pool<B, P>,
    clock: Box<dyn Clock + Send + Sync>,
    observer: Box<dyn Observer<B>>,
    probe: Arc<dyn Probe>,
    concurrent_probes: usize,
    /// Probes under way.
    probing: AtomicUsize,
    wake: Arc<Notify>,
    state: Mutex<State<B>>,
}

impl<B: Clone + Send + Sync + 'static, P: Policy + 'static> Controller<B, P> {
    /// A controller of an empty pool of this policy. `seed` is for both: another one in each process,
    /// or all proxies start with the same backend and probe at the same moment.
    pub fn new(
        policy: P,
        seed: u64,
        settings: ControlSettings,
        clock: impl Clock + Send + Sync + 'static,
        observer: impl Observer<B>,
    ) -> Self {
        let ControlSettings { monitor, probe, concurrent_probes } = settings;
        let wake = Arc::new(Notify::new());
        let pool = match &monitor.outlier {
            None => Pool::new(policy, seed),
            Some(outlier) => {
                let thresholds: Runs = outlier.thresholds();
                let wake = Arc::clone(&wake);
                Pool::watched(policy, seed, thresholds, move || wake.notify_one())
            }
        };
        let inner = Inner {
            pool,
            clock: Box::new(clock),
            observer: Box::new(observer),
            probe,
            concurrent_probes: concurrent_probes.max(1),
            probing: AtomicUsize::new(0),
            wake,
            // Unlike the pool's, but as different from process to process.
            state: Mutex::new(State::new(Monitor::new(monitor, !seed))),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The pool, to pick from. Its backends, their weights and their admission are the controller's
    /// business: change them here.
    pub fn pool(&self) -> &Pool<B, P> {
        &self.inner.pool
    }

    /// Makes `backends` the whole set. One that stays keeps its value, its health and what operators
    /// set.
    ///
    /// # Errors
    /// As [`Pool::update`]; nothing has changed then.
    pub fn update(&self, backends: Vec<Managed<B>>) -> Result<(), UpdateError> {
        let mut told = Vec::new();
        let result = {
            let mut state = self.inner.state.lock();
            let result = state.update(&self.inner.pool, self.now(), backends, &mut told);
            state.publish(&self.inner.pool, self.now(), &mut told);
            result
        };
        self.tell(&told);
        self.inner.wake.notify_one();
        result
    }

    /// Removes a backend. Its requests in flight are counted on until they end.
    ///
    /// # Errors
    /// [`UpdateError::UnknownId`].
    pub fn remove(&self, id: BackendId) -> Result<(), UpdateError> {
        self.operate(|state, now, told| state.remove(&self.inner.pool, now, id, told))
    }

    /// Enables, drains or disables a backend. It stays so over every update that keeps the backend.
    ///
    /// # Errors
    /// [`UpdateError::UnknownId`].
    pub fn set_admin(&self, id: BackendId, admin: Admin) -> Result<(), UpdateError> {
        self.operate(|state, now, told| state.set_admin(&self.inner.pool, now, id, admin, told))
    }

    /// Sets a backend's weight. It stays so over every update that keeps the backend.
    ///
    /// # Errors
    /// [`UpdateError::UnknownId`].
    pub fn set_weight(&self, id: BackendId, weight: Weight) -> Result<(), UpdateError> {
        self.operate(|state, now, told| state.set_weight(&self.inner.pool, now, id, weight, told))
    }

    /// Has what operators set at another controller, for the backends of the same names: whether they are enabled,
    /// and their weights. O(n), of both.
    pub fn take_over(&self, other: &Self) {
        let set = other.inner.state.lock().operated();
        for standing in self.standings() {
            let Some((admin, weight)) = set.get(&standing.name) else { continue };
            // It may have left meanwhile.
            let _ = self.set_admin(standing.status.id, *admin);
            if let Some(weight) = weight {
                let _ = self.set_weight(standing.status.id, *weight);
            }
        }
    }

    fn operate(
        &self,
        change: impl FnOnce(&mut State<B>, Instant, &mut Vec<Told<B>>) -> Result<(), UpdateError>,
    ) -> Result<(), UpdateError> {
        let mut told = Vec::new();
        let result = {
            let mut state = self.inner.state.lock();
            let result = change(&mut state, self.now(), &mut told);
            state.publish(&self.inner.pool, self.now(), &mut told);
            result
        };
        self.tell(&told);
        self.inner.wake.notify_one();
        result
    }

    /// How each backend stands, in words too, in the order in which they joined. O(n).
    pub fn standings(&self) -> Vec<Standing> {
        self.inner.state.lock().standings(&self.inner.pool, self.now())
    }

    /// What the pool does for too few healthy backends, or where most requests fail, if that is so.
    pub fn panic(&self) -> Option<String> {
        self.inner.state.lock().panic()
    }

    /// What is asked of a backend, if there is a check: "GET /health".
    pub fn check(&self) -> Option<String> {
        let checked = self.inner.state.lock().monitor.config().check.is_some();
        checked.then(|| self.inner.probe.describe())
    }

    /// The control task. It never ends; spawn it once. It may be dropped at any time, and then health
    /// stays as it is.
    pub async fn run(&self) {
        let watches = self.inner.state.lock().monitor.config().outlier.is_some();
        let mut next_tally = self.now();
        loop {
            let now = self.now();
            let mut orders = Vec::new();
            let mut told = Vec::new();
            let deadline = {
                let mut state = self.inner.state.lock();
                state.hear(&self.inner.pool, now, watches && now >= next_tally);
                if watches && now >= next_tally {
                    next_tally = now + Monitor::TALLY_INTERVAL;
                }
                let under_way = self.inner.probing.load(Ordering::Relaxed);
                let room = self.inner.concurrent_probes.saturating_sub(under_way);
                let visited = |id| self.inner.pool.take_visited(id);
                state.monitor.poll(now, room, visited, &mut orders);
                state.publish(&self.inner.pool, now, &mut told);
                state.monitor.deadline()
            };
            self.tell(&told);
            for order in orders {
                self.probe(order);
            }
            let mut wait = deadline.map_or(LONGEST_SLEEP, |deadline| deadline.since(now));
            if watches {
                wait = wait.min(next_tally.since(now));
            }
            tokio::select! {
                () = sleep(wait.clamp(SHORTEST_SLEEP, LONGEST_SLEEP)) => {}
                () = self.inner.wake.notified() => {}
            }
        }
    }

    /// Takes the backends from discovery, as long as the future lives. `make` turns an endpoint into
    /// what the pool keeps; `None` leaves it out.
    pub async fn follow(
        &self,
        mut source: impl Discover,
        make: impl Fn(&Endpoint) -> Option<Managed<B>> + Send,
    ) {
        loop {
            match source.next().await {
                Ok(set) => {
                    let backends = set.iter().filter_map(&make).collect();
                    if let Err(error) = self.update(backends) {
                        self.inner.observer.on_discovery(&error);
                    }
                }
                Err(error) => self.inner.observer.on_discovery(&error),
            }
        }
    }

    /// Sends a probe, and hears its answer.
    fn probe(&self, order: Order) {
        let Some(targets) = self.inner.state.lock().targets(order.id) else { return };
        // Made before the task: one that goes with its runtime may never have begun.
        let under_way = UnderWay::new(Arc::clone(&self.inner));
        tokio::spawn(async move {
            let this = Self { inner: Arc::clone(&under_way.0) };
            let answer = ask(&*this.inner.probe, &targets, order.timeout).await;
            drop(under_way);
            this.heard(order, answer);
        });
    }

    /// What follows is published by the control task: for all answers that came meanwhile at once, or
    /// 10,000 backends that come up would be 10,000 snapshots of 10,000 backends.
    fn heard(&self, order: Order, answer: Heard) {
        {
            let (mut state, now) = (self.inner.state.lock(), self.now());
            let monitor = &mut state.monitor;
            match answer {
                Heard::Verdict(verdict, failure) => {
                    monitor.on_probe(now, order.id, order.token, verdict, failure);
                }
                Heard::NotAsked => monitor.on_probe_abandoned(now, order.id, order.token),
            }
        }
        self.inner.wake.notify_one();
    }

    /// After the lock is free: an observer may call back.
    fn tell(&self, told: &[Told<B>]) {
        for told in told {
            told.tell(&*self.inner.observer);
        }
    }

    fn now(&self) -> Instant {
        self.inner.clock.now()
    }
}

/// Time passes in steps of the runtime's timer, a millisecond.
const SHORTEST_SLEEP: Duration = Duration::from_millis(1);
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// A probe under way, however it ends.
struct UnderWay<B, P: Policy>(Arc<Inner<B, P>>);

impl<B, P: Policy> UnderWay<B, P> {
    fn new(inner: Arc<Inner<B, P>>) -> Self {
        inner.probing.fetch_add(1, Ordering::Relaxed);
        Self(inner)
    }
}

impl<B, P: Policy> Drop for UnderWay<B, P> {
    fn drop(&mut self) {
        self.0.probing.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<B, P: Policy> Clone for Controller<B, P> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<B, P: Policy> fmt::Debug for Controller<B, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Controller").field("probe", &self.inner.probe).finish_non_exhaustive()
    }
}
