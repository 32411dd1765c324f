//! A hash table over the backends of a tier, and which of them may be picked from it.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use equipoise_core::{BackendId, HashKey, Rng, Slot, SlotSet, View, Weight};
use equipoise_hash::{BuildError, ConsistentHash, Node, Rendezvous};

/// A table over all backends of a tier. Health is no matter of the table: who may not be picked is
/// passed over, so its keys return when it does.
#[derive(Debug)]
pub(crate) struct Keyed<T> {
    table: Arc<Table<T>>,
    /// By index in the table.
    slots: Box<[Slot]>,
    /// By index in the table: the part of its keys that a backend has.
    parts: Box<[Part]>,
    /// Everyone who has keys has all of them.
    whole: bool,
}

/// A table and what it was asked for.
#[derive(Debug)]
struct Table<T> {
    nodes: Box<[Node]>,
    /// `None` where there is no room for so many.
    of_policy: Option<T>,
    /// Where the table could not take in all of them.
    rest: Option<Rendezvous>,
}

/// The part of its keys that a backend has, in units of 2⁻³²: less than all in slow start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Part(u32);

impl Part {
    const NONE: Self = Self(0);
    const ALL: Self = Self(u32::MAX);

    /// As much as the weight in effect is of the weight, which it would be `scale` times in full.
    fn of(in_effect: Weight, weight: Weight, scale: u16) -> Self {
        let (part, all) = (u64::from(in_effect.get()), u64::from(weight.get()) * u64::from(scale));
        if part >= all { Self::ALL } else { Self(((part << 32) / all) as u32) }
    }

    /// Whether the key is in it. When the part grows, keys are added and none goes.
    fn has(self, key: HashKey, node: Node) -> bool {
        // Neither ids nor keys need be hashes, and parts of several nodes must be independent.
        let draw = |from: u64| Rng::seeded(from).next_u64();
        self == Self::ALL || ((draw(key.get() ^ draw(node.id.get())) >> 32) as u32) < self.0
    }
}

impl<T: ConsistentHash> Keyed<T> {
    /// The table of the view's tier, from the one before it if there is one, else from `empty`.
    pub(crate) fn new(view: &View<'_>, empty: &T, previous: Option<&Self>) -> Self {
        let of_tier = |(slot, member): (u32, &equipoise_core::Member)| {
            let node = Node::new(member.id).weight(member.weight);
            (member.tier == view.tier()).then_some((Slot::new(slot), node))
        };
        let (slots, nodes): (Vec<Slot>, Vec<Node>) =
            (0..).zip(view.members().iter()).filter_map(of_tier).unzip();
        let table = match previous {
            Some(previous) if *previous.table.nodes == *nodes => Arc::clone(&previous.table),
            previous => {
                let from = previous.and_then(|previous| previous.table.of_policy.as_ref());
                Arc::new(Table::new(from.unwrap_or(empty), nodes))
            }
        };
        let mut parts: Box<[Part]> = slots.iter().map(|_| Part::NONE).collect();
        for (slot, member, weight) in view.admitted() {
            // Slots are in order.
            if let Ok(index) = slots.binary_search(&slot) {
                parts[index] = Part::of(weight, member.weight, view.scale());
            }
        }
        let has_all =
            |(node, part): (&Node, &Part)| node.weight == Weight::ZERO || *part == Part::ALL;
        let whole = table.rest.is_none() && table.nodes.iter().zip(&parts).all(has_all);
        Self { table, slots: slots.into(), parts, whole }
    }

    /// The index of the backend that has the key, if it may be picked.
    #[inline(always)]
    pub(crate) fn owner(&self, key: HashKey) -> Option<usize> {
        let owner = self.table.of_policy.as_ref()?.lookup(key)?;
        if self.whole || self.may(owner, key) { Some(owner) } else { None }
    }

    fn may(&self, index: usize, key: HashKey) -> bool {
        self.parts[index].has(key, self.table.nodes[index])
    }

    /// The slot of a backend in the table.
    #[inline(always)]
    pub(crate) fn slot(&self, index: usize) -> Option<Slot> {
        self.slots.get(index).copied()
    }

    /// The index of the first backend in the key's order that may be picked, was not tried, and is
    /// `welcome`. `None` if there is none.
    #[cold]
    #[inline(never)]
    pub(crate) fn first(
        &self,
        key: HashKey,
        tried: &SlotSet,
        welcome: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let may = |i: usize| !tried.contains(self.slots[i]) && welcome(i);
        let with_keys = self.lookup_where(key, |i| may(i) && self.may(i, key));
        // With all others gone, one that has just begun takes more than its part.
        with_keys.or_else(|| self.lookup_where(key, |i| self.parts[i] != Part::NONE && may(i)))
    }

    fn lookup_where(&self, key: HashKey, allowed: impl Fn(usize) -> bool) -> Option<usize> {
        let first = self.table.of_policy.as_ref().and_then(|t| t.lookup_where(key, &allowed));
        first.or_else(|| self.table.rest.as_ref()?.lookup_where(key, allowed))
    }

    /// The key's order, as far as it can be picked from: for explanations.
    pub(crate) fn order(&self, key: HashKey) -> impl Iterator<Item = usize> + '_ {
        let order = self.table.of_policy.iter().flat_map(move |table| table.candidates(key));
        let rest = self.table.rest.iter().flat_map(move |rest| rest.candidates(key));
        order.chain(rest).filter(|&index| self.parts[index] != Part::NONE)
    }
}

impl<T: ConsistentHash> Table<T> {
    /// The table of these nodes. What it can't take in does not fail: weights that add up to too much
    /// are reduced in proportion; a server that it does not know has keys only when no other can
    /// have them; and where there is no room for so many nodes, all have keys by rendezvous.
    fn new(from: &T, nodes: Vec<Node>) -> Self {
        let mut fitting = nodes.clone();
        let of_policy = loop {
            match from.update(&fitting) {
                Ok(table) => break Some(table),
                Err(BuildError::WeightsTooLarge { sum, limit })
                    if reduce(&mut fitting, sum, limit) => {}
                Err(BuildError::UnknownServer(id)) if leave_out(&mut fitting, id) => {}
                Err(_) => break None,
            }
        };
        let complete = nodes.iter().zip(&fitting).all(|(node, fitting)| {
            (node.weight == Weight::ZERO) == (fitting.weight == Weight::ZERO)
        });
        let rest =
            if of_policy.is_some() && complete { None } else { Rendezvous::new(&nodes).ok() };
        Self { nodes: nodes.into(), of_policy, rest }
    }
}

/// Reduces weights in proportion, from `sum` to about `limit` in all and none to 0; says whether any
/// changed. Those that can't be less may make it too much once more.
fn reduce(nodes: &mut [Node], sum: u64, limit: u64) -> bool {
    let mut changed = false;
    for node in nodes.iter_mut().filter(|node| node.weight > Weight::ONE) {
        let weight = u64::from(node.weight.get());
        let reduced = (weight * limit / sum.max(1)).clamp(1, weight - 1);
        node.weight = Weight::new(reduced as u16);
        changed = true;
    }
    changed
}

/// Takes a node's weight from it; says whether it had one.
fn leave_out(nodes: &mut [Node], id: BackendId) -> bool {
    let node = nodes.iter_mut().find(|node| node.id == id && node.weight != Weight::ZERO);
    node.map(|node| node.weight = Weight::ZERO).is_some()
}
