//! A candidate of any type, with its constructor.

use std::fmt;
use std::hint::black_box;
use std::sync::Arc;

use super::candidate::{Candidate, Change};
use super::keys::{Key, key};
use super::servers::Server;
use crate::ours::Weights;
use crate::row::{Row, Worker};

/// What is measured of a candidate.
pub trait Subject {
    /// Lookups of independent keys, and lookups in which each key depends on the answer before.
    fn lookups(&self, name: &'static str, servers: &[Server]) -> (Row, Row);

    /// Building it.
    fn builds(&self, name: &'static str, servers: &[Server]) -> Row;

    /// One server in the middle leaves, or the same comes back.
    fn changes(&self, name: &'static str, servers: &[Server]) -> Row;

    /// A table to ask.
    fn table(&self, servers: &[Server]) -> Box<dyn Table>;
}

/// A table to ask.
pub trait Table {
    /// The owners of so many keys.
    fn owners(&self, keys: u64) -> Vec<u32>;

    /// How many of so many keys each of so many servers has.
    fn counts(&self, keys: u64, servers: usize) -> Vec<u64>;

    /// One server comes or goes.
    fn change(&mut self, change: Change, servers: &[Server]);
}

/// The [`Subject`] of a constructor.
pub(crate) struct Of<F>(pub(crate) F);

impl<C: Candidate, F: Fn(&[Server]) -> C + Copy + Send + 'static> Subject for Of<F> {
    fn lookups(&self, name: &'static str, servers: &[Server]) -> (Row, Row) {
        let candidate = Arc::new(self.0(servers));
        let chain = Chain { candidate: Arc::clone(&candidate), number: 0, last: 0 };
        (Row::new(name, vec![Lookups { candidate, number: 0 }]), Row::new(name, vec![chain]))
    }

    fn builds(&self, name: &'static str, servers: &[Server]) -> Row {
        Row::new(name, vec![Builds { build: self.0, servers: servers.to_vec() }])
    }

    fn changes(&self, name: &'static str, servers: &[Server]) -> Row {
        let mut left = servers.to_vec();
        let gone = left.remove(servers.len() / 2);
        let (all, state) = (servers.to_vec(), Built::new(self.0, servers));
        Row::new(name, vec![Changes { state, all, left, gone, away: false }])
    }

    fn table(&self, servers: &[Server]) -> Box<dyn Table> {
        Box::new(Built::new(self.0, servers))
    }
}

/// A candidate, and how to make it anew.
struct Built<C, F> {
    candidate: C,
    build: F,
}

impl<C: Candidate, F: Fn(&[Server]) -> C> Built<C, F> {
    fn new(build: F, servers: &[Server]) -> Self {
        Self { candidate: build(servers), build }
    }

    fn change(&mut self, change: Change, servers: &[Server]) {
        if !self.candidate.change(change, servers) {
            self.candidate = (self.build)(servers);
        }
    }
}

impl<C: Candidate, F: Fn(&[Server]) -> C> Table for Built<C, F> {
    fn owners(&self, keys: u64) -> Vec<u32> {
        (0..keys).map(|number| self.candidate.owner(&key(number))).collect()
    }

    fn counts(&self, keys: u64, servers: usize) -> Vec<u64> {
        let mut counts = vec![0; servers];
        for number in 0..keys {
            counts[self.candidate.owner(&key(number)) as usize] += 1;
        }
        counts
    }

    fn change(&mut self, change: Change, servers: &[Server]) {
        Built::change(self, change, servers);
    }
}

struct Lookups<C> {
    candidate: Arc<C>,
    number: u64,
}

impl<C: Candidate> Worker for Lookups<C> {
    #[inline]
    fn step(&mut self) -> u64 {
        self.number += 1;
        self.candidate.owner(&key(self.number)).into()
    }
}

struct Chain<C> {
    candidate: Arc<C>,
    number: u64,
    last: u64,
}

impl<C: Candidate> Worker for Chain<C> {
    #[inline]
    fn step(&mut self) -> u64 {
        self.number += 1;
        // Zero, which the processor has to wait for.
        let wait = self.last >> 32;
        let key: Key = key(self.number + wait);
        self.last = self.candidate.owner(&key).into();
        self.last
    }
}

struct Builds<F> {
    build: F,
    servers: Vec<Server>,
}

impl<C, F: Fn(&[Server]) -> C + Send> Worker for Builds<F> {
    fn step(&mut self) -> u64 {
        black_box((self.build)(black_box(&self.servers)));
        0
    }
}

struct Changes<C, F> {
    state: Built<C, F>,
    all: Vec<Server>,
    left: Vec<Server>,
    gone: Server,
    away: bool,
}

impl<C: Candidate, F: Fn(&[Server]) -> C + Send> Worker for Changes<C, F> {
    fn step(&mut self) -> u64 {
        if self.away {
            self.state.change(Change::Join(self.gone), &self.all);
        } else {
            self.state.change(Change::Leave(self.gone), &self.left);
        }
        self.away = !self.away;
        0
    }
}

/// What a structure is, for the plots.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "they are named after what they are")]
pub enum Structure {
    Ring,
    MultiProbe,
    Maglev,
    RendezvousTable,
    Rendezvous,
    Anchor,
    Memento,
    Jump,
    Floor,
}

impl Structure {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::RendezvousTable,
        Self::Maglev,
        Self::Rendezvous,
        Self::Ring,
        Self::MultiProbe,
        Self::Anchor,
        Self::Memento,
        Self::Jump,
        Self::Floor,
    ];

    /// What tables and plots call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ring => "ring",
            Self::MultiProbe => "multi-probe",
            Self::Maglev => "maglev",
            Self::RendezvousTable => "rendezvous table",
            Self::Rendezvous => "rendezvous",
            Self::Anchor => "anchor",
            Self::Memento => "memento",
            Self::Jump => "jump",
            Self::Floor => "floor",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|structure| structure.name() == name)
    }
}

