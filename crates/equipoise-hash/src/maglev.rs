//! Nodes take turns to take slots.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BinaryHeap};
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
/// A node takes its j-th turn at the time (j + ½) / weight, so slots are in proportion to weights,
/// up to one. A node may thus be without a slot, and so without a key, when the table has less than
/// twice the sum of weights over its own: see [`slots`](Self::slots).
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
        let owners = match size.get() {
            _ if live.is_empty() => Owners::none(),
            slots if nodes.len() <= Owners::NARROW => {
                let mut owners = vec![0; slots];
                fill(&live, slots, |slot, node| owners[slot] = node as u16);
                Owners::Narrow(owners.into())
            }
            slots => {
                let mut owners = vec![0; slots];
                fill(&live, slots, |slot, node| owners[slot] = node);
                Owners::Wide(owners.into())
            }
        };
        Ok(Self { nodes: nodes.into(), size, owners })
    }
}

/// A node's way through the table, which comes to every slot once: its order of preference.
#[derive(Clone, Copy, Debug)]
struct Walk {
    at: u32,
    step: u32,
}

impl Walk {
    fn new(id: u64, slots: u64) -> Self {
        let at = draw(id, 3) % slots;
        // Coprime steps only: others would go round a part of the table.
        let mut step = 1 + draw(id, 4) % (slots - 1).max(1);
        while gcd(step, slots) != 1 {
            step = step % slots + 1;
        }
        Self { at: at as u32, step: step as u32 }
    }
}

const fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// The free slots of a table.
struct Free {
    /// A bit for each slot: of 65,536 slots, they fit into the first-level cache.
    bits: Vec<u64>,
    left: usize,
    /// The last few, listed.
    last: Vec<u32>,
    remainder: Remainder,
}

/// When so few slots are left, to look at each takes less than to walk until one of them is met.
const FEW: usize = 200;

impl Free {
    fn new(slots: usize) -> Self {
        let mut bits = vec![u64::MAX; slots.div_ceil(64)];
        if let (Some(last), 1..) = (bits.last_mut(), slots % 64) {
            *last >>= 64 - slots % 64;
        }
        Self { bits, left: slots, last: Vec::new(), remainder: Remainder::by(slots as u64) }
    }

    /// Takes the first free slot on the way of a node, of which there must be one.
    #[inline(always)]
    fn take(&mut self, walk: &mut Walk) -> usize {
        if self.left <= FEW {
            return self.take_of_few(walk);
        }
        let slots = self.remainder.divisor as u32;
        let (step, back) = (walk.step, slots - walk.step);
        let mut at = walk.at;
        while self.bits[(at / 64) as usize] & (1 << (at % 64)) == 0 {
            at = if at >= back { at - back } else { at + step };
        }
        walk.at = at;
        self.bits[(at / 64) as usize] &= !(1 << (at % 64));
        self.left -= 1;
        at as usize
    }

    #[cold]
    #[inline(never)]
    fn take_of_few(&mut self, walk: &Walk) -> usize {
        if self.last.is_empty() {
            let is_free = |slot: &u32| self.bits[*slot as usize / 64] & (1 << (slot % 64)) != 0;
            self.last = (0..self.remainder.divisor as u32).filter(is_free).collect();
        }
        // Slots that the node has come by are taken, so the nearest free one ahead is the next.
        let slots = self.remainder.divisor;
        let inverse = inverse(walk.step.into(), slots);
        let steps = |&slot: &u32| {
            self.remainder.of((u64::from(slot) + slots - u64::from(walk.at)) % slots * inverse)
        };
        let nearest = (0..self.last.len()).min_by_key(|&i| steps(&self.last[i]));
        self.left -= 1;
        self.last.swap_remove(nearest.unwrap_or(0)) as usize
    }
}

/// Remainders of a division by the same number, without a division (Barrett 1986).
struct Remainder {
    divisor: u64,
    /// 2⁶⁴ / divisor, rounded down.
    reciprocal: u64,
}

impl Remainder {
    const fn by(divisor: u64) -> Self {
        Self { divisor, reciprocal: (u64::MAX as u128 / divisor as u128) as u64 }
    }

    #[inline(always)]
    const fn of(&self, number: u64) -> u64 {
        let quotient = ((number as u128 * self.reciprocal as u128) >> 64) as u64;
        let rest = number - quotient * self.divisor;
        if rest >= self.divisor { rest - self.divisor } else { rest }
    }
}

/// The number that times `step` is 1, modulo `slots`; they must be coprime (Euclid).
const fn inverse(step: u64, slots: u64) -> u64 {
    let (mut a, mut b) = (slots as i64, step as i64);
    let (mut x, mut y) = (0_i64, 1_i64);
    while b != 0 {
        let quotient = a / b;
        (a, b) = (b, a - quotient * b);
        (x, y) = (y, x - quotient * y);
    }
    x.rem_euclid(slots as i64) as u64
}

/// Lets the nodes take turns until all slots are taken; tells `own` who takes which, by the node's
/// index in the caller's list.
#[inline(always)]
fn fill(nodes: &[Live], slots: usize, mut own: impl FnMut(usize, u32)) {
    let mut walks: Vec<Walk> = nodes.iter().map(|node| Walk::new(node.id, slots as u64)).collect();
    let mut free = Free::new(slots);
    let classes = classes(nodes);
    // The next turn of each class; the time is (j + ½) / weight, of equals the heavier goes first.
    let turn = |j: u64, class: usize| {
        Reverse((((2 * j + 1) << 36) / u64::from(classes[class].0), class, j))
    };
    let mut turns: BinaryHeap<_> = (0..classes.len()).map(|class| turn(0, class)).collect();
    while let Some(mut next) = turns.peek_mut() {
        let Reverse((_, class, j)) = *next;
        *next = turn(j + 1, class);
        for &place in classes[class].1.iter().take(free.left) {
            own(free.take(&mut walks[place]), nodes[place].index);
        }
        if free.left == 0 {
            return;
        }
    }
}

/// The nodes of each weight, by their places, the heaviest first: those of one weight take all their
/// turns together.
fn classes(nodes: &[Live]) -> Vec<(u16, Vec<usize>)> {
    let mut classes: BTreeMap<Reverse<u16>, Vec<usize>> = BTreeMap::new();
    for (place, node) in nodes.iter().enumerate() {
        classes.entry(Reverse(node.weight)).or_default().push(place);
    }
    classes.into_iter().map(|(Reverse(weight), places)| (weight, places)).collect()
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
