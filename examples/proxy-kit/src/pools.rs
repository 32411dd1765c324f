//! Pools at work: resolved backends under a controller, which minds their health.

mod breaker;
mod renewal;
mod turns;

pub use self::breaker::Place;
pub use self::renewal::{Changes, Renewal, Retiring};
pub use self::turns::Turns;

use self::breaker::Breaker;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Acquire};
use std::time::Duration;

use arc_swap::ArcSwap;
use equipoise_core::{Admin, BackendId, BoxPolicy, Clock, Health};
use equipoise_hash::compat::Servers;
use equipoise_hash::{BuildError, Node};
use equipoise_health::RetryBudget;
use equipoise_health::monitor::MonitorConfig;
use equipoise_pool::Pool;
use equipoise_tokio::control::{ControlSettings, Controller, Managed, Standing};
use equipoise_tokio::discovery::Endpoint;
use equipoise_tokio::probe::{Target, Tcp};
use equipoise_tokio::queue::WaitQueue;
use equipoise_tokio::socket::StreamAddr;
use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::StartError;
use crate::admin::{ActError, Action, BackendReport, PoolReport};
use crate::backend::{Address, BackendSpec, CheckAddress};
use crate::clock::Monotonic;
use crate::connect::Backend;
use crate::keys::PoolKey;
use crate::observer::{Connections, HealthLog};
use crate::proxy_protocol::SendProxy;
use crate::settings::PoolSettings;
use crate::sticky::{Memory, Sticky};

/// A pool of `B`, and what it is called.
#[derive(Debug)]
pub struct NamedPool<B> {
    /// What the configuration calls it.
    pub name: Arc<str>,
    /// The key that it picks by, if it does.
    pub key: Option<PoolKey>,
    /// How it keeps a session's requests together, if it does.
    pub sticky: Option<Arc<Sticky>>,
    control: Controller<B, BoxPolicy>,
    clock: Monotonic,
    settings: PoolSettings,
    retries: Mutex<RetryBudget>,
    breaker: Option<Breaker>,
    queue: Arc<WaitQueue>,
    /// What keeps it healthy, as long as it is used: a request that is under way uses it.
    tasks: Mutex<JoinSet<()>>,
    /// Whether another one has its place.
    retired: AtomicBool,
}

/// The tier of backends marked as `backup`: used when none of tier 0 can be.
const BACKUP_TIER: u8 = 1;

/// Resolves the backends of all pools, then makes the pools. `make` turns a backend into what the
/// proxy keeps about it; clones of that are the same.
///
/// # Errors
/// A backend that can't be resolved, by its name; no randomness.
pub async fn build<B: Connections>(
    settings: &[PoolSettings],
    clock: Monotonic,
    make: impl Fn(Backend) -> B,
) -> Result<Vec<NamedPool<B>>, StartError> {
    let mut pools = Vec::new();
    for pool in settings {
        pools.push(NamedPool::build(pool, clock, None, &make).await?);
    }
    Ok(pools)
}

impl<B: Connections> NamedPool<B> {
    /// `before` is the pool whose place it takes: it has the same sessions and the same keys, as far as
    /// the settings of these are the same.
    async fn build(
        settings: &PoolSettings,
        clock: Monotonic,
        before: Option<&Self>,
        make: impl Fn(Backend) -> B,
    ) -> Result<Self, StartError> {
        let field = settings.field();
        let backends = all_managed(settings, make).await?;
        // Another seed in each process, or all of them would start with the same backend.
        let seed = getrandom::u64().map_err(|error| StartError::new("random seed", error))?;
        let policy = policy(settings).map_err(|error| {
            StartError::new(field, format!("not for `{}`: {error}", settings.policy()))
        })?;
        let alike = |names: &[&str]| before.filter(|pool| pool.settings.has_alike(settings, names));
        let sticky = match (settings.sticky(), alike(&["sticky"])) {
            (None, _) => None,
            (Some(_), Some(Self { sticky: Some(sticky), .. })) => Some(Arc::clone(sticky)),
            (Some(sticky), _) => Some(Arc::new(sticky.start(settings.name(), clock, seed)?)),
        };
        let key = match (settings.key(), alike(&["key", "secret", "policy"])) {
            (None, _) => None,
            (Some(_), Some(Self { key: Some(key), .. })) => Some(key.clone()),
            (Some(key), _) => Some(key.start()?),
        };
        let health = settings.health();
        let queue = Arc::new(WaitQueue::new(settings.queue()));
        let log = HealthLog {
            queue: Arc::clone(&queue),
            pool: settings.name().to_owned(),
            close: health.close.clone(),
        };
        let control = Controller::new(policy, seed, control_settings(settings), clock, log);
        control.update(backends).map_err(|error| StartError::new(field, error))?;
        let breaker = health.breaker.map(|config| Breaker::new(config, clock, seed));
        Ok(Self {
            name: settings.name().into(),
            key,
            sticky,
            control,
            clock,
            settings: settings.clone(),
            retries: Mutex::new(RetryBudget::new(health.retries)),
            breaker,
            queue,
            tasks: Mutex::default(),
            retired: AtomicBool::new(false),
        })
    }

