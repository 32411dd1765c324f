//! The rows, by operation.

use std::fmt;

use equipoise_algorithms::{LeastConn, P2c, PeakEwma, Random, RoundRobin};
use equipoise_core::{BoxPolicy, Policy, Rng};
use tower::load::{PeakEwma as TowerPeakEwma, PendingRequests};

use crate::floors::{BareP2c, FetchAdd, RngStep, Swap};
use crate::ours::{Membership, Pick, PickAndDrop, Refresh, SetWeight, Weights, WholeRequest};
use crate::peers::tower::{Backend, WholeRequest as TowerRequest};
use crate::peers::weighted::{LockedSmooth, Rebuild, Smooth};
use crate::row::{Row, Worker};

/// The floor that ratios are to.
pub const FETCH_ADD: &str = "floor: fetch_add, one shared line";
/// The floor of what threads do not share.
pub const FETCH_ADD_OWN_LINE: &str = "floor: fetch_add, a line per thread";

pub(crate) const TOWER_PENDING: &str = "tower p2c, PendingRequests";
pub(crate) const LOCKED_TOWER_PENDING: &str = "tower p2c, PendingRequests, behind a mutex";
const TOWER_EWMA: &str = "tower p2c, PeakEwma";
const LOCKED_TOWER_EWMA: &str = "tower p2c, PeakEwma, behind a mutex";
pub(crate) const WEIGHTED: &str = "weighted-rs smooth, weights 1-5";
const LOCKED_WEIGHTED: &str = "weighted-rs smooth, weights 1-5, behind a mutex";
pub(crate) const PINGORA_ROUND_ROBIN: &str = "pingora RoundRobin";
pub(crate) const PINGORA_RANDOM: &str = "pingora Random";

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    /// The policy's choice alone.
    Pick,
    /// Pick through a reader, and drop the lease.
    PickAndDrop,
    /// Pick through a reader, with 64 in flight, and finish.
    Request,
    /// Look for a newer snapshot.
    Snapshot,
    /// One backend leaves or joins.
    Membership,
    /// One weight changes.
    SetWeight,
}

