//! A fixed number of buckets, of which any may leave and come back.

use alloc::boxed::Box;
use alloc::vec::Vec;

use equipoise_core::HashKey;

use crate::buckets::Buckets;
use crate::mix::{mix, place, spread};
use crate::{BuildError, ConsistentHash, Node, fallback};

/// AnchorHash (Mendelson, Vargaftik, Barabash, Lorenz, Keslassy, Orda; IEEE/ACM ToN 2021): hashes to a
/// fixed number of buckets, and on from those that left to one that was there when they did.
///
/// No key moves needlessly whoever comes or goes, shares are exactly the weights, and a change costs
/// next to nothing; but there can never be more buckets than it was made for.
///
/// A node has one bucket for each unit of weight. Who is where depends on who left when, and
/// balancers that are to agree must be told: with the feature `serde` it is stored and read.
///
/// # Complexity
/// With a buckets of which w are occupied, a lookup: O(1 + ln(a / w)) expected. Building and
/// [`update`](ConsistentHash::update): O(a + n log n). Memory: 24 bytes a bucket and 16 a node.
///
/// ```
/// use equipoise_hash::{Anchor, BackendId, ConsistentHash, HashKey, Node};
///
/// let nodes: Vec<_> = (0..8).map(|id| Node::new(BackendId::new(id))).collect();
/// let all = Anchor::with_capacity(&nodes, 100)?;
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
    serde(into = "stored::StoredAnchor", try_from = "stored::StoredAnchor")
)]
pub struct Anchor {
    buckets: Buckets,
    anchors: Anchors,
}

/// The state of the buckets. The names in the paper are in parentheses.
#[derive(Clone, Debug)]
struct Anchors {
    buckets: Box<[Bucket]>,
    /// The buckets that are left, and others (W).
    left: Box<[u32]>,
    /// Where each bucket is, or was last, in that list (L).
    position: Box<[u32]>,
    /// Those that left, in this order (R).
    gone: Vec<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// How many were left when it left; 0 while it is there (A).
    left: u32,
    /// Who took its place in the list of those left (K).
    heir: u32,
}

impl Anchor {
    /// Buckets that there is room for, where neither nodes nor a capacity are given.
    pub const DEFAULT_CAPACITY: usize = 1_024;

    /// The most buckets.
    pub const MAX_CAPACITY: usize = crate::buckets::MAX_BUCKETS as usize;

    /// The nodes, with room for a quarter more buckets, and for 16 at least: the more room, the longer a
    /// lookup takes.
    ///
    /// # Errors
    /// [`BuildError::DuplicateId`]; [`BuildError::WeightsTooLarge`], more than 2²⁰ in sum.
    pub fn new(nodes: &[Node]) -> Result<Self, BuildError> {
        let sum: u64 = nodes.iter().map(|node| u64::from(node.weight.get())).sum();
        let capacity = (sum + sum / 4).clamp(16, Self::MAX_CAPACITY as u64);
        Self::with_capacity(nodes, capacity as usize)
    }

    /// The nodes, with room for so many buckets in all: 1 to 2²⁰.
    ///
    /// # Errors
    /// What [`new`](Self::new) refuses, with the capacity for the limit; [`BuildError::OutOfRange`].
    pub fn with_capacity(nodes: &[Node], capacity: usize) -> Result<Self, BuildError> {
        let max = crate::buckets::MAX_BUCKETS;
        if capacity == 0 || capacity as u64 > max {
            let given = capacity as u64;
            return Err(BuildError::OutOfRange { setting: "capacity", given, min: 1, max });
        }
        let empty = Self { buckets: Buckets::free(capacity), anchors: Anchors::new(capacity, 0) };
        let joining = empty.buckets.changes(nodes, capacity as u64)?.joining;
        // Those of the beginning have not left and come back, so no path leads through them.
        let mut table = Self { anchors: Anchors::new(capacity, joining.len()), ..empty };
        table.buckets.owners[..joining.len()].copy_from_slice(&joining);
        table.buckets.nodes = nodes.into();
        Ok(table)
    }

    /// How many buckets there is room for.
    pub fn capacity(&self) -> usize {
        self.buckets.owners.len()
    }

    #[inline(always)]
    fn at(&self, hash: u64) -> Option<usize> {
        self.buckets.owner(self.anchors.bucket(hash)?)
    }
}

