//! Every node races for every key.

use alloc::boxed::Box;

use equipoise_core::HashKey;

use crate::mix::spread;
use crate::node::live;
use crate::race::Race;
use crate::{BuildError, ConsistentHash, Node};

/// Weighted rendezvous hashing, or highest random weight (Thaler and Ravishankar 1998; weights by
/// the logarithmic method, Schindelhauer and Schomaker 2005).
///
/// Each node draws a time for the key, exponential with the node's weight as its rate, and the
/// earliest has the key. So shares are exactly the weights, a change of one node or weight moves
/// exactly the keys that it must, and the keys of a node that is down spread over the others by
/// weight. The price is a look at every node.
///
/// The order of candidates is that of arrival, so a key goes where it would go if those before it
/// were not there.
///
/// # Complexity
/// A lookup: O(n), one multiplication a node, several at a time. Building: O(n log n). Memory: about 50
/// bytes a node.
///
/// ```
/// use equipoise_hash::{BackendId, ConsistentHash, HashKey, Node, Rendezvous};
///
/// let nodes = [1, 2, 3].map(|id| Node::new(BackendId::new(id)));
/// let table = Rendezvous::new(&nodes)?;
/// assert!(table.lookup(HashKey::new(7)).is_some());
/// assert_eq!(Rendezvous::new(&[])?.lookup(HashKey::new(7)), None);
/// # Ok::<(), equipoise_hash::BuildError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Rendezvous {
    nodes: Box<[Node]>,
    race: Race,
}

impl Rendezvous {
    /// The table of these nodes.
    ///
    /// # Errors
    /// [`BuildError::DuplicateId`].
    pub fn new(nodes: &[Node]) -> Result<Self, BuildError> {
        Ok(Self { race: Race::new(&live(nodes)?), nodes: nodes.into() })
    }
}

impl Default for Rendezvous {
    /// A table of no nodes, with the default settings.
    fn default() -> Self {
        Self { nodes: Box::default(), race: Race::new(&[]) }
    }
}

impl ConsistentHash for Rendezvous {
    fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    #[inline]
    fn lookup(&self, key: HashKey) -> Option<usize> {
        self.race.winner(spread(key))
    }

    fn lookup_where(&self, key: HashKey, allowed: impl Fn(usize) -> bool) -> Option<usize> {
        self.race.winner_where(spread(key), allowed)
    }

    /// The result depends on the nodes alone.
    fn update(&self, nodes: &[Node]) -> Result<Self, BuildError> {
        Self::new(nodes)
    }
}
