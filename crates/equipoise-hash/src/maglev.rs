//! Nodes take turns to take slots.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::cmp::Reverse;

use equipoise_core::HashKey;

use crate::fallback::jump;
use crate::mix::{draw, spread};
use crate::node::{Live, live};
use crate::owners::{Owners, TableSize};
use crate::{BuildError, ConsistentHash, Node};

/// Maglev hashing (Eisenbud et al., NSDI 2016, section 3.4): a table whose slots the nodes take in
/// turn, each the next free one in an order of its own.
///
/// No two nodes of the same weight differ by more than one slot, so it balances better than anything
/// else. The price: a change moves some keys between nodes that stay, since taking a slot earlier
/// or later than before sends others elsewhere. At 65,537 slots and 1,000 nodes, one that leaves
/// has 0.1 % of the keys, and 0.5 % move besides; [`RendezvousTable`](crate::RendezvousTable) moves
/// none.
///
/// Each node has its share of the slots by weight, up to one, and takes its j-th turn at the time
/// (j + ½) / weight. A node with a share of less than a slot may thus be without one, and so without
/// a key: see [`slots`](Self::slots).
///
/// Candidates beyond the first are found by [random jumps](ConsistentHash::lookup_where).
///
/// # Complexity
/// With M slots and n nodes, a lookup: O(1), one load. Building: O(M log M) expected. Memory: 2 bytes
/// a slot (4 with more than 65,536 nodes) and 16 a node.
///
/// ```
/// use equipoise_hash::{BackendId, ConsistentHash, HashKey, Maglev, Node};
///
/// let nodes: Vec<_> = (0..10).map(|id| Node::new(BackendId::new(id))).collect();
/// let table = Maglev::with_size(&nodes, 65_537)?;
/// assert!(table.lookup(HashKey::new(1)).is_some());
/// assert!(table.slots().iter().all(|slots| (6_553..=6_554).contains(slots)));
/// # Ok::<(), equipoise_hash::BuildError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Maglev {
    nodes: Box<[Node]>,
    size: TableSize,
    owners: Owners,
}

impl Maglev {
    /// The table of these nodes, with 65,536 slots.
    ///
    /// # Errors
    /// [`BuildError::DuplicateId`]; [`BuildError::TooManyNodes`], more than there are slots.
    pub fn new(nodes: &[Node]) -> Result<Self, BuildError> {
        Self::build(nodes, TableSize::DEFAULT)
    }

    /// The table of these nodes, with so many slots: 1 to 2²⁴. More than a hundred for each node
    /// keep the moves of a change few. It need not be prime: steps are chosen coprime to it.
    ///
    /// # Errors
    /// What [`new`](Self::new) refuses, and [`BuildError::OutOfRange`].
    pub fn with_size(nodes: &[Node], slots: usize) -> Result<Self, BuildError> {
        Self::build(nodes, TableSize::new(slots)?)
    }

    /// How many slots each node has.
    pub fn slots(&self) -> Vec<usize> {
        self.owners.counts(self.nodes.len())
    }

    fn build(nodes: &[Node], size: TableSize) -> Result<Self, BuildError> {
        let live = live(nodes)?;
        size.check_room(live.len())?;
        let owners = fill(&live, size, |node| Walk::new(node.id, size));
        let owners = match owners {
            owners if owners.is_empty() => Owners::none(),
            owners => Owners::from_fn(size, nodes.len(), |slot| owners[slot]),
        };
        Ok(Self { nodes: nodes.into(), size, owners })
    }
}

/// A node's way through the table, which comes to every slot once.
#[derive(Clone, Copy, Debug)]
struct Walk {
    at: u32,
    step: u32,
}

impl Walk {
    fn new(id: u64, size: TableSize) -> Self {
        let slots = size.get() as u64;
        let at = draw(id, 3) % slots;
        // Coprime steps only: others would go round a part of the table.
        let mut step = 1 + draw(id, 4) % (slots - 1).max(1);
        while gcd(step, slots) != 1 {
            step = step % slots + 1;
        }
        Self { at: at as u32, step: step as u32 }
    }

