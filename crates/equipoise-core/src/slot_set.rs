//! A small set of slots.

use alloc::vec::Vec;

use crate::Slot;

/// Eight backends tried, and eight found full.
const INLINE: usize = 16;

/// The slots that a pick must avoid: backends that this request has tried, or that are full.
///
/// Up to sixteen are kept in place; more go to the heap. Membership is a linear scan.
///
/// ```
/// use equipoise_core::{Slot, SlotSet};
///
/// let mut tried = SlotSet::new();
/// assert!(tried.insert(Slot::new(3)));
/// assert!(!tried.insert(Slot::new(3)));
/// assert!(tried.contains(Slot::new(3)) && tried.len() == 1);
/// ```
#[derive(Clone, Debug)]
pub struct SlotSet {
    inline: [Slot; INLINE],
    len: usize,
    spilled: Vec<Slot>,
}

impl SlotSet {
    /// The empty set.
    pub const EMPTY: Self = Self::new();

    /// An empty set.
    pub const fn new() -> Self {
        Self { inline: [Slot::new(0); INLINE], len: 0, spilled: Vec::new() }
    }

    /// Adds a slot; says whether it was new.
    pub fn insert(&mut self, slot: Slot) -> bool {
        if self.contains(slot) {
            return false;
        }
        match self.inline.get_mut(self.len) {
            Some(place) => *place = slot,
            None => self.spilled.push(slot),
        }
        self.len += 1;
        true
    }

    /// Whether the slot is in the set.
    #[inline]
    pub fn contains(&self, slot: Slot) -> bool {
        self.len != 0 && self.scan(slot)
    }

    /// Out of line, so that a pick which has tried nothing pays for one compare only.
    #[cold]
    #[inline(never)]
    fn scan(&self, slot: Slot) -> bool {
        self.iter().any(|s| s == slot)
    }

    /// Whether there is nothing in the set.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many slots are in the set.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// The slots, in the order in which they came.
    pub fn iter(&self) -> impl Iterator<Item = Slot> + '_ {
        self.inline[..self.len.min(INLINE)].iter().chain(&self.spilled).copied()
    }
}

impl Default for SlotSet {
    fn default() -> Self {
        Self::new()
    }
}

impl Extend<Slot> for SlotSet {
    fn extend<I: IntoIterator<Item = Slot>>(&mut self, slots: I) {
        for slot in slots {
            self.insert(slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_more_than_fit_in_place() {
        let mut set = SlotSet::new();
        set.extend((0..20).map(Slot::new));
        set.extend((0..20).map(Slot::new));
        assert_eq!(set.len(), 20);
        assert!(set.iter().eq((0..20).map(Slot::new)));
        assert!(set.contains(Slot::new(19)) && !set.contains(Slot::new(20)));
    }
}
