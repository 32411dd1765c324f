//! Rendezvous hashing, run once for each slot of a table.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use equipoise_core::HashKey;

use crate::mix::{mix, spread};
use crate::node::{Change, Live, live};
use crate::owners::{Owners, TableSize};
use crate::quota::fill_within_quotas;
use crate::race::{Newcomer, Race, Time};
use crate::{BuildError, ConsistentHash, Node};

/// A table whose slots belong to nodes by weighted rendezvous: picked from with one load, like
/// [`Maglev`](crate::Maglev), but a change moves no key that it need not.
///
/// Every node races for every slot, and the first owns it; a key belongs to the owner of the slot
/// that it hashes to. A node that joins takes its slots from all others and gives them back when it
/// leaves, and no slot moves between two others.
///
/// Shares vary as those of random draws do: of M slots, a node expects M/n, give or take √(M/n): at
/// 1,000 nodes and 65,536 slots, the fullest has 1.4 times the mean, and at 10,000 nodes some have no
/// slot. More slots help, or [`with_quota`], which bounds shares for some needless moves.
///
/// The order of candidates is that of arrival in the slot's race, so a key goes where it would go
/// if those before it were not there.
///
/// # Complexity
/// A lookup: O(1), one load. Building: O(M · n). [`update`](ConsistentHash::update): O(M) for each
/// node that joins or leaves. Memory: 2 bytes a slot (4 with more than 65,536 nodes) and about 50 a
/// node.
///
/// # Source
/// Rendezvous hashing: Thaler and Ravishankar 1998, weights by Schindelhauer and Schomaker 2005.
/// Filling a table's slots with it is our own; Mirrokni's bounded loads and Gale and Shapley's
/// deferred acceptance are what the quotas follow.
///
/// [`with_quota`]: Self::with_quota
///
/// ```
/// use equipoise_hash::{BackendId, ConsistentHash, HashKey, Node, RendezvousTable};
///
/// let nodes: Vec<_> = (0..50).map(|id| Node::new(BackendId::new(id))).collect();
/// let table = RendezvousTable::new(&nodes)?;
/// let fewer = table.update(&nodes[..49])?;
/// for key in (0..1000).map(HashKey::new) {
///     let (before, after) = (table.lookup(key).unwrap(), fewer.lookup(key).unwrap());
///     assert!(before == after || before == 49);
/// }
/// # Ok::<(), equipoise_hash::BuildError>(())
/// ```
#[derive(Clone, Debug)]
pub struct RendezvousTable {
    nodes: Box<[Node]>,
    size: TableSize,
    quota: Option<u16>,
    race: Race,
    owners: Owners,
    /// No winner of a slot was later.
    slowest: Time,
}

impl RendezvousTable {
    /// The largest quota, in percent over the share.
    pub const MAX_QUOTA: u16 = 1_000;

    /// The table of these nodes, with 65,536 slots.
    ///
    /// # Errors
    /// [`BuildError::DuplicateId`]; [`BuildError::TooManyNodes`], more than there are slots.
    pub fn new(nodes: &[Node]) -> Result<Self, BuildError> {
        Self::build(nodes, TableSize::DEFAULT, None)
    }

    /// The table of these nodes, with so many slots: 1 to 2²⁴. A hundred for each node keep a share
    /// within a tenth or so of what it should be.
    ///
    /// # Errors
    /// What [`new`](Self::new) refuses, and [`BuildError::OutOfRange`].
    pub fn with_size(nodes: &[Node], slots: usize) -> Result<Self, BuildError> {
        Self::build(nodes, TableSize::new(slots)?, None)
    }

    /// The same table, in which no node has more than its share of the slots and `percent` of that,
    /// rounded up: 0 for the balance of [`Maglev`](crate::Maglev). A node keeps the slots that it
    /// won by most; the others go on to the next node in the slot's order that has room.
    ///
    /// Which slots these are depends on the nodes alone. A change then moves some more keys than it
    /// must, the more the tighter the quota. Building takes longer, 20 to 130 ms at 1,000 nodes, and an
    /// [`update`](ConsistentHash::update) builds anew.
    ///
    /// # Errors
    /// [`BuildError::OutOfRange`]: at most 1,000 percent.
    pub fn with_quota(&self, percent: u16) -> Result<Self, BuildError> {
        if percent > Self::MAX_QUOTA {
            let given = percent.into();
            return Err(BuildError::OutOfRange {
                setting: "quota",
                given,
                min: 0,
                max: Self::MAX_QUOTA.into(),
            });
        }
        Self::build(&self.nodes, self.size, Some(percent))
    }

