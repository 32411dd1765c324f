//! Hash policies by name.

use alloc::string::{String, ToString};

use equipoise_core::BoxPolicy;
use equipoise_hash::compat::Servers;
use equipoise_hash::{
    Anchor, BuildError, ConsistentHash, Jump, Maglev, Memento, MultiProbe, Node, Probing,
    Rendezvous, RendezvousTable, Ring,
};

use super::ConfigError;
use super::compat::CompatConfig;
use super::settings::Written;
use crate::{BoundedLoad, Hashed, LoadFactor, WithoutKey};

/// A hash policy and its settings, as a configuration gives them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HashConfig {
    /// Which table, and how large.
    pub table: TableConfig,
    /// What becomes of requests that have no key.
    pub without_key: WithoutKey,
    /// Whether loads are bounded, and at how much.
    pub balance_factor: Option<LoadFactor>,
}

/// A table of `equipoise-hash` and its settings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum TableConfig {
    /// [`Ring`]
    Ring {
        /// Points for each unit of weight.
        points: u16,
    },
    /// [`Maglev`]
    Maglev {
        /// Slots of the table.
        slots: u32,
    },
    /// [`Rendezvous`]
    Rendezvous,
    /// [`RendezvousTable`]
    RendezvousTable {
        /// Slots of the table.
        slots: u32,
        /// The percentage over its share that a backend may have, if that is bounded.
        quota: Option<u16>,
    },
    /// [`Jump`]
    Jump,
    /// [`MultiProbe`]
    MultiProbe(Probing),
    /// [`Anchor`]
    Anchor {
        /// The most buckets, one for each unit of weight.
        capacity: u32,
    },
    /// [`Memento`]
    Memento,
    /// A table of [`compat`](equipoise_hash::compat): whom another proxy would pick.
    Compat(CompatConfig),
}

const DEFAULT_SLOTS: u32 = 1 << 16;
const MAX_SLOTS: u64 = 1 << 24;

impl HashConfig {
    /// From what is written; `None` if the name is that of no hash policy.
    pub(super) fn read(written: &Written) -> Option<Result<Self, ConfigError>> {
        let table = TableConfig::read(written)?;
        Some(table.and_then(|table| Self::read_rest(table, written)))
    }

    fn read_rest(table: TableConfig, written: &Written) -> Result<Self, ConfigError> {
        let range = (u64::from(*LoadFactor::RANGE.start()), u64::from(*LoadFactor::RANGE.end()));
        let percent = written.number("balance_factor", range)?;
        let without_key = match written.without_key.as_deref() {
            None => table.without_key(),
            Some(given) => rule(given)?,
        };
        let balance_factor = percent.and_then(|percent| LoadFactor::percent(percent as u16));
        Ok(Self { table, without_key, balance_factor })
    }

    pub(super) fn write(&self, written: &mut Written) {
        match self.table {
            TableConfig::Ring { points } => written.set("points", points),
            TableConfig::Maglev { slots } => written.set("slots", slots),
            TableConfig::RendezvousTable { slots, quota } => {
                written.set("slots", slots);
                if let Some(quota) = quota {
                    written.set("quota", quota);
                }
            }
            TableConfig::MultiProbe(Probing { probes, points }) => {
                written.set("probes", probes);
                written.set("points", points);
            }
            TableConfig::Anchor { capacity } => written.set("capacity", capacity),
            TableConfig::Compat(compat) => compat.write(written),
            TableConfig::Rendezvous | TableConfig::Jump | TableConfig::Memento => {}
        }
        if let Some(factor) = self.balance_factor {
            written.set("balance_factor", factor.get());
        }
        written.without_key = Some(rule_name(self.without_key).to_string());
    }

    /// The policy itself, for one pool of these servers, which must have room for `nodes` if it is
    /// one that others have too.
    pub(super) fn policy_for(
        &self,
        servers: &Servers,
        nodes: &[Node],
    ) -> Result<BoxPolicy, BuildError> {
        match self.table {
            TableConfig::Compat(compat) => compat.policy(self, servers, nodes),
            // These have limits to what weights add up to.
            TableConfig::Anchor { capacity } => {
                Anchor::with_capacity(nodes, capacity as usize).map(|_| self.policy())
            }
            TableConfig::Ring { points } => Ring::with_points(nodes, points).map(|_| self.policy()),
            TableConfig::MultiProbe(probing) => {
                MultiProbe::with(nodes, probing).map(|_| self.policy())
            }
            TableConfig::Jump => Jump::new(nodes).map(|_| self.policy()),
            TableConfig::Memento => Memento::new(nodes).map(|_| self.policy()),
            _ => Ok(self.policy()),
        }
    }

    /// The policy itself, for one pool.
    pub(super) fn policy(&self) -> BoxPolicy {
        // What is read is within the ranges of the tables, so the defaults never come in.
        match self.table {
            TableConfig::Ring { points } => self.over(Ring::with_points(&[], points)),
            TableConfig::Maglev { slots } => self.over(Maglev::with_size(&[], slots as usize)),
            TableConfig::Rendezvous => self.over(Rendezvous::new(&[])),
            TableConfig::RendezvousTable { slots, quota } => {
                let table = RendezvousTable::with_size(&[], slots as usize);
                match quota {
                    None => self.over(table),
                    Some(quota) => self.over(table.and_then(|table| table.with_quota(quota))),
                }
            }
            TableConfig::Jump => self.over(Jump::new(&[])),
            TableConfig::MultiProbe(probing) => self.over(MultiProbe::with(&[], probing)),
            TableConfig::Anchor { capacity } => {
                self.over(Anchor::with_capacity(&[], capacity as usize))
            }
            TableConfig::Memento => self.over(Memento::new(&[])),
            // It knows no server.
            TableConfig::Compat(_) => self.over(Rendezvous::new(&[])),
        }
    }

