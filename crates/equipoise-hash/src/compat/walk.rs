//! Walks along a ring, as the other proxies walk.

use alloc::vec::Vec;

use crate::points::{Points, Position};
use crate::{BuildError, Node};

/// The most points of a table: 640 MB with 32-bit positions.
const MOST: u64 = 1 << 26;

/// The first owner clockwise of a position that is allowed. O(points).
pub(super) fn clockwise<P: Position>(
    points: &Points<P>,
    nodes: &[Node],
    position: P,
    allowed: impl Fn(usize) -> bool,
) -> Option<usize> {
    let at = points.at_or_after(position).unwrap_or(0);
    let (before, from) = points.as_slice().split_at(at);
    let mut owners = from.iter().chain(before).map(|&(_, owner)| owner as usize);
    owners.find(|&owner| allowed(owner)).or_else(|| any(nodes, allowed))
}

/// Anybody who is allowed: where all who have a place in a table are not, and somebody has none.
pub(super) fn any(nodes: &[Node], allowed: impl Fn(usize) -> bool) -> Option<usize> {
    nodes.iter().enumerate().position(|(i, node)| node.weight.get() > 0 && allowed(i))
}

/// Room for so many points, `each` for every unit of the weights' `sum`, if that is not too much.
pub(super) fn room<P>(sum: u64, each: u64) -> Result<Vec<(P, u32)>, BuildError> {
    if sum > MOST / each {
        return Err(BuildError::WeightsTooLarge { sum, limit: MOST / each });
    }
    Ok(Vec::with_capacity((sum * each) as usize))
}
