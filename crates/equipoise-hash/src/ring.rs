//! Points of every node on a circle.

use alloc::boxed::Box;
use alloc::vec::Vec;

use equipoise_core::HashKey;

use crate::fallback::jump;
use crate::mix::{draw, mix, spread};
use crate::node::{Change, Live, live};
use crate::points::Points;
use crate::{BuildError, ConsistentHash, Node};

/// A ring: every node has points on a circle of hashes, and a key belongs to the next one clockwise
/// (Karger et al., 1997; with many points a node, Lamping and Veach 2007, and libketama).
///
/// What nginx, Envoy, HAProxy and memcached clients have; the modes that agree with them are in
/// [`compat`](crate::compat). It moves no key needlessly, but its shares vary: with 160 points a node
/// is within a quarter of its share, and it takes four times the points to halve that.
///
/// Candidates beyond the first are found by [random jumps](ConsistentHash::lookup_where), not by
/// walking on: so a dead node's keys spread over all others and not just its neighbours.
///
/// # Complexity
/// With p points in all, a lookup: O(1) expected, O(log p) at worst. Building: O(p log p).
/// [`update`](ConsistentHash::update): O(p). Memory: 10 to 12 bytes a point and 16 a node.
///
/// ```
/// use equipoise_hash::{BackendId, ConsistentHash, HashKey, Node, Ring, Weight};
///
/// let big = Node::new(BackendId::new(1)).weight(Weight::new(3));
/// let ring = Ring::new(&[big, Node::new(BackendId::new(2))])?;
/// let to_big = (0..10_000).filter(|&key| ring.lookup(HashKey::new(key)) == Some(0)).count();
/// assert!((7_000..8_000).contains(&to_big));
/// # Ok::<(), equipoise_hash::BuildError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Ring {
    nodes: Box<[Node]>,
    points_per_weight: u16,
    points: Points<u32>,
}

impl Ring {
    /// Points for each unit of weight, unless told: as in nginx and libketama.
    pub const DEFAULT_POINTS: u16 = 160;
    /// The most points for each unit of weight.
    pub const MAX_POINTS: u16 = 4_096;
    /// The most points in all.
    pub const MAX_TOTAL: u64 = 1 << 21;

    /// The ring of these nodes, with 160 points for each unit of weight.
    ///
    /// # Errors
    /// [`BuildError::DuplicateId`]; [`BuildError::WeightsTooLarge`] where it would have more than
    /// 2²¹ points.
    pub fn new(nodes: &[Node]) -> Result<Self, BuildError> {
        Self::with_points(nodes, Self::DEFAULT_POINTS)
    }

    /// The ring with so many points for each unit of weight: 1 to 4,096.
    ///
    /// # Errors
    /// What [`new`](Self::new) refuses, and [`BuildError::OutOfRange`].
    pub fn with_points(nodes: &[Node], points_per_weight: u16) -> Result<Self, BuildError> {
        let live = check(nodes, points_per_weight)?;
        let points = Points::new(points(&live, points_per_weight).collect());
        Ok(Self { nodes: nodes.into(), points_per_weight, points })
    }
}

/// The nodes that have points, if there are not too many.
pub(crate) fn check(nodes: &[Node], points_per_weight: u16) -> Result<Vec<Live>, BuildError> {
    if !(1..=Ring::MAX_POINTS).contains(&points_per_weight) {
        let (given, max) = (points_per_weight.into(), Ring::MAX_POINTS.into());
        return Err(BuildError::OutOfRange { setting: "points", given, min: 1, max });
    }
    let live = live(nodes)?;
    let sum = live.iter().map(|node| u64::from(node.weight)).sum();
    let limit = Ring::MAX_TOTAL / u64::from(points_per_weight);
    if sum > limit {
        return Err(BuildError::WeightsTooLarge { sum, limit });
    }
    Ok(live)
}

/// The points of nodes, not in order.
pub(crate) fn points(nodes: &[Live], per_weight: u16) -> impl Iterator<Item = (u32, u32)> + '_ {
    nodes.iter().flat_map(move |node| {
        let seed = draw(node.id, 2);
        let count = u64::from(node.weight) * u64::from(per_weight);
        let point = move |i: u64| mix(seed.wrapping_add(i.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        (0..count).map(move |i| ((point(i) >> 32) as u32, node.index))
    })
}

/// The points over `nodes` from those over `old`, of which those that stay are not sorted again.
pub(crate) fn update(
    points: &Points<u32>,
    old: &[Node],
    nodes: &[Node],
    per_weight: u16,
) -> Result<Points<u32>, BuildError> {
    let live = check(nodes, per_weight)?;
    let change = Change::new(old.len(), &crate::node::live(old)?, &live);
    let joined: Vec<Live> = change.joined.iter().map(|&place| live[place]).collect();
    let mut new: Vec<_> = self::points(&joined, per_weight).collect();
    // Stable, for points in the same place are in the order of their nodes' ids.
    new.sort_by_key(|point| point.0);
    let stay = points.as_slice().iter().filter_map(|&(at, old)| {
        let node = live.get(change.stayed[old as usize] as usize)?;
        Some((at, node.index))
    });
    let points = merge(stay, new, nodes);
    Ok(Points::sorted(points))
}

/// Two sorted lists of points in one.
fn merge(
    points: impl Iterator<Item = (u32, u32)>,
    new: Vec<(u32, u32)>,
    nodes: &[Node],
) -> Vec<(u32, u32)> {
    let order = |&(at, node): &(u32, u32)| (at, nodes[node as usize].id);
    let mut merged = Vec::with_capacity(points.size_hint().1.unwrap_or(0) + new.len());
    let mut new = new.into_iter().peekable();
    for point in points {
        while let Some(earlier) = new.next_if(|new| order(new) < order(&point)) {
            merged.push(earlier);
        }
        merged.push(point);
    }
    merged.extend(new);
    merged
}

impl Default for Ring {
    /// A table of no nodes, with the default settings.
    fn default() -> Self {
        let points = Points::new(Vec::new());
        Self { nodes: Box::default(), points_per_weight: Self::DEFAULT_POINTS, points }
    }
}

impl ConsistentHash for Ring {
    fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    #[inline(always)]
    fn lookup(&self, key: HashKey) -> Option<usize> {
        self.points.clockwise((spread(key) >> 32) as u32)
    }

    fn lookup_where(&self, key: HashKey, allowed: impl Fn(usize) -> bool) -> Option<usize> {
        let lookup = |hash: u64| self.points.clockwise((hash >> 32) as u32);
        jump(&self.nodes, spread(key), lookup, allowed)
    }

    /// The result depends on the nodes alone. Points of nodes that stay are not sorted again.
    fn update(&self, nodes: &[Node]) -> Result<Self, BuildError> {
        let points = update(&self.points, &self.nodes, nodes, self.points_per_weight)?;
        Ok(Self { nodes: nodes.into(), points, ..*self })
    }
}
