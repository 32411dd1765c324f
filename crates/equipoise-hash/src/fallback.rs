//! Who takes a key when its owner may not.

use crate::Node;
use crate::mix::mix;
use crate::race::time;

/// How often a table is asked again before all nodes are.
const JUMPS: u64 = 16;

/// Jumps through a table: asks `lookup` with one hash after the other, all made from the first, until
/// it answers with a node that is `allowed`; so what is not allowed has its keys spread as the table
/// spreads keys, by weight, and not heaped on a neighbour (random jumps: Chen, Coleman, Shrivastava,
/// arXiv 1908.08762). If few are allowed, the first of them in a rendezvous race wins.
#[inline]
pub(crate) fn jump(
    nodes: &[Node],
    hash: u64,
    lookup: impl Fn(u64) -> Option<usize>,
    allowed: impl Fn(usize) -> bool,
) -> Option<usize> {
    let owner = lookup(hash)?;
    if allowed(owner) { Some(owner) } else { jump_on(nodes, hash, lookup, allowed) }
}

#[cold]
#[inline(never)]
fn jump_on(
    nodes: &[Node],
    hash: u64,
    lookup: impl Fn(u64) -> Option<usize>,
    allowed: impl Fn(usize) -> bool,
) -> Option<usize> {
    for jump in 1..JUMPS {
        let node = lookup(mix(hash.wrapping_add(jump.wrapping_mul(0x9e37_79b9_7f4a_7c15))))?;
        if allowed(node) {
            return Some(node);
        }
    }
    let racing = nodes.iter().enumerate().filter(|(i, node)| node.weight.get() > 0 && allowed(*i));
    let first =
        racing.min_by_key(|(_, node)| (time(node.id.get(), node.weight.get(), hash), node.id));
    first.map(|(i, _)| i)
}
