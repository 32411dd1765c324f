//! The nodes that keys are spread over.

use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use equipoise_core::{BackendId, Weight};

/// A node: who it is, and its share of the keys relative to the others'.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Node {
    /// Its identity, by which it is placed: never its position in a list.
    pub id: BackendId,
    /// Its share; a node of weight 0 has no keys.
    pub weight: Weight,
}

impl Node {
    /// A node of weight 1.
    pub const fn new(id: BackendId) -> Self {
        Self { id, weight: Weight::ONE }
    }

    /// Sets the weight.
    pub const fn weight(mut self, weight: Weight) -> Self {
        self.weight = weight;
        self
    }
}

/// Why there is no table over these nodes. Nothing changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum BuildError {
    /// Two nodes have the same id.
    DuplicateId(BackendId),
    /// More nodes with a weight than the table has room for.
    TooManyNodes {
        /// How many there are.
        nodes: usize,
        /// The most it has room for.
        limit: usize,
    },
    /// The structure keeps something for each unit of weight, and the weights add up to too much.
    WeightsTooLarge {
        /// Their sum.
        sum: u64,
        /// The largest sum allowed.
        limit: u64,
    },
    /// A setting is out of range.
    OutOfRange {
        /// The setting.
        setting: &'static str,
        /// What was given.
        given: u64,
        /// The smallest value allowed.
        min: u64,
        /// The largest value allowed.
        max: u64,
    },
    /// A table of this kind must have a prime number of slots.
    NotPrime {
        /// What was given.
        given: usize,
    },
    /// A compatible table knows servers by their names, and has none for this node.
    UnknownServer(BackendId),
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DuplicateId(id) => write!(f, "two nodes have the id {id}"),
            Self::TooManyNodes { nodes, limit } => {
                write!(f, "{nodes} nodes, where the table has room for {limit}")
            }
            Self::WeightsTooLarge { sum, limit } => {
                write!(f, "the weights add up to {sum}; at most {limit} is allowed")
            }
            Self::OutOfRange { setting, given, min, max } => {
                write!(f, "{setting}: {given} is out of range; allowed are {min} to {max}")
            }
            Self::NotPrime { given } => write!(f, "table size {given} is not a prime number"),
            Self::UnknownServer(id) => write!(f, "no server was named for the id {id}"),
        }
    }
}

impl core::error::Error for BuildError {}

/// A node that takes part: one with a weight.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Live {
    /// Its index in the list that was given.
    pub(crate) index: u32,
    pub(crate) id: u64,
    pub(crate) weight: u16,
}

/// The nodes that have a weight, by id: so a table depends on the set, not on the list's order.
pub(crate) fn live(nodes: &[Node]) -> Result<Vec<Live>, BuildError> {
    if u32::try_from(nodes.len()).is_err() {
        return Err(BuildError::TooManyNodes { nodes: nodes.len(), limit: u32::MAX as usize });
    }
    let of = |(index, node): (usize, &Node)| Live {
        index: index as u32,
        id: node.id.get(),
        weight: node.weight.get(),
    };
    let mut all: Vec<Live> = nodes.iter().enumerate().map(of).collect();
    all.sort_unstable_by_key(|node| node.id);
    if let Some(pair) = all.windows(2).find(|pair| pair[0].id == pair[1].id) {
        return Err(BuildError::DuplicateId(BackendId::new(pair[0].id)));
    }
    all.retain(|node| node.weight > 0);
    Ok(all)
}

/// What differs between two sets of nodes. Who changes its weight leaves and joins.
#[derive(Debug)]
pub(crate) struct Change {
    /// By index in the old list: the place among the new nodes, of those that stay as they are; or
    /// [`Self::LEFT`].
    pub(crate) stayed: Vec<u32>,
    /// The places among the new nodes of those that join.
    pub(crate) joined: Vec<usize>,
    /// How many nodes leave.
    pub(crate) left: usize,
}

impl Change {
    /// No place: the node leaves.
    pub(crate) const LEFT: u32 = u32::MAX;

    /// From the nodes `before`, of a list of `len`, to those `after`; both are by id.
    pub(crate) fn new(len: usize, before: &[Live], after: &[Live]) -> Self {
        let mut change =
            Self { stayed: vec![Self::LEFT; len], joined: Vec::new(), left: before.len() };
        for (place, node) in after.iter().enumerate() {
            match before.binary_search_by_key(&node.id, |old| old.id) {
                Ok(at) if before[at].weight == node.weight => {
                    change.stayed[before[at].index as usize] = place as u32;
                    change.left -= 1;
                }
                _ => change.joined.push(place),
            }
        }
        change
    }
}
