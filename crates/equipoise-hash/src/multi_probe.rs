//! Few points, and several looks.

use alloc::boxed::Box;

use equipoise_core::HashKey;

use crate::fallback::jump;
use crate::mix::{mix, spread};
use crate::points::Points;
use crate::{BuildError, ConsistentHash, Node, ring};

/// Multi-probe consistent hashing (Appleton and O'Reilly, arXiv 1505.00062): a ring with few points,
/// on which a key is looked up at several places; of the points that follow, the nearest one wins.
///
/// With k probes and many nodes, none has more than 1 + 1/(k - 1) times its share, whatever the number
/// of points; more points make the shares more even below that.
///
/// The probes of a key are independent hashes. (In a well-known crate probe i is i times the hash, and
/// the fullest of 1,000 nodes has 1.71 times the mean, where it should have 1.05 and what sampling
/// adds.)
///
/// Candidates beyond the first are found by [random jumps](ConsistentHash::lookup_where).
///
/// # Complexity
/// With k probes and p points, a lookup: O(k) expected, O(k log p) at worst. Building: O(p log p).
/// Memory: 10 to 12 bytes a point and 16 a node.
///
/// ```
/// use equipoise_hash::{BackendId, ConsistentHash, HashKey, MultiProbe, Node};
///
/// let nodes: Vec<_> = (0..10).map(|id| Node::new(BackendId::new(id))).collect();
/// let table = MultiProbe::new(&nodes)?;
/// assert!(table.lookup(HashKey::new(1)).is_some());
/// # Ok::<(), equipoise_hash::BuildError>(())
/// ```
#[derive(Clone, Debug)]
pub struct MultiProbe {
    nodes: Box<[Node]>,
    settings: Probing,
    points: Points<u32>,
}

/// The settings of a [`MultiProbe`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Probing {
    /// Places that a key is looked up at: 1 to 128.
    pub probes: u8,
    /// Points for each unit of weight: 1 to 4,096.
    pub points: u16,
}

impl Default for Probing {
    fn default() -> Self {
        Self { probes: 21, points: 64 }
    }
}

impl MultiProbe {
    /// The most probes.
    pub const MAX_PROBES: u8 = 128;

    /// The table of these nodes, with 21 probes and 64 points for each unit of weight.
    ///
    /// # Errors
    /// [`BuildError::DuplicateId`]; [`BuildError::WeightsTooLarge`] where it would have more than
    /// 2²¹ points.
    pub fn new(nodes: &[Node]) -> Result<Self, BuildError> {
        Self::with(nodes, Probing::default())
    }

    /// The table with these settings.
    ///
    /// # Errors
    /// What [`new`](Self::new) refuses, and [`BuildError::OutOfRange`].
    pub fn with(nodes: &[Node], settings: Probing) -> Result<Self, BuildError> {
        if !(1..=Self::MAX_PROBES).contains(&settings.probes) {
            let (given, max) = (settings.probes.into(), Self::MAX_PROBES.into());
            return Err(BuildError::OutOfRange { setting: "probes", given, min: 1, max });
        }
        let live = ring::check(nodes, settings.points)?;
        let points = Points::new(ring::points(&live, settings.points).collect());
        Ok(Self { nodes: nodes.into(), settings, points })
    }

    #[inline]
    fn at(&self, hash: u64) -> Option<usize> {
        let points = self.points.as_slice();
        let (mut nearest, mut node) = (u32::MAX, points.first()?.1);
        for probe in 0..u64::from(self.settings.probes) {
            let place = mix(hash.wrapping_add(probe.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
            let place = (place >> 32) as u32;
            let (point, owner) = points[self.points.at_or_after(place).unwrap_or(0)];
            let distance = point.wrapping_sub(place);
            if distance < nearest {
                (nearest, node) = (distance, owner);
            }
        }
        Some(node as usize)
    }
}

impl Default for MultiProbe {
    /// A table of no nodes, with the default settings.
    fn default() -> Self {
        let points = Points::new(alloc::vec::Vec::new());
        Self { nodes: Box::default(), settings: Probing::default(), points }
    }
}

impl ConsistentHash for MultiProbe {
    fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    #[inline]
    fn lookup(&self, key: HashKey) -> Option<usize> {
        self.at(spread(key))
    }

    fn lookup_where(&self, key: HashKey, allowed: impl Fn(usize) -> bool) -> Option<usize> {
        jump(&self.nodes, spread(key), |hash| self.at(hash), allowed)
    }

    /// The result depends on the nodes alone. Points of nodes that stay are not sorted again.
    fn update(&self, nodes: &[Node]) -> Result<Self, BuildError> {
        let points = ring::update(&self.points, &self.nodes, nodes, self.settings.points)?;
        Ok(Self { nodes: nodes.into(), points, ..*self })
    }
}
