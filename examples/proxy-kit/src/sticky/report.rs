//! A pool's sessions, as an operator sees them.

use std::collections::BTreeMap;

use serde::Serialize;

use super::memory::Memory;
use super::settings::By;
use super::work::{Sticky, Way};

/// What came of a pool's sessions.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct SessionsReport {
    /// How a session is told.
    pub mode: &'static str,
    /// How many requests came to what: `new`, `miss`, `hit`, `repin`, `held`, `refused`.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// The table, if one keeps them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<TableReport>,
    /// Redis, if they are shared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redis: Option<RedisReport>,
}

/// A table of sessions.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct TableReport {
    /// How many sessions it has, those included that are over and not yet removed.
    pub sessions: usize,
    /// What it takes of the heap.
    pub bytes: usize,
    /// Sessions that lived and had to make room.
    pub evicted: u64,
    /// Sessions that were removed since their time was up.
    pub expired: u64,
}

/// Redis, as this proxy sees it.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct RedisReport {
    /// Whether it is asked.
    pub up: bool,
    /// Lookups that were answered here, and by Redis.
    pub hits_local: u64,
    /// See there.
    pub hits_remote: u64,
    /// Writes that it has done.
    pub writes: u64,
    /// Writes after which another backend than the wanted one had the session.
    pub conflicts_followed: u64,
    /// Questions without an answer in time.
    pub timeouts: u64,
    /// Writes that wait.
    pub queued: usize,
    /// Writes that were given up.
    pub dropped: u64,
}

impl Sticky {
    /// What came of its sessions.
    pub fn report(&self) -> SessionsReport {
        let outcomes = self.pins.outcomes().map(|(outcome, count)| (outcome.name(), count));
        let table = self.pins.memory().map(|memory| {
            let (table, counters) = (memory.table(), memory.table().counters());
            TableReport {
                sessions: table.len(),
                bytes: table.bytes(),
                evicted: counters.evicted,
                expired: counters.expired,
            }
        });
        let redis = self.pins.memory().and_then(Memory::shared).map(|shared| RedisReport {
            up: shared.down_since.is_none(),
            hits_local: shared.hits_local,
            hits_remote: shared.hits_remote,
            writes: shared.writes,
            conflicts_followed: shared.conflicts_followed,
            timeouts: shared.timeouts,
            queued: shared.queued,
            dropped: shared.dropped,
        });
        SessionsReport { mode: self.mode(), outcomes: outcomes.into(), table, redis }
    }

    fn mode(&self) -> &'static str {
        match &self.way {
            Way::Token { is_prefix: false, .. } => "cookie",
            Way::Token { is_prefix: true, .. } => "prefix",
            Way::Route { .. } => "route",
            Way::Table { by: By::Cookie(_), .. } => "learn",
            Way::Table { by: By::Header(_), .. } => "header",
            Way::Table { by: By::Client(_), .. } => "client",
        }
    }
}
