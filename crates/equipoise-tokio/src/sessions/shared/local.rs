//! The local table, as it follows a store.

use std::time::Duration;

use equipoise_core::Instant;
use equipoise_sticky::{Session, SessionKey, ShardedTable};

use crate::sessions::store::Held;

/// Pins the session to whom the store says, and lets it grow as old as the store will.
pub(super) fn follow(local: &ShardedTable, key: &SessionKey, held: Held, now: Instant) {
    let Held { backend, age } = held;
    if local.lookup(key, now) == Some(backend) {
        return;
    }
    let _ = local.unbind_session(key, now);
    let session = Session { key: *key, backend, idle: Duration::ZERO, age: Some(age) };
    let _ = local.import([session], now);
}
