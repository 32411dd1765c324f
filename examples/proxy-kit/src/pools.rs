//! Resolved backends, in an Equipoise pool.

use equipoise_core::{BackendId, BoxPolicy};
use equipoise_hash::compat::Servers;
use equipoise_hash::{BuildError, Node};
use equipoise_pool::{Pool, Spec};

use crate::StartError;
use crate::connect::Backend;
use crate::keys::{KeySettings, PoolKey};
use crate::settings::PoolSettings;

/// A pool of `B`, and what it is called.
#[derive(Debug)]
pub struct NamedPool<B> {
    /// What the configuration calls it.
    pub name: String,
    /// The pool. All workers pick through it, so that round robin alternates over all of them.
    pub pool: Pool<B, BoxPolicy>,
    /// The key that it picks by, if it does.
    pub key: Option<PoolKey>,
}

/// The tier of backends marked as `backup`: used when none of tier 0 can be.
const BACKUP_TIER: u8 = 1;

/// Resolves the backends of all pools, then makes the pools. `make` turns a backend into what the
/// proxy keeps about it.
///
/// # Errors
/// A backend that can't be resolved, by its name; no randomness.
pub async fn build<B: Send + Sync + 'static>(
    settings: &[PoolSettings],
    make: impl Fn(Backend) -> B,
) -> Result<Vec<NamedPool<B>>, StartError> {
    let mut pools = Vec::new();
    for pool in settings {
        pools.push(build_one(pool, &make).await?);
    }
    Ok(pools)
}

async fn build_one<B: Send + Sync + 'static>(
    settings: &PoolSettings,
    make: impl Fn(Backend) -> B,
) -> Result<NamedPool<B>, StartError> {
    let field = settings.field();
    let mut specs = Vec::new();
    for written in settings.backends() {
        let backend = Backend::resolve(written.address.clone()).await.map_err(|error| {
            let wrong = format!("can't resolve `{}`: {error}", written.address);
            StartError::new(field, wrong)
        })?;
        let id = BackendId::named(backend.name());
        let mut spec = Spec::new(id, make(backend)).weight(written.weight);
        if written.backup {
            spec = spec.tier(BACKUP_TIER);
        }
        if let Some(max) = written.max {
            spec = spec.max_in_flight(max);
        }
        specs.push(spec);
    }
    // Another seed in each process, or all of them would start with the same backend.
    let seed = getrandom::u64().map_err(|error| StartError::new("random seed", error))?;
    let policy = policy(settings).map_err(|error| {
        StartError::new(field, format!("not for `{}`: {error}", settings.policy()))
    })?;
    let pool = Pool::new(policy, seed);
    pool.update(specs).map_err(|error| StartError::new(field, error))?;
    let key = settings.key().map(KeySettings::start).transpose()?;
    Ok(NamedPool { name: settings.name().to_owned(), pool, key })
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
