//! The backends at one moment, as picks see them.

use std::sync::Arc;

use equipoise_core::{Admission, Member, Reason, Share, Slot};

use crate::id_map::IdMap;
use crate::record::Owner;

/// The backends at one moment, with the pickers over them. Never changes.
pub(crate) struct Snapshot<B, K> {
    pub(crate) roster: Arc<Roster<B>>,
    /// What policies see of the roster, by slot.
    pub(crate) members: Arc<[Member]>,
    /// By slot.
    pub(crate) standings: Box<[Standing]>,
    /// Every tier that has a backend, best first.
    tiers: Box<[Tier<K>]>,
    /// The first of them that has somebody to pick, if any does.
    active: usize,
    /// Whether a request without a key is refused.
    pub(crate) needs_key: bool,
}

/// Who is in the pool, by slot. Snapshots share it until a backend joins or leaves.
pub(crate) struct Roster<B> {
    pub(crate) seats: Box<[Seat<B>]>,
    pub(crate) slots: IdMap<Slot>,
}

/// A backend's entry in a roster.
pub(crate) struct Seat<B> {
    pub(crate) owner: Arc<Owner<B>>,
    /// Whether it has a limit on its requests in flight, or is on trial. It stands here, beside the
    /// pointer, so that requests for the others need not look.
    pub(crate) guarded: bool,
}

/// How a backend stands in a snapshot.
#[derive(Clone, Copy)]
pub(crate) struct Standing {
    pub(crate) admission: Admission,
    /// Why it isn't [`Admission::New`].
    pub(crate) reason: Option<Reason>,
    pub(crate) share: Share,
    pub(crate) tier: u8,
}

/// One tier.
pub(crate) struct Tier<K> {
    pub(crate) number: u8,
    pub(crate) admitted: Box<[Slot]>,
    pub(crate) picker: K,
}

impl<B, K> Snapshot<B, K> {
    /// A snapshot with these tiers, best first.
    pub(crate) fn new(
        roster: Arc<Roster<B>>,
        members: Arc<[Member]>,
        standings: Box<[Standing]>,
        tiers: Box<[Tier<K>]>,
        needs_key: bool,
    ) -> Self {
        let live = tiers.iter().position(|tier| !tier.admitted.is_empty());
        Self { roster, members, standings, active: live.unwrap_or(tiers.len()), tiers, needs_key }
    }

    /// The tier that new requests go to.
    #[inline]
    pub(crate) fn active_tier(&self) -> Option<&Tier<K>> {
        self.tiers.get(self.active)
    }

    /// The tiers that have somebody to pick, best first.
    pub(crate) fn live_tiers(&self) -> impl Iterator<Item = &Tier<K>> {
        self.tiers.iter().filter(|tier| !tier.admitted.is_empty())
    }

    /// The tier of this number.
    pub(crate) fn tier(&self, number: u8) -> Option<&Tier<K>> {
        self.tiers.iter().find(|tier| tier.number == number)
    }
}
