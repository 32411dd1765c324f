//! A list of nodes that only its end changes.

use equipoise_core::HashKey;

use crate::buckets::{Buckets, FREE};
use crate::jump::jump_back;
use crate::mix::spread;
use crate::{BuildError, ConsistentHash, Node, fallback};

/// Nodes in a row, picked by [`jump_back`]: no table to build, two lines of
/// memory to touch, shares that are exactly the weights.
///
/// Only the last bucket of a row can leave without moving other keys. So a node that leaves is
/// replaced by the last one, whose keys move too: at most twice the keys that must. Where nodes leave
/// in any order, [`Memento`](crate::Memento) and [`Anchor`](crate::Anchor) move no key needlessly.
///
/// A node has one bucket for each unit of weight. The first row is in the order of the list; after
/// that, who is where depends on who left when, and balancers that are to agree must be told: with
/// the feature `serde` it is stored and read.
///
/// # Complexity
/// A lookup: O(1) expected. Building and [`update`](ConsistentHash::update): O(n log n + buckets).
/// Memory: 4 bytes a bucket and 16 a node.
///
/// ```
/// use equipoise_hash::{BackendId, ConsistentHash, HashKey, Jump, Node};
///
/// let nodes: Vec<_> = (0..8).map(|id| Node::new(BackendId::new(id))).collect();
/// let seven = Jump::new(&nodes[..7])?;
/// let eight = seven.update(&nodes)?;
/// for key in (0..1000).map(HashKey::new) {
///     assert!(eight.lookup(key) == seven.lookup(key) || eight.lookup(key) == Some(7));
/// }
/// # Ok::<(), equipoise_hash::BuildError>(())
/// ```
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(into = "stored::StoredJump", try_from = "stored::StoredJump"))]
pub struct Jump {
    buckets: Buckets,
}

impl Jump {
    /// The nodes in a row, in the order of the list.
    ///
    /// # Errors
    /// [`BuildError::DuplicateId`]; [`BuildError::WeightsTooLarge`], more than 2²⁰ in sum.
    pub fn new(nodes: &[Node]) -> Result<Self, BuildError> {
        Self::default().update(nodes)
    }

    #[inline(always)]
    fn at(&self, hash: u64) -> Option<usize> {
        let count = self.buckets.owners.len() as u32;
        if count == 0 { None } else { self.buckets.owner(jump_back(hash, count)) }
    }
}

impl Default for Jump {
    /// A table of no nodes, with the default settings.
    fn default() -> Self {
        Self { buckets: Buckets::free(0) }
    }
}

impl ConsistentHash for Jump {
    fn nodes(&self) -> &[Node] {
        &self.buckets.nodes
    }

    #[inline(always)]
    fn lookup(&self, key: HashKey) -> Option<usize> {
        self.at(spread(key))
    }

    fn lookup_where(&self, key: HashKey, allowed: impl Fn(usize) -> bool) -> Option<usize> {
        fallback::jump(self.nodes(), spread(key), |hash| self.at(hash), allowed)
    }

    /// The result depends on this table: nodes that stay keep their buckets, as far as there are no
    /// gaps; newcomers fill the gaps first.
    fn update(&self, nodes: &[Node]) -> Result<Self, BuildError> {
        let changes = self.buckets.changes(nodes)?;
        let (mut owners, mut joining) = (changes.owners, changes.joining.into_iter());
        let mut gaps =
            (0..owners.len()).filter(|&i| owners[i] == FREE).collect::<alloc::vec::Vec<_>>();
        gaps.reverse();
        while let Some(gap) = gaps.pop() {
            match joining.next() {
                Some(node) => owners[gap] = node,
                None => {
                    gaps.push(gap);
                    break;
                }
            }
        }
        // The last gaps first: the end of the row moves into the others.
        for gap in gaps {
            owners.swap_remove(gap);
        }
        owners.extend(joining);
        Ok(Self { buckets: Buckets { nodes: nodes.into(), owners } })
    }
}

#[cfg(feature = "serde")]
mod stored {
    use super::Jump;
    use crate::buckets::stored::{StoredBuckets, check_gone};

    #[derive(serde::Serialize, serde::Deserialize)]
    #[serde(transparent)]
    pub(super) struct StoredJump(StoredBuckets);

    impl From<Jump> for StoredJump {
        fn from(row: Jump) -> Self {
            Self(row.buckets.into())
        }
    }

    impl TryFrom<StoredJump> for Jump {
        type Error = &'static str;

        fn try_from(stored: StoredJump) -> Result<Self, &'static str> {
            let buckets = stored.0.check()?;
            check_gone(&buckets, &[])?;
            Ok(Self { buckets })
        }
    }
}