    /// The policy over tables made from this empty one, if there can be one of these nodes.
    pub(super) fn over_checked<T>(&self, empty: T, nodes: &[Node]) -> Result<BoxPolicy, BuildError>
    where
        T: ConsistentHash + Send + Sync + 'static,
    {
        empty.update(nodes)?;
        Ok(self.boxed(empty))
    }

    fn over<T>(&self, table: Result<T, BuildError>) -> BoxPolicy
    where
        T: ConsistentHash + Default + Send + Sync + 'static,
    {
        self.boxed(table.unwrap_or_default())
    }

    fn boxed<T: ConsistentHash + Send + Sync + 'static>(&self, table: T) -> BoxPolicy {
        let hashed = Hashed::new(table).without_key(self.without_key);
        match self.balance_factor {
            None => BoxPolicy::new(hashed),
            Some(factor) => BoxPolicy::new(BoundedLoad::new(hashed, factor)),
        }
    }
}

impl TableConfig {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Ring { .. } => "ring",
            Self::Maglev { .. } => "maglev",
            Self::Rendezvous => "rendezvous",
            Self::RendezvousTable { .. } => "rendezvous_table",
            Self::Jump => "jump",
            Self::MultiProbe(_) => "multi_probe",
            Self::Anchor { .. } => "anchor",
            Self::Memento => "memento",
            Self::Compat(compat) => compat.name(),
        }
    }

    /// The settings that a policy over such a table has.
    pub(super) const fn settings(&self) -> &'static [&'static str] {
        match self {
            Self::Ring { .. } => &["points", "balance_factor", "without_key"],
            Self::Maglev { .. } => &["slots", "balance_factor", "without_key"],
            Self::RendezvousTable { .. } => &["slots", "quota", "balance_factor", "without_key"],
            Self::MultiProbe(_) => &["probes", "points", "balance_factor", "without_key"],
            Self::Anchor { .. } => &["capacity", "balance_factor", "without_key"],
            Self::Rendezvous | Self::Jump | Self::Memento => &["balance_factor", "without_key"],
            Self::Compat(compat) => compat.settings(),
        }
    }

    /// The rule for requests without a key, unless one is given.
    const fn without_key(&self) -> WithoutKey {
        match self {
            Self::Compat(compat) => compat.without_key(),
            _ => WithoutKey::Random,
        }
    }

    fn read(written: &Written) -> Option<Result<Self, ConfigError>> {
        let points = |default| {
            let points = written.number("points", (1, Ring::MAX_POINTS.into()))?;
            Ok(points.map_or(default, |points| points as u16))
        };
        let count = |field, max, default| {
            Ok(written.number(field, (1, max))?.map_or(default, |count| count as u32))
        };
        let slots = || count("slots", MAX_SLOTS, DEFAULT_SLOTS);
        let read = || {
            Ok(Some(match written.name.as_str() {
                "ring" => Self::Ring { points: points(Ring::DEFAULT_POINTS)? },
                "maglev" => Self::Maglev { slots: slots()? },
                "rendezvous" => Self::Rendezvous,
                "rendezvous_table" => {
                    let quota = written.number("quota", (0, RendezvousTable::MAX_QUOTA.into()))?;
                    let slots = slots()?;
                    Self::RendezvousTable { slots, quota: quota.map(|quota| quota as u16) }
                }
                "jump" => Self::Jump,
                "multi_probe" => {
                    let default = Probing::default();
                    let probes = written.number("probes", (1, MultiProbe::MAX_PROBES.into()))?;
                    let probes = probes.map_or(default.probes, |probes| probes as u8);
                    Self::MultiProbe(Probing { probes, points: points(default.points)? })
                }
                "anchor" => Self::Anchor {
                    capacity: count(
                        "capacity",
                        Anchor::MAX_CAPACITY as u64,
                        Anchor::DEFAULT_CAPACITY as u32,
                    )?,
                },
                "memento" => Self::Memento,
                _ => return Ok(CompatConfig::read(written)?.map(Self::Compat)),
            }))
        };
        read().transpose()
    }
}

/// What becomes of requests that have no key, by name.
const RULES: [&str; 3] = ["random", "round_robin", "refuse"];

fn rule(given: &str) -> Result<WithoutKey, ConfigError> {
    match given {
        "random" => Ok(WithoutKey::Random),
        "round_robin" => Ok(WithoutKey::RoundRobin),
        "refuse" => Ok(WithoutKey::Refuse),
        _ => {
            let given = String::from(given);
            Err(ConfigError::NotAllowed { field: "without_key", given, allowed: &RULES })
        }
    }
}

const fn rule_name(rule: WithoutKey) -> &'static str {
    match rule {
        WithoutKey::Random => "random",
        WithoutKey::RoundRobin => "round_robin",
        WithoutKey::Refuse => "refuse",
    }
}