impl Anchors {
    /// So many buckets, of which the first `there` are there, and the others left, last one first.
    fn new(count: usize, there: usize) -> Self {
        let numbers = || 0..count as u32;
        let left = |bucket: u32| if (bucket as usize) < there { 0 } else { bucket };
        Self {
            buckets: numbers().map(|b| Bucket { left: left(b), heir: b }).collect(),
            left: numbers().collect(),
            position: numbers().collect(),
            gone: (there as u32..count as u32).rev().collect(),
        }
    }

    fn there(&self) -> usize {
        self.buckets.len() - self.gone.len()
    }

    /// A bucket leaves, which is there.
    fn remove(&mut self, bucket: u32) {
        let left = self.there() - 1;
        let (heir, position) = (self.left[left], self.position[bucket as usize]);
        self.gone.push(bucket);
        self.buckets[bucket as usize] = Bucket { left: left as u32, heir };
        self.left[position as usize] = heir;
        self.position[heir as usize] = position;
    }

    /// The bucket that left last comes back, if there is one.
    fn add(&mut self) -> Option<u32> {
        let there = self.there();
        let bucket = self.gone.pop()?;
        self.position[self.left[there] as usize] = there as u32;
        self.left[self.position[bucket as usize] as usize] = bucket;
        self.buckets[bucket as usize] = Bucket { left: 0, heir: bucket };
        Some(bucket)
    }

    /// The bucket of a hash; `None` if none is there.
    ///
    /// Each round leads to a bucket that left earlier, so there is an end; the first bucket has
    /// `left` 0 even when it left last, and then nobody is there.
    #[inline(always)]
    fn bucket(&self, hash: u64) -> Option<u32> {
        let mut at = place(hash, self.buckets.len());
        let mut bucket = *self.buckets.get(at)?;
        while bucket.left > 0 {
            at = place(mix(hash.wrapping_add(at as u64)), bucket.left as usize);
            let mut next = self.buckets[at];
            while next.left >= bucket.left {
                at = next.heir as usize;
                next = self.buckets[at];
            }
            bucket = next;
        }
        (self.there() > 0).then_some(at as u32)
    }
}

impl Default for Anchor {
    /// A table of no nodes, with the default settings.
    fn default() -> Self {
        let capacity = Self::DEFAULT_CAPACITY;
        Self { buckets: Buckets::free(capacity), anchors: Anchors::new(capacity, 0) }
    }
}

impl ConsistentHash for Anchor {
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

    /// The result depends on this table: nodes that stay keep their buckets, and newcomers take those
    /// that left last.
    ///
    /// # Errors
    /// Also [`BuildError::WeightsTooLarge`] where there is no room for so many buckets.
    fn update(&self, nodes: &[Node]) -> Result<Self, BuildError> {
        let changes = self.buckets.changes(nodes, self.capacity() as u64)?;
        let mut anchors = self.anchors.clone();
        for bucket in changes.vacated(&self.buckets) {
            anchors.remove(bucket);
        }
        let mut owners = changes.owners;
        for node in changes.joining {
            if let Some(bucket) = anchors.add() {
                owners[bucket as usize] = node;
            }
        }
        Ok(Self { buckets: Buckets { nodes: nodes.into(), owners }, anchors })
    }
}

#[cfg(feature = "serde")]
mod stored {
    use alloc::vec::Vec;

    use super::{Anchor, Anchors};
    use crate::buckets::stored::{StoredBuckets, check_gone};

    /// The buckets, and in which order the free ones left: the rest follows.
    #[derive(serde::Serialize, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct StoredAnchor {
        buckets: StoredBuckets,
        gone: Vec<u32>,
    }

    impl From<Anchor> for StoredAnchor {
        fn from(table: Anchor) -> Self {
            Self { buckets: table.buckets.into(), gone: table.anchors.gone }
        }
    }

    impl TryFrom<StoredAnchor> for Anchor {
        type Error = &'static str;

        fn try_from(stored: StoredAnchor) -> Result<Self, &'static str> {
            let buckets = stored.buckets.check()?;
            if buckets.owners.is_empty() {
                return Err("owners: no buckets");
            }
            check_gone(&buckets, &stored.gone)?;
            let mut anchors = Anchors::new(buckets.owners.len(), buckets.owners.len());
            for bucket in stored.gone {
                anchors.remove(bucket);
            }
            Ok(Self { buckets, anchors })
        }
    }
}