    /// Goes on by one step, in a table of so many slots.
    #[inline(always)]
    const fn advance(&mut self, slots: u32) {
        let next = self.at + self.step;
        self.at = if next >= slots { next - slots } else { next };
    }
}

const fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// The owner of each slot, by index in the caller's list; empty if there are no nodes.
fn fill(nodes: &[Live], size: TableSize, walk: impl Fn(&Live) -> Walk) -> Vec<u32> {
    if nodes.is_empty() {
        return Vec::new();
    }
    let slots = size.get() as u32;
    let mut walks: Vec<Walk> = nodes.iter().map(walk).collect();
    let mut free = Free::new(size.get());
    let mut owners = vec![0; size.get()];
    for node in turns(nodes, size.get()) {
        let walk = &mut walks[node];
        while !free.take(walk.at) {
            walk.advance(slots);
        }
        owners[walk.at as usize] = nodes[node].index;
    }
    owners
}

/// A bit for each slot: the whole table of 65,536 fits into the first-level cache.
struct Free(Vec<u64>);

impl Free {
    fn new(slots: usize) -> Self {
        Self(vec![u64::MAX; slots.div_ceil(64)])
    }

    /// Takes a slot; says whether it was free.
    #[inline(always)]
    fn take(&mut self, slot: u32) -> bool {
        let (word, bit) = (&mut self.0[slot as usize / 64], 1 << (slot % 64));
        let free = *word & bit != 0;
        *word &= !bit;
        free
    }
}

/// Whose turn it is, so many times. Everyone has as many turns as its share, rounded down, and those
/// with the largest rests have one more; the j-th turn of a node comes at (j + ½) / weight. Of equals
/// the first by id goes first.
fn turns(nodes: &[Live], count: usize) -> Vec<usize> {
    if nodes.iter().all(|node| node.weight == nodes[0].weight) {
        return (0..nodes.len()).cycle().take(count).collect();
    }
    let total: u64 = nodes.iter().map(|node| u64::from(node.weight)).sum();
    let share = |node: &Live| count as u64 * u64::from(node.weight);
    let mut shares: Vec<u64> = nodes.iter().map(|node| share(node) / total).collect();
    let given: u64 = shares.iter().sum();
    let mut by_rest: Vec<usize> = (0..nodes.len()).collect();
    by_rest.sort_by_key(|&place| Reverse(share(&nodes[place]) % total));
    // The rests add up to less than one for each node.
    by_rest.into_iter().take(count - given as usize).for_each(|place| shares[place] += 1);
    let mut turns = Vec::with_capacity(count);
    for (place, (node, share)) in nodes.iter().zip(shares).enumerate() {
        let time = |j: u64| ((2 * j + 1) << 36) / u64::from(node.weight);
        turns.extend((0..share).map(|j| (time(j), place)));
    }
    turns.sort_unstable();
    turns.into_iter().map(|(_, place)| place).collect()
}

impl Default for Maglev {
    /// A table of no nodes, with the default settings.
    fn default() -> Self {
        Self { nodes: Box::default(), size: TableSize::DEFAULT, owners: Owners::none() }
    }
}

impl ConsistentHash for Maglev {
    fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    #[inline(always)]
    fn lookup(&self, key: HashKey) -> Option<usize> {
        self.owners.get(self.owners.slot(spread(key)))
    }

    fn lookup_where(&self, key: HashKey, allowed: impl Fn(usize) -> bool) -> Option<usize> {
        let lookup = |hash| self.owners.get(self.owners.slot(hash));
        jump(&self.nodes, spread(key), lookup, allowed)
    }

    /// The result depends on the nodes alone.
    fn update(&self, nodes: &[Node]) -> Result<Self, BuildError> {
        Self::build(nodes, self.size)
    }
}
