//! A table from slots to nodes.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use crate::BuildError;
use crate::mix::place;

/// How many slots a table has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TableSize(u32);

impl TableSize {
    /// 2¹⁶: with two bytes a slot, it fits into the second-level cache.
    pub(crate) const DEFAULT: Self = Self(1 << 16);
    const MAX: usize = 1 << 24;

    pub(crate) const fn new(slots: usize) -> Result<Self, BuildError> {
        if slots == 0 || slots > Self::MAX {
            let (given, max) = (slots as u64, Self::MAX as u64);
            return Err(BuildError::OutOfRange { setting: "slots", given, min: 1, max });
        }
        Ok(Self(slots as u32))
    }

    pub(crate) const fn get(self) -> usize {
        self.0 as usize
    }

    /// Whether there is a slot for each of so many nodes.
    pub(crate) const fn check_room(self, nodes: usize) -> Result<(), BuildError> {
        if nodes > self.get() {
            return Err(BuildError::TooManyNodes { nodes, limit: self.get() });
        }
        Ok(())
    }
}

/// Which node owns each slot, by its index in the caller's list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Owners {
    /// Up to 65,536 nodes.
    Narrow(Box<[u16]>),
    /// More.
    Wide(Box<[u32]>),
}

impl Owners {
    /// The most nodes that a narrow table has.
    pub(crate) const NARROW: usize = 1 << 16;

    /// Nobody owns anything, for there is nobody.
    pub(crate) fn none() -> Self {
        Self::Narrow(Box::default())
    }

    /// Asks who owns each slot, of `nodes` in all.
    pub(crate) fn from_fn(
        size: TableSize,
        nodes: usize,
        mut owner: impl FnMut(usize) -> u32,
    ) -> Self {
        if nodes <= Self::NARROW {
            Self::Narrow((0..size.get()).map(|slot| owner(slot) as u16).collect())
        } else {
            Self::Wide((0..size.get()).map(&mut owner).collect())
        }
    }

    /// The owner of each slot, of `nodes` in all.
    pub(crate) fn from_list(owners: &[u32], nodes: usize) -> Self {
        if nodes <= Self::NARROW {
            Self::Narrow(owners.iter().map(|&owner| owner as u16).collect())
        } else {
            Self::Wide(owners.into())
        }
    }

    /// What `new` has for the owner of each slot.
    pub(crate) fn translate(&self, new: &[u32]) -> Vec<u32> {
        match self {
            Self::Narrow(owners) => owners.iter().map(|&old| new[usize::from(old)]).collect(),
            Self::Wide(owners) => owners.iter().map(|&old| new[old as usize]).collect(),
        }
    }

    /// The slot of a hash, by its high bits.
    #[inline(always)]
    pub(crate) fn slot(&self, hash: u64) -> usize {
        place(hash, self.len())
    }

    /// The owner of a slot; `None` if there is no such slot.
    #[inline(always)]
    pub(crate) fn get(&self, slot: usize) -> Option<usize> {
        match self {
            Self::Narrow(owners) => owners.get(slot).map(|&owner| usize::from(owner)),
            Self::Wide(owners) => owners.get(slot).map(|&owner| owner as usize),
        }
    }

    #[inline(always)]
    fn len(&self) -> usize {
        match self {
            Self::Narrow(owners) => owners.len(),
            Self::Wide(owners) => owners.len(),
        }
    }

    /// How many slots each of `nodes` owns.
    pub(crate) fn counts(&self, nodes: usize) -> Vec<usize> {
        let mut counts = vec![0; nodes];
        for slot in 0..self.len() {
            if let Some(count) = self.get(slot).and_then(|owner| counts.get_mut(owner)) {
                *count += 1;
            }
        }
        counts
    }
}