    /// Whether another pool has its place. Then this one may have no backend any more, and who finds none
    /// should look there.
    pub fn has_retired(&self) -> bool {
        self.retired.load(Acquire)
    }

    /// Starts what keeps the pool healthy, and waits until the first checks have decided, so that no
    /// client finds nobody only because it was quick. It does not wait for long: backends that don't
    /// answer are no reason not to serve.
    ///
    /// # Errors
    /// What its discovery refuses.
    pub async fn start(
        &self,
        make: impl Fn(Backend) -> B + Send + Sync + 'static,
    ) -> Result<(), StartError> {
        let control = self.control.clone();
        self.tasks.lock().spawn(async move { control.run().await });
        if let Some(sticky) = self.sticky.clone() {
            sticky.reach().await;
            self.tasks.lock().spawn(async move { sticky.keep().await });
        }
        if let Some(discovery) = self.settings.discovery() {
            let (control, source) = (self.control.clone(), discovery.source()?);
            let settings = self.settings.clone();
            self.tasks.lock().spawn(async move {
                control.follow(source, |endpoint| Some(found(&settings, endpoint, &make))).await;
            });
        }
        let waits = self.settings.discovery().is_some() || self.settings.health().check.is_some();
        if waits {
            let _ = timeout(FIRST_CHECKS, self.first_checks()).await;
        }
        Ok(())
    }

