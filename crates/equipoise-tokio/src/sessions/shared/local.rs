//! What the local table does for a store.

use std::time::Duration;

use equipoise_core::{Instant, Sessions};
use equipoise_sticky::{SessionKey, ShardedTable};

use crate::sessions::store::Held;

pub(super) fn times(local: &ShardedTable) -> (Duration, Option<Duration>) {
    (local.idle(), local.lifetime())
}

pub(super) fn capacity(local: &ShardedTable) -> usize {
    local.max_sessions()
}

/// When the session was pinned first, as far as this balancer knows; now, if it knows nothing.
pub(super) fn born(_local: &ShardedTable, _key: &SessionKey, now: Instant) -> Instant {
    now
}

/// Pins the session to whom the store says.
pub(super) fn follow(local: &ShardedTable, key: &SessionKey, held: Held, now: Instant) {
    let found = local.bind(key, held.backend, now);
    if found != held.backend {
        let _ = local.rebind(key, found, held.backend, now);
    }
}