/// Whose it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "they are named after what they are")]
pub enum Side {
    Ours,
    Peer,
    Floor,
}

impl Side {
    /// What the records call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Peer => "peer",
            Self::Floor => "floor",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        [Self::Ours, Self::Peer, Self::Floor].into_iter().find(|side| side.name() == name)
    }
}

/// What of a row is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// All.
    All,
    /// Lookups only: the rest is as with another hash function.
    Lookups,
    /// Memory and balance at 1,000 servers, for the plot.
    Settings,
    /// A pick from a pool, on a table of the kind.
    Pool,
}

impl Scope {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Lookups => "lookups",
            Self::Settings => "settings",
            Self::Pool => "pool",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        let all = [Self::All, Self::Lookups, Self::Settings, Self::Pool];
        all.into_iter().find(|scope| scope.name() == name)
    }
}

/// A row of the tables: a candidate, and how it is to be measured.
pub struct Entry {
    /// Its name, without commas.
    pub name: &'static str,
    /// Whose it is.
    pub side: Side,
    /// What it is.
    pub structure: Structure,
    /// What is measured.
    pub scope: Scope,
    /// The servers' weights.
    pub weights: Weights,
    /// The most servers worth measuring with.
    pub limit: usize,
    /// About how long a lookup takes with one server, and with each further thousand, in ns: so
    /// many keys as fit into the time are counted.
    pub slow: (u64, u64),
    /// Only the server that came last can leave without all others moving.
    pub last_only: bool,
    /// The candidate.
    pub subject: Box<dyn Subject>,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Entry {
    /// A row, of which everything is measured, with servers of equal weights.
    pub fn new<C: Candidate>(
        name: &'static str,
        side: Side,
        structure: Structure,
        build: impl Fn(&[Server]) -> C + Copy + Send + 'static,
    ) -> Self {
        Self {
            name,
            side,
            structure,
            scope: Scope::All,
            weights: Weights::Equal,
            limit: usize::MAX,
            slow: (0, 0),
            last_only: false,
            subject: Box::new(Of(build)),
        }
    }

    /// Sets what is measured.
    pub const fn scope(mut self, scope: Scope) -> Self {
        self.scope = scope;
        self
    }

    /// Gives the servers weights 1 to 5.
    pub const fn weighted(mut self) -> Self {
        self.weights = Weights::OneToFive;
        self
    }

    /// Sets the most servers worth measuring with.
    pub const fn limit(mut self, servers: usize) -> Self {
        self.limit = servers;
        self
    }

    /// Sets how long a lookup takes, where that is long: see [`slow`](Self#structfield.slow).
    pub const fn slow(mut self, first: u64, thousand: u64) -> Self {
        self.slow = (first, thousand);
        self
    }

    /// Says that only the server that came last can leave.
    pub const fn last_only(mut self) -> Self {
        self.last_only = true;
        self
    }

    /// So many of `keys` as can be looked up in a second or so: a power of ten.
    pub fn keys(&self, keys: u64, servers: usize) -> u64 {
        let nanos = self.slow.0 + self.slow.1 * servers as u64 / 1_000;
        let mut keys = keys;
        while keys * nanos > 3_000_000_000 {
            keys /= 10;
        }
        keys
    }
}
