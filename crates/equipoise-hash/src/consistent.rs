//! The trait.

use alloc::vec;
use alloc::vec::Vec;

use equipoise_core::HashKey;

use crate::{BuildError, Node};

/// Which node has a key, and which have it when that one is down.
///
/// Nodes are named by their index in [`nodes`](Self::nodes), which is the list that the table was
/// made from, so they index the caller's own list too. Only nodes with a weight have keys.
pub trait ConsistentHash: Sized {
    /// The nodes, as they were given.
    fn nodes(&self) -> &[Node];

    /// The node that has the key; `None` if and only if no node has a weight.
    fn lookup(&self, key: HashKey) -> Option<usize>;

    /// The first node in the key's order of preference that is `allowed`; `None` if and only if none
    /// is. What is not allowed has its keys spread over all others in proportion to their weights,
    /// and no other key moves.
    ///
    /// Asks `allowed` only about nodes with a weight, any number of times, so the answer must not
    /// change meanwhile. Allocates nothing, and takes at most O(n) when few are allowed.
    fn lookup_where(&self, key: HashKey, allowed: impl Fn(usize) -> bool) -> Option<usize>;

    /// All nodes with a weight in the key's order of preference, each once. The order depends on
    /// the key and the table alone.
    ///
    /// Made for a few candidates: the k-th costs a [`lookup_where`](Self::lookup_where). Allocates
    /// a flag for each node.
    fn candidates(&self, key: HashKey) -> impl Iterator<Item = usize> + '_ {
        let mut given: Vec<bool> = Vec::new();
        core::iter::from_fn(move || {
            if given.is_empty() {
                given = vec![false; self.nodes().len()];
            }
            let next = self.lookup_where(key, |node| !given[node])?;
            given[next] = true;
            Some(next)
        })
    }

    /// The table of the same kind and settings over these nodes. It may make use of this one to be
    /// quicker; whether the result depends on this one, the structure says.
    ///
    /// # Errors
    /// What the structure's constructor refuses.
    fn update(&self, nodes: &[Node]) -> Result<Self, BuildError>;
}