    async fn first_checks(&self) {
        let pending = |standings: &[Standing]| {
            standings.iter().any(|s| s.report.finding.health == Health::Pending)
        };
        loop {
            let standings = self.control.standings();
            if !standings.is_empty() && !pending(&standings) {
                return;
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// The pool. All workers pick through it, so that round robin alternates over all of them.
    pub fn pool(&self) -> &Pool<B, BoxPolicy> {
        self.control.pool()
    }

    /// What a backend is told of a client first, if it is.
    pub const fn send_proxy(&self) -> Option<SendProxy> {
        self.settings.send_proxy()
    }

    /// A request has come, of which so and so many may be tried again.
    pub fn count_request(&self) {
        self.retries.lock().deposit(self.clock.now());
    }

    /// Whether a request may be tried again: a pool that is in trouble is not helped by more
    /// requests.
    pub fn may_retry(&self) -> bool {
        self.retries.lock().try_withdraw(self.clock.now())
    }

    /// When a request is to look for a backend: at once, and where requests may wait for one again when
    /// a place is free.
    pub fn turns(&self) -> Turns<'_> {
        // All take any backend, or each may want its own.
        let may_overtake = self.key.is_some() || self.sticky.is_some();
        let may_wait = self.queue.config().max > 0;
        Turns::new(may_wait.then(|| self.queue.turn(may_overtake)))
    }

    /// A request has given its place back.
    pub fn freed(&self) {
        self.queue.wake();
    }

    /// Takes a place at the circuit breaker, if there is one.
    ///
    /// # Errors
    /// Why there is none, in words.
    pub fn admit(&self) -> Result<Place, String> {
        self.breaker.as_ref().map_or(Ok(Place::default()), Breaker::admit)
    }

    /// How it stands, for an operator.
    pub fn report(&self) -> PoolReport {
        let check = self.control.check();
        let sticky = self.sticky.as_deref();
        let table = sticky.and_then(|sticky| Some(sticky.pins.memory()?.table()));
        let backend = |standing: Standing| {
            let status = standing.status;
            BackendReport {
                state: standing.report.state.name().to_owned(),
                check: check.as_ref().map(|check| asked(check, &standing.name, standing.asked)),
                name: standing.name.to_string(),
                reason: standing.report.reason,
                admin: status.admin,
                weight: status.weight,
                tier: status.tier,
                in_flight: status.in_flight,
                sessions: table.map(|table| table.sessions_of(status.id)),
                share: status.finding.share.get(),
            }
        };
        PoolReport {
            name: self.name.to_string(),
            policy: self.settings.policy().to_string(),
            panic: self.control.panic(),
            sessions: sticky.map(Sticky::report),
            backends: self.control.standings().into_iter().map(backend).collect(),
        }
    }

    fn unpin(&self, id: BackendId) -> Result<(), ActError> {
        let sticky = self.sticky.as_ref();
        let learns = sticky.is_some_and(|sticky| sticky.learns());
        let table = sticky.and_then(|sticky| sticky.pins.memory());
        match table {
            Some(_) if learns => Err(ActError::Refused(
                "only the application can begin its sessions anew; drain or disable it".to_owned(),
            )),
            Some(Memory::Local(table)) => {
                table.unbind_backend(id);
                Ok(())
            }
            Some(Memory::Shared(_)) => Err(ActError::Refused(
                "its sessions are in Redis, where others use them; drain or disable it".to_owned(),
            )),
            None => Err(ActError::Refused(
                "no table keeps its sessions: clients do; drain or disable it, or raise `epoch`"
                    .to_owned(),
            )),
        }
    }

    /// Does what an operator wants of a backend.
    ///
    /// # Errors
    /// [`ActError::Unknown`]; [`ActError::Refused`], if its sessions can't be placed anew.
    pub fn act(&self, backend: &str, action: Action) -> Result<(), ActError> {
        let known = self.control.standings().into_iter().find(|known| &*known.name == backend);
        let id = known.ok_or(ActError::Unknown)?.status.id;
        let done = match action {
            Action::Enable => self.control.set_admin(id, Admin::Enabled),
            Action::Drain => self.control.set_admin(id, Admin::Draining),
            Action::Disable => self.control.set_admin(id, Admin::Disabled),
            Action::Weight(weight) => self.control.set_weight(id, weight),
            Action::Unpin => return self.unpin(id),
        };
        // It may have left meanwhile.
        done.map_err(|_| ActError::Unknown)
    }
}

/// What is asked of a backend, and where, if that is not where its requests go.
fn asked(check: &str, name: &str, address: Option<StreamAddr>) -> String {
    match address {
        Some(address) if address.to_string() != name => format!("{check} at {address}"),
        _ => check.to_owned(),
    }
}

/// How long a start waits for the first checks.
const FIRST_CHECKS: Duration = Duration::from_secs(2);

fn control_settings(settings: &PoolSettings) -> ControlSettings {
    let health = settings.health();
    let check = health.check.as_ref();
    let default = ControlSettings::default();
    ControlSettings {
        monitor: MonitorConfig {
            check: check.map(|check| check.config.clone()),
            outlier: health.outlier,
            slow_start: health.slow_start,
            panic: health.panic,
            drain_limit: health.drain_limit,
        },
        probe: check.map_or_else(|| Arc::new(Tcp) as _, |check| check.probe.clone()),
        concurrent_probes: check.map_or(default.concurrent_probes, |check| check.concurrent),
    }
}

/// The backends that are listed.
async fn all_managed<B: Connections>(
    settings: &PoolSettings,
    make: impl Fn(Backend) -> B,
) -> Result<Vec<Managed<B>>, StartError> {
    let mut backends = Vec::new();
    for written in settings.backends() {
        backends.push(managed(settings, written, &make).await?);
    }
    Ok(backends)
}

/// A backend that is listed.
async fn managed<B: Connections>(
    settings: &PoolSettings,
    written: &BackendSpec,
    make: impl Fn(Backend) -> B,
) -> Result<Managed<B>, StartError> {
    let backend = resolve(settings.field(), &written.address).await?;
    let own_port = settings.health().check.as_ref().and_then(|check| check.port);
    let targets = match &written.check {
        Some(CheckAddress::Address(address)) => targets(&resolve(settings.field(), address).await?),
        Some(CheckAddress::Port(port)) => targets(&backend.at_port(port.get())),
        None => targets(&own_port.map_or_else(|| backend.clone(), |port| backend.at_port(port))),
    };
    let name = backend.name().to_owned();
    let mut managed = Managed::new(&name, make(backend));
    managed.weight = written.weight;
    managed.tier = if written.backup { BACKUP_TIER } else { 0 };
    managed.max_in_flight = written.max;
    managed.targets = targets;
    Ok(managed)
}

/// A backend that discovery found.
fn found<B: Connections>(
    settings: &PoolSettings,
    endpoint: &Endpoint,
    make: impl Fn(Backend) -> B,
) -> Managed<B> {
    let own_port = settings.health().check.as_ref().and_then(|check| check.port);
    let backend = Backend::at(endpoint.address);
    let mut target = endpoint.address;
    target.set_port(own_port.unwrap_or(target.port()));
    let mut managed = Managed::new(&endpoint.name, make(backend));
    managed.weight = endpoint.weight;
    managed.tier = endpoint.tier;
    managed.drain = endpoint.drain;
    managed.targets = vec![Target::new(target)];
    managed
}

async fn resolve(field: &str, address: &Address) -> Result<Backend, StartError> {
    Backend::resolve(address.clone())
        .await
        .map_err(|error| StartError::new(field, format!("can't resolve `{address}`: {error}")))
}

/// Where to ask for a backend's health: at all of its addresses, in its name.
fn targets(backend: &Backend) -> Vec<Target> {
    let target = |address: &StreamAddr| match address {
        StreamAddr::Ip(address) => {
            let target = Target::new(*address);
            // Its name was checked when it was read.
            target.clone().with_host(backend.name()).unwrap_or(target)
        }
        StreamAddr::Unix(path) => Target::unix(path.clone()),
    };
    backend.addresses().iter().map(target).collect()
}

/// The policy, which knows the servers as they are written and in their order: if it does as
/// another proxy does, these decide. HAProxy numbers them all, so `backup` ones are among them; a
/// table is over those of one tier.
fn policy(settings: &PoolSettings) -> Result<BoxPolicy, BuildError> {
    let backends = settings.backends();
    let servers = Servers::named(backends.iter().map(|backend| backend.address.as_str()))?;
    let nodes = |backup| -> Vec<_> {
        let of_tier = backends.iter().filter(|backend| backend.backup == backup);
        let node = |id, weight| Node::new(id).weight(weight);
        of_tier.map(|b| node(BackendId::named(b.address.as_str()), b.weight)).collect()
    };
    settings.policy().policy_for(&servers, &nodes(true))?;
    settings.policy().policy_for(&servers, &nodes(false))
}

/// All pools of a proxy as they are now, for its operator.
#[derive(Debug)]
pub struct AllPools<B>(ArcSwap<Vec<Arc<NamedPool<B>>>>);

impl<B> AllPools<B> {
    /// These pools.
    pub fn new(pools: Vec<Arc<NamedPool<B>>>) -> Self {
        Self(ArcSwap::from_pointee(pools))
    }

    /// From now on it is these.
    pub fn replace(&self, pools: Vec<Arc<NamedPool<B>>>) {
        self.0.store(Arc::new(pools));
    }

    /// The pools as they are now.
    pub fn now(&self) -> Arc<Vec<Arc<NamedPool<B>>>> {
        self.0.load_full()
    }
}

impl<B: Connections + std::fmt::Debug> crate::admin::Pools for AllPools<B> {
    fn report(&self) -> Vec<PoolReport> {
        self.now().iter().map(|pool| pool.report()).collect()
    }

    fn act(&self, pool: &str, backend: &str, action: Action) -> Result<(), ActError> {
        let pools = self.now();
        let named = pools.iter().find(|named| &*named.name == pool).ok_or(ActError::Unknown)?;
        named.act(backend, action)
    }
}