    /// How many slots each node has.
    pub fn slots(&self) -> Vec<usize> {
        self.owners.counts(self.nodes.len())
    }

    fn build(nodes: &[Node], size: TableSize, quota: Option<u16>) -> Result<Self, BuildError> {
        let live = live(nodes)?;
        size.check_room(live.len())?;
        let race = Race::new(&live);
        let mut slowest = Time::ZERO;
        let owners = match quota {
            _ if live.is_empty() => Owners::none(),
            Some(percent) => fill_within_quotas(&live, nodes.len(), &race, size, percent),
            None => Owners::from_fn(size, nodes.len(), |slot| {
                live[raced(&race, slot_key(slot), &mut slowest)].index
            }),
        };
        Ok(Self { nodes: nodes.into(), size, quota, race, owners, slowest })
    }

    /// The table over `nodes` from this one: slots whose owner stays may go to a newcomer that is
    /// faster, and only those whose owner left are raced for by all.
    fn changed(&self, nodes: &[Node], live: &[Live], change: &Change) -> Self {
        let all = Race::new(live);
        let mut slowest = self.slowest;
        let index = |place: u32| live.get(place as usize).map_or(Change::LEFT, |node| node.index);
        let now: Vec<u32> = change.stayed.iter().map(|&place| index(place)).collect();
        let mut owners = self.owners.translate(&now);
        for (slot, owner) in owners.iter_mut().enumerate().filter(|(_, o)| **o == Change::LEFT) {
            *owner = live[raced(&all, slot_key(slot), &mut slowest)].index;
        }
        let mut places = vec![0; nodes.len()];
        live.iter().enumerate().for_each(|(place, node)| places[node.index as usize] = place);
        for &joined in &change.joined {
            let newcomer = Newcomer::new(joined, &all, slowest);
            for (slot, owner) in owners.iter_mut().enumerate() {
                if newcomer.beats(slot_key(slot), &all, || places[*owner as usize]) {
                    *owner = live[joined].index;
                }
            }
        }
        let owners = Owners::from_list(&owners, nodes.len());
        Self { nodes: nodes.into(), size: self.size, quota: None, race: all, owners, slowest }
    }
}

/// Who wins a slot; notes if nobody was slower.
fn raced(race: &Race, key: u64, slowest: &mut Time) -> usize {
    let (time, place) = race.first(key).unwrap_or((Time::ZERO, 0));
    *slowest = time.max(*slowest);
    place
}

/// The key that nodes race with for a slot.
pub(crate) const fn slot_key(slot: usize) -> u64 {
    mix(slot as u64 ^ 0xa409_3822_299f_31d0)
}

impl Default for RendezvousTable {
    /// A table of no nodes, with the default settings.
    fn default() -> Self {
        let (nodes, race, owners) = (Box::default(), Race::new(&[]), Owners::none());
        Self { nodes, size: TableSize::DEFAULT, quota: None, race, owners, slowest: Time::ZERO }
    }
}

impl ConsistentHash for RendezvousTable {
    fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    #[inline(always)]
    fn lookup(&self, key: HashKey) -> Option<usize> {
        self.owners.get(self.owners.slot(spread(key)))
    }

    fn lookup_where(&self, key: HashKey, allowed: impl Fn(usize) -> bool) -> Option<usize> {
        let owner = self.lookup(key)?;
        if allowed(owner) {
            return Some(owner);
        }
        self.race.winner_where(slot_key(self.owners.slot(spread(key))), allowed)
    }

    /// The result depends on the nodes alone; O(M) for each node that joins, leaves or changes its
    /// weight.
    fn update(&self, nodes: &[Node]) -> Result<Self, BuildError> {
        let live = live(nodes)?;
        self.size.check_room(live.len())?;
        let change = Change::new(self.nodes.len(), self.race.members(), &live);
        // Starting anew is as quick when much has changed; and quotas depend on everybody.
        if self.quota.is_some()
            || self.race.is_empty()
            || (change.joined.len() + change.left) * 4 > live.len()
        {
            return Self::build(nodes, self.size, self.quota);
        }
        Ok(self.changed(nodes, &live, &change))
    }
}
