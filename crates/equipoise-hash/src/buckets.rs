//! Buckets in a row, which nodes occupy: as many each as its weight.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use crate::node::live;
use crate::{BuildError, Node};

/// The most buckets.
pub(crate) const MAX_BUCKETS: u64 = 1 << 20;

/// Who occupies each bucket, by index in `nodes`; [`FREE`] for nobody.
#[derive(Clone, Debug)]
pub(crate) struct Buckets {
    pub(crate) nodes: Box<[Node]>,
    pub(crate) owners: Vec<u32>,
}

/// A bucket that nobody occupies.
pub(crate) const FREE: u32 = u32::MAX;

/// What an update does to buckets that stay in their places.
pub(crate) struct Changes {
    /// By bucket of old: the owner's new index, or [`FREE`].
    pub(crate) owners: Vec<u32>,
    /// New indexes, one for each bucket that is still wanted, in the order of the list.
    pub(crate) joining: Vec<u32>,
}

impl Changes {
    /// The buckets that were occupied before, and are no longer.
    pub(crate) fn vacated(&self, before: &Buckets) -> Vec<u32> {
        let vacated =
            |bucket: &usize| before.owners[*bucket] != FREE && self.owners[*bucket] == FREE;
        (0..self.owners.len()).filter(vacated).map(|bucket| bucket as u32).collect()
    }
}

impl Buckets {
    /// No nodes, and so many buckets that nobody occupies.
    pub(crate) fn free(count: usize) -> Self {
        Self { nodes: Box::default(), owners: vec![FREE; count] }
    }

    /// Which buckets the nodes keep, and which nodes want more. A node that has become lighter gives
    /// up its last buckets. There is room for `limit` in all.
    pub(crate) fn changes(&self, nodes: &[Node], limit: u64) -> Result<Changes, BuildError> {
        let live = live(nodes)?;
        let sum: u64 = live.iter().map(|node| u64::from(node.weight)).sum();
        if sum > limit {
            return Err(BuildError::WeightsTooLarge { sum, limit });
        }
        // By new index: how many buckets it may still have.
        let mut wanted: Vec<u32> = nodes.iter().map(|node| node.weight.get().into()).collect();
        let now = |old: &Node| {
            let at = live.binary_search_by_key(&old.id.get(), |node| node.id).ok()?;
            Some(live[at].index)
        };
        let now: Vec<Option<u32>> = self.nodes.iter().map(now).collect();
        let mut keep = |&owner: &u32| {
            let node = now.get(owner as usize).copied().flatten()?;
            let wanted = &mut wanted[node as usize];
            *wanted = wanted.checked_sub(1)?;
            Some(node)
        };
        let owners = self.owners.iter().map(|owner| keep(owner).unwrap_or(FREE)).collect();
        let joining = wanted
            .iter()
            .zip(0..)
            .flat_map(|(&wanted, node)| core::iter::repeat_n(node, wanted as usize));
        Ok(Changes { owners, joining: joining.collect() })
    }

    /// The node that occupies a bucket.
    #[inline(always)]
    pub(crate) fn owner(&self, bucket: u32) -> Option<usize> {
        self.owners.get(bucket as usize).map(|&owner| owner as usize)
    }
}

#[cfg(feature = "serde")]
pub(crate) mod stored {
    //! Buckets as they are stored. What is read is checked: it may come from anywhere.

    use alloc::vec;
    use alloc::vec::Vec;

    use super::{Buckets, FREE, MAX_BUCKETS};
    use crate::Node;
    use crate::node::live;

    #[derive(serde::Serialize, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(crate) struct StoredBuckets {
        nodes: Vec<Node>,
        /// By bucket.
        owners: Vec<Option<u32>>,
    }

    impl From<Buckets> for StoredBuckets {
        fn from(buckets: Buckets) -> Self {
            let owner = |owner| (owner != FREE).then_some(owner);
            let owners = buckets.owners.into_iter().map(owner).collect();
            Self { nodes: buckets.nodes.into(), owners }
        }
    }

    impl StoredBuckets {
        pub(crate) fn check(self) -> Result<Buckets, &'static str> {
            live(&self.nodes).map_err(|_| "nodes: two have the same id")?;
            if self.owners.len() as u64 > MAX_BUCKETS {
                return Err("owners: more than 2^20 buckets");
            }
            let mut counts = vec![0; self.nodes.len()];
            for &owner in self.owners.iter().flatten() {
                *counts.get_mut(owner as usize).ok_or("owners: no such node")? += 1_u64;
            }
            let as_many = |(node, count): (&Node, &u64)| u64::from(node.weight.get()) == *count;
            if !self.nodes.iter().zip(&counts).all(as_many) {
                return Err("owners: a node has not as many buckets as its weight");
            }
            let owners = self.owners.into_iter().map(|owner| owner.unwrap_or(FREE)).collect();
            Ok(Buckets { nodes: self.nodes.into(), owners })
        }
    }

    /// Whether `gone` has every free bucket, once.
    pub(crate) fn check_gone(buckets: &Buckets, gone: &[u32]) -> Result<(), &'static str> {
        let mut free: Vec<bool> = buckets.owners.iter().map(|&owner| owner == FREE).collect();
        for &bucket in gone {
            let free = free.get_mut(bucket as usize).ok_or("gone: no such bucket")?;
            if !core::mem::take(free) {
                return Err("gone: a bucket is occupied, or there twice");
            }
        }
        if free.contains(&true) { Err("gone: a free bucket is missing") } else { Ok(()) }
    }
}