impl Operation {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 6] = [
        Self::Pick,
        Self::PickAndDrop,
        Self::Request,
        Self::Snapshot,
        Self::Membership,
        Self::SetWeight,
    ];

    /// What the table and the filters call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pick => "pick",
            Self::PickAndDrop => "pick+drop",
            Self::Request => "request",
            Self::Snapshot => "snapshot",
            Self::Membership => "join/leave",
            Self::SetWeight => "set_weight",
        }
    }

    /// Whether it is worth running on so many backends and threads.
    pub const fn runs(self, backends: usize, threads: usize) -> bool {
        match self {
            Self::Pick | Self::PickAndDrop | Self::Request => true,
            // The size makes no difference.
            Self::Snapshot => backends == 1_000,
            // Updates take turns.
            Self::Membership | Self::SetWeight => threads == 1,
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Which rows are wanted, by name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Only {
    /// All of them.
    All,
    /// Those whose name contains this.
    Containing(String),
    /// The one with this name.
    Named(String),
}

impl Only {
    /// Whether a row of this name is wanted.
    pub fn lets_in(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Containing(text) => name.contains(text),
            Self::Named(wanted) => name == wanted,
        }
    }
}

/// Rows of one operation, on so many backends and threads: those that are compared.
#[derive(Debug)]
pub struct Group {
    /// What is measured.
    pub operation: Operation,
    /// The size of the pool.
    pub backends: usize,
    /// How many threads do it at once.
    pub threads: usize,
    /// Ours, the peers', and the floors.
    pub rows: Vec<Row>,
    only: Only,
}

impl Group {
    /// Builds the rows that `only` lets in: the others cost nothing.
    pub fn new(operation: Operation, backends: usize, threads: usize, only: &Only) -> Self {
        let only = only.clone();
        let mut group = Self { operation, backends, threads, rows: Vec::new(), only };
        group.add_ours();
        group.add_peers();
        group.add_floors();
        group
    }

    /// A row's peer in this group, if it has one.
    pub fn peer_of(&self, row: &str) -> Option<&Row> {
        let one = |alone, locked| if self.threads == 1 { alone } else { locked };
        let name = match (self.operation, row) {
            (Operation::Snapshot, "Reader::refresh") => "arc-swap load",
            (Operation::Request, "p2c" | "p2c, weights 1-5" | "p2c, BoxPolicy") => {
                one(TOWER_PENDING, LOCKED_TOWER_PENDING)
            }
            (Operation::Request, "peak_ewma") => one(TOWER_EWMA, LOCKED_TOWER_EWMA),
            (_, "round_robin") => PINGORA_ROUND_ROBIN,
            (_, "random") => PINGORA_RANDOM,
            (_, "round_robin, weights 1-5") => one(WEIGHTED, LOCKED_WEIGHTED),
            _ => return None,
        };
        self.rows.iter().find(|row| row.name == name)
    }

    fn wants(&self, name: &str) -> bool {
        self.only.lets_in(name)
    }

    fn add<W: Worker + 'static>(&mut self, name: &'static str, workers: impl FnOnce() -> Vec<W>) {
        if self.wants(name) {
            self.rows.push(Row::new(name, workers()));
        }
    }

    /// A worker that is shared by cloning.
    fn add_shared<W>(&mut self, name: &'static str, worker: impl FnOnce() -> W)
    where
        W: Worker + Clone + 'static,
    {
        let threads = self.threads;
        self.add(name, || vec![worker(); threads]);
    }

    /// THE list of our policies: a new one gets its line here, and so a row of every operation.
    fn add_ours(&mut self) {
        if self.operation == Operation::Snapshot {
            let (n, threads) = (self.backends, self.threads);
            return self.add("Reader::refresh", || Refresh::workers(RoundRobin, n, threads));
        }
        self.add_policy("round_robin", RoundRobin, Weights::Equal);
        self.add_policy("round_robin, weights 1-5", RoundRobin, Weights::OneToFive);
        self.add_policy("random", Random, Weights::Equal);
        self.add_policy("least_conn", LeastConn::new(), Weights::Equal);
        self.add_policy("p2c", P2c::default(), Weights::Equal);
        self.add_policy("p2c, weights 1-5", P2c::default(), Weights::OneToFive);
        self.add_policy("p2c, BoxPolicy", BoxPolicy::new(P2c::default()), Weights::Equal);
        self.add_policy("peak_ewma", PeakEwma::default(), Weights::Equal);
    }

    fn add_policy<P>(&mut self, name: &'static str, policy: P, weights: Weights)
    where
        P: Policy<Picker: 'static> + 'static,
    {
        let (n, threads) = (self.backends, self.threads);
        match self.operation {
            Operation::Pick => self.add(name, || Pick::workers(&policy, n, weights, threads)),
            Operation::PickAndDrop => {
                self.add(name, || PickAndDrop::workers(policy, n, weights, threads));
            }
            Operation::Request => {
                self.add(name, || WholeRequest::workers(policy, n, weights, threads));
            }
            Operation::Snapshot => {}
            Operation::Membership => self.add(name, || vec![Membership::new(policy, n, weights)]),
            Operation::SetWeight => self.add(name, || vec![SetWeight::new(policy, n, weights)]),
        }
    }

    fn add_peers(&mut self) {
        match self.operation {
            Operation::Pick | Operation::PickAndDrop => {
                self.add_weighted();
                self.add_pingora();
            }
            Operation::Request => {
                self.add_tower();
                self.add_pingora();
            }
            Operation::Snapshot => self.add_shared("arc-swap load", Swap::default),
            Operation::Membership => self.add_rebuilds(),
            // No peer changes a weight but by an update of the whole set.
            Operation::SetWeight => {}
        }
    }

    fn add_weighted(&mut self) {
        let n = self.backends;
        if self.threads == 1 {
            self.add(WEIGHTED, || vec![Smooth::new(n, Weights::OneToFive)]);
        } else {
            self.add_shared(LOCKED_WEIGHTED, || LockedSmooth::new(n, Weights::OneToFive));
        }
    }

    fn add_tower(&mut self) {
        type Pending = PendingRequests<Backend>;
        type Ewma = TowerPeakEwma<Backend>;
        let (n, threads) = (self.backends, self.threads);
        if threads == 1 {
            self.add(TOWER_PENDING, || vec![TowerRequest::<Pending, _>::alone(n)]);
            self.add(TOWER_EWMA, || vec![TowerRequest::<Ewma, _>::alone(n)]);
        } else {
            self.add(LOCKED_TOWER_PENDING, || TowerRequest::<Pending, _>::locked(n, threads));
            self.add(LOCKED_TOWER_EWMA, || TowerRequest::<Ewma, _>::locked(n, threads));
        }
    }

    fn add_pingora(&mut self) {
        #[cfg(feature = "pingora")]
        {
            use crate::peers::pingora::{Random, RoundRobin, Select};
            let n = self.backends;
            self.add_shared(PINGORA_ROUND_ROBIN, || Select::<RoundRobin>::new(n));
            self.add_shared(PINGORA_RANDOM, || Select::<Random>::new(n));
        }
    }

    fn add_rebuilds(&mut self) {
        let n = self.backends;
        self.add(WEIGHTED, || vec![Rebuild::new(n, Weights::OneToFive)]);
        #[cfg(feature = "pingora")]
        {
            use crate::peers::pingora::{Random, RoundRobin, Update};
            self.add(PINGORA_ROUND_ROBIN, || vec![Update::<RoundRobin>::new(n)]);
            self.add(PINGORA_RANDOM, || vec![Update::<Random>::new(n)]);
        }
    }

    fn add_floors(&mut self) {
        let (n, threads) = (self.backends, self.threads);
        if matches!(self.operation, Operation::Membership | Operation::SetWeight) {
            return;
        }
        if self.operation == Operation::Request {
            self.add("floor: p2c on bare counters", || {
                let counters = BareP2c::counters(n);
                (0..threads as u64).map(|seed| BareP2c::new(&counters, seed)).collect()
            });
        }
        self.add_shared(FETCH_ADD, FetchAdd::default);
        if threads > 1 {
            self.add(FETCH_ADD_OWN_LINE, || (0..threads).map(|_| FetchAdd::default()).collect());
        }
        self.add("floor: one RNG step", || {
            (0..threads as u64).map(|seed| RngStep(Rng::seeded(seed))).collect()
        });
    }
}
