//! A row of buckets that remembers who left.

use alloc::vec::Vec;

use equipoise_core::HashKey;

use crate::buckets::{Buckets, MAX_BUCKETS};
use crate::jump::jump_back;
use crate::mix::{mix, place, spread};
use crate::{BuildError, ConsistentHash, Node, fallback};

/// MementoHash (Coluzzi, Brocco, Contu, Leidi; arXiv 2306.09783): a row of buckets, as in
/// [`Jump`](crate::Jump), which remembers those that left from its midst.
///
/// No key moves needlessly whoever comes or goes, shares are exactly the weights, and there may be any
/// number of buckets. The more that have left, the longer a lookup takes; newcomers take their
/// places.
///
/// A node has one bucket for each unit of weight. Who is where depends on who left when, and
/// balancers that are to agree must be told: with the feature `serde` it is stored and read.
///
/// # Complexity
/// With b buckets of which w are occupied, a lookup: O((1 + ln(b / w))²) expected. Building and
/// [`update`](ConsistentHash::update): O(b + n log n). Memory: 8 bytes a bucket and 16 a node, where
/// the paper has a hash table of those that left.
///
/// ```
/// use equipoise_hash::{BackendId, ConsistentHash, HashKey, Memento, Node};
///
/// let nodes: Vec<_> = (0..8).map(|id| Node::new(BackendId::new(id))).collect();
/// let all = Memento::new(&nodes)?;
/// let without_3 = [&nodes[..3], &nodes[4..]].concat();
/// let fewer = all.update(&without_3)?;
/// for key in (0..1000).map(HashKey::new) {
///     let owner = nodes[all.lookup(key).unwrap()];
///     assert!(owner == nodes[3] || without_3[fewer.lookup(key).unwrap()] == owner);
/// }
/// # Ok::<(), equipoise_hash::BuildError>(())
/// ```
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(
    feature = "serde",
    serde(into = "stored::StoredMemento", try_from = "stored::StoredMemento")
)]
pub struct Memento {
    buckets: Buckets,
    row: Row,
}

/// Which buckets are there.
#[derive(Clone, Debug, Default)]
struct Row {
    /// By bucket: how many were left when it left, and so the bucket that took its place; or
    /// [`THERE`].
    heirs: Vec<u32>,
    /// Those that left, in this order.
    gone: Vec<u32>,
}

/// Not a bucket's number: the bucket is there.
const THERE: u32 = u32::MAX;

impl Memento {
    /// The nodes in a row, in the order of the list.
    ///
    /// # Errors
    /// [`BuildError::DuplicateId`]; [`BuildError::WeightsTooLarge`], more than 2²⁰ in sum.
    pub fn new(nodes: &[Node]) -> Result<Self, BuildError> {
        Self::default().update(nodes)
    }

    #[inline(always)]
    fn at(&self, hash: u64) -> Option<usize> {
        self.buckets.owner(self.row.bucket(hash)?)
    }
}

impl Row {
    fn there(&self) -> usize {
        self.heirs.len() - self.gone.len()
    }

    /// A bucket leaves, which is there.
    fn remove(&mut self, bucket: u32) {
        if self.gone.is_empty() && bucket as usize + 1 == self.heirs.len() {
            self.heirs.pop();
        } else {
            self.heirs[bucket as usize] = self.there() as u32 - 1;
            self.gone.push(bucket);
        }
    }

    /// The bucket that left last comes back, or a new one is added.
    fn add(&mut self) -> u32 {
        let bucket = self.gone.pop().unwrap_or(self.heirs.len() as u32);
        match self.heirs.get_mut(bucket as usize) {
            Some(heir) => *heir = THERE,
            None => self.heirs.push(THERE),
        }
        bucket
    }

    /// The bucket of a hash; `None` if none is there.
    #[inline(always)]
    fn bucket(&self, hash: u64) -> Option<u32> {
        if self.there() == 0 {
            return None;
        }
        let mut bucket = jump_back(hash, self.heirs.len() as u32);
        let mut heir = self.heirs[bucket as usize];
        // Each round leads to a bucket that left earlier, so there is an end.
        while heir != THERE {
            bucket = place(mix(hash.wrapping_add(u64::from(bucket))), heir as usize) as u32;
            let mut next = self.heirs[bucket as usize];
            while next != THERE && next >= heir {
                bucket = next;
                next = self.heirs[bucket as usize];
            }
            heir = next;
        }
        Some(bucket)
    }
}

impl Default for Memento {
    /// A table of no nodes, with the default settings.
    fn default() -> Self {
        Self { buckets: Buckets::free(0), row: Row::default() }
    }
}

impl ConsistentHash for Memento {
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

    /// The result depends on this table: nodes that stay keep their buckets, and newcomers take
    /// those that left last.
    fn update(&self, nodes: &[Node]) -> Result<Self, BuildError> {
        let changes = self.buckets.changes(nodes, MAX_BUCKETS)?;
        let mut row = self.row.clone();
        // From the end, so that as many as possible leave without a trace.
        for bucket in changes.vacated(&self.buckets).into_iter().rev() {
            row.remove(bucket);
        }
        let mut owners = changes.owners;
        owners.truncate(row.heirs.len());
        for node in changes.joining {
            let bucket = row.add() as usize;
            match owners.get_mut(bucket) {
                Some(owner) => *owner = node,
                None => owners.push(node),
            }
        }
        Ok(Self { buckets: Buckets { nodes: nodes.into(), owners }, row })
    }
}

#[cfg(feature = "serde")]
mod stored {
    use alloc::vec;
    use alloc::vec::Vec;

    use super::{Memento, Row, THERE};
    use crate::buckets::stored::{StoredBuckets, check_gone};

    /// The buckets, and in which order the free ones left: the rest follows.
    #[derive(serde::Serialize, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct StoredMemento {
        buckets: StoredBuckets,
        gone: Vec<u32>,
    }

    impl From<Memento> for StoredMemento {
        fn from(table: Memento) -> Self {
            Self { buckets: table.buckets.into(), gone: table.row.gone }
        }
    }

    impl TryFrom<StoredMemento> for Memento {
        type Error = &'static str;

        fn try_from(stored: StoredMemento) -> Result<Self, &'static str> {
            let buckets = stored.buckets.check()?;
            check_gone(&buckets, &stored.gone)?;
            let mut row = Row { heirs: vec![THERE; buckets.owners.len()], gone: Vec::new() };
            for bucket in stored.gone {
                row.remove(bucket);
            }
            if row.heirs.len() < buckets.owners.len() {
                return Err("gone: the last bucket leaves without a trace");
            }
            Ok(Self { buckets, row })
        }
    }
}
