//! A reload's pools: one whose section is the same but for its backends stays, with all that it knows.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Release;

use equipoise_tokio::control::Managed;
use equipoise_tokio::queue::QueueConfig;

use super::{NamedPool, all_managed, policy};
use crate::StartError;
use crate::clock::Monotonic;
use crate::connect::Backend;
use crate::observer::Connections;
use crate::settings::PoolSettings;

/// The pools of new settings, ready to take the place of those there are. Dropped, it was never there.
#[derive(Debug)]
pub struct Renewal<B> {
    pools: Vec<Arc<NamedPool<B>>>,
    made: Vec<Arc<NamedPool<B>>>,
    changes: Changes,
    updates: Vec<Update<B>>,
    /// Pools that stay, and how requests wait for them from now on.
    queues: Vec<(Arc<NamedPool<B>>, QueueConfig)>,
    replaced: Vec<Replaced<B>>,
}

/// A pool that stays, and its backends from now on.
#[derive(Debug)]
struct Update<B> {
    pool: Arc<NamedPool<B>>,
    backends: Vec<Managed<B>>,
}

/// A pool whose place another one takes, and the names of that one's backends.
#[derive(Debug)]
struct Replaced<B> {
    pool: Arc<NamedPool<B>>,
    names: Vec<String>,
}

/// How many pools a reload has left as they were, and how many not.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Changes {
    /// They are the same pools, and perhaps have other backends.
    pub kept: usize,
    /// Others have taken their place.
    pub changed: usize,
    /// There were none of their names.
    pub new: usize,
    /// They take nothing any more.
    pub gone: usize,
}

impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kept, changed, new, gone } = self;
        write!(f, "pools kept {kept}, changed {changed}, new {new}, gone {gone}")
    }
}

impl<B: Connections> Renewal<B> {
    /// Resolves all backends, and makes and starts the pools that are new or changed. A changed pool
    /// takes over the sessions and the keys of the one before it where the settings of these are the
    /// same, and what operators have set; the health of its backends it finds out anew.
    ///
    /// # Errors
    /// As [`build`](super::build) and [`NamedPool::start`]; nothing has changed then.
    pub async fn prepare(
        before: &[Arc<NamedPool<B>>],
        settings: &[PoolSettings],
        clock: Monotonic,
        make: impl Fn(Backend) -> B + Clone + Send + Sync + 'static,
    ) -> Result<Self, StartError> {
        let mut this = Self {
            pools: Vec::new(),
            made: Vec::new(),
            changes: Changes::default(),
            updates: Vec::new(),
            queues: Vec::new(),
            replaced: Vec::new(),
        };
        for settings in settings {
            let old = before.iter().find(|pool| &*pool.name == settings.name());
            if let Some(old) = old.filter(|old| old.settings.is_like(settings)) {
                this.stay(old, settings, &make).await?;
                continue;
            }
            let pool = NamedPool::build(settings, clock, old.map(Arc::as_ref), &make).await?;
            pool.start(make.clone()).await?;
            let pool = Arc::new(pool);
            match old {
                Some(old) => {
                    let backends = settings.backends().iter();
                    let names = backends.map(|spec| spec.address.as_str().to_owned());
                    let (pool, names) = (Arc::clone(old), names.collect());
                    this.replaced.push(Replaced { pool, names });
                    this.changes.changed += 1;
                }
                None => this.changes.new += 1,
            }
            this.made.push(Arc::clone(&pool));
            this.pools.push(pool);
        }
        let is_gone = |pool: &&Arc<NamedPool<B>>| settings.iter().all(|s| s.name() != &*pool.name);
        this.changes.gone = before.iter().filter(is_gone).count();
        Ok(this)
    }

    async fn stay(
        &mut self,
        old: &Arc<NamedPool<B>>,
        settings: &PoolSettings,
        make: impl Fn(Backend) -> B,
    ) -> Result<(), StartError> {
        // Some policies have limits to how many backends there are and what they weigh.
        policy(settings).map_err(|error| {
            StartError::new(settings.field(), format!("not for `{}`: {error}", settings.policy()))
        })?;
        // What is discovered is no matter of the file.
        if settings.discovery().is_none() {
            let backends = all_managed(settings, make).await?;
            self.updates.push(Update { pool: Arc::clone(old), backends });
        }
        self.queues.push((Arc::clone(old), settings.queue()));
        self.changes.kept += 1;
        self.pools.push(Arc::clone(old));
        Ok(())
    }

    /// The pools that are new, or take the place of others.
    pub fn made(&self) -> impl Iterator<Item = &NamedPool<B>> {
        self.made.iter().map(Arc::as_ref)
    }

    /// Makes it so, and hands out the pools in the order of their settings. Connections to a backend
    /// that is not listed any more end when they are done, or at once, as the pool's `close` says.
    ///
    /// Those whose place others take still serve, until they are told to [retire](Retiring::retire).
    pub fn commit(self) -> (Vec<Arc<NamedPool<B>>>, Changes, Retiring<B>) {
        for Update { pool, backends } in self.updates {
            // Settings have no backend twice.
            let _ = pool.control.update(backends);
        }
        for (pool, config) in self.queues {
            pool.queue.set_config(config);
        }
        for Replaced { pool: old, .. } in &self.replaced {
            if let Some(new) = self.made.iter().find(|new| new.name == old.name) {
                new.control.take_over(&old.control);
            }
        }
        (self.pools, self.changes, Retiring(self.replaced))
    }
}

/// Pools whose place others take.
#[derive(Debug)]
#[must_use]
pub struct Retiring<B>(Vec<Replaced<B>>);

impl<B: Connections> Retiring<B> {
    /// Takes the backends out of them that their successors do not have. To be done when nobody comes to
    /// them any more: who has come before finds that the pool [has retired](NamedPool::has_retired).
    pub fn retire(self) {
        for Replaced { pool, names } in self.0 {
            pool.retired.store(true, Release);
            // What is discovered is not known yet.
            if names.is_empty() {
                continue;
            }
            for standing in pool.control.standings() {
                if !names.iter().any(|name| **name == *standing.name) {
                    // It may have left meanwhile.
                    let _ = pool.control.remove(standing.status.id);
                }
            }
        }
    }
}
