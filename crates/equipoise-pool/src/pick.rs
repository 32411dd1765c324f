//! From a request to a lease: the composition, step by step.

use equipoise_core::{
    Admission, Considered, Excluded, Explanation, PickContext, Picker, Reason, Rng, Slot, SlotSet,
    Turn,
};

use crate::lease::Refused;
use crate::snapshot::{Snapshot, Tier};
use crate::{Lease, PickError, Request};

/// How often the policy is asked in one tier before the rest is scanned: a policy that keeps
/// naming full backends can't make a pick slow.
const ASKED: usize = 8;

/// Picks a backend and takes a place on it.
#[inline(always)]
pub(crate) fn pick<B, K: Picker>(
    snapshot: &Snapshot<B, K>,
    request: &Request<'_>,
    rng: &mut Rng,
    mut turn: Turn<'_>,
) -> Result<Lease<B>, PickError> {
    // Nearly every request: no pin, nothing tried, and the first choice has a place.
    if request.tried().is_empty()
        && request.pin().is_none()
        && (!snapshot.needs_key || request.key().is_some())
        && let Some(tier) = snapshot.active_tier()
    {
        let mut context =
            PickContext::new(rng, turn.reborrow()).at(request.now()).with_key(request.key());
        if let Some(slot) = tier.picker.pick(&mut context)
            && let Some(seat) = snapshot.roster.seats.get(slot.index())
        {
            return match Lease::take(seat, request.now()) {
                Ok(lease) => Ok(lease),
                Err(why) => search(snapshot, *request, rng, turn, Some((slot, why))),
            };
        }
    }
    search(snapshot, *request, rng, turn, None)
}

/// Goes on where the fast path ended: with the backend that turned it away, if one did. Takes the
/// request by value: were its address taken, it could not stay in registers.
#[cold]
#[inline(never)]
fn search<B, K: Picker>(
    snapshot: &Snapshot<B, K>,
    request: Request<'_>,
    rng: &mut Rng,
    turn: Turn<'_>,
    refused: Option<(Slot, Refused)>,
) -> Result<Lease<B>, PickError> {
    let mut search = Search::new(snapshot, &request, rng, turn);
    if let Some((slot, why)) = refused {
        search.pass_over(slot, why);
    }
    search.run(None)
}

/// Picks, and accounts for it.
pub(crate) fn explain<B, K: Picker>(
    snapshot: &Snapshot<B, K>,
    request: &Request<'_>,
    rng: &mut Rng,
    turn: Turn<'_>,
) -> (Result<Lease<B>, PickError>, Explanation) {
    let mut considered = Vec::new();
    let mut search = Search::new(snapshot, request, rng, turn);
    let result = search.run(Some(&mut considered));
    let explanation = search.account(result.as_ref().ok(), &considered);
    (result, explanation)
}

/// The pick in full: with a pin, with backends tried, and when backends are full.
struct Search<'a, B, K> {
    snapshot: &'a Snapshot<B, K>,
    request: &'a Request<'a>,
    rng: &'a mut Rng,
    turn: Turn<'a>,
    /// Slots not to be picked: tried ones first, then those found full.
    avoid: SlotSet,
    tried: usize,
    /// The first slot that only the policy refused.
    unwelcome: Option<Slot>,
    pinned: bool,
}

impl<'a, B, K: Picker> Search<'a, B, K> {
    #[cold]
    fn new(
        snapshot: &'a Snapshot<B, K>,
        request: &'a Request<'a>,
        rng: &'a mut Rng,
        turn: Turn<'a>,
    ) -> Self {
        let mut avoid = SlotSet::new();
        avoid
            .extend(request.tried().iter().filter_map(|id| snapshot.roster.slots.get(id).copied()));
        let tried = avoid.len();
        Self { snapshot, request, rng, turn, avoid, tried, unwelcome: None, pinned: false }
    }

    fn run(&mut self, mut considered: Option<&mut Vec<Considered>>) -> Result<Lease<B>, PickError> {
        if let Some(lease) = self.take_pinned() {
            return Ok(lease);
        }
        let snapshot = self.snapshot;
        if snapshot.needs_key && self.request.key().is_none() && !snapshot.roster.seats.is_empty() {
            return Err(PickError::NoKey);
        }
        // Whom the fast path met was asked for in the first tier.
        let mut asked = self.avoid.len() - self.tried;
        for tier in snapshot.live_tiers() {
            for _ in asked..ASKED {
                let mut context = PickContext::new(self.rng, self.turn.reborrow())
                    .at(self.request.now())
                    .with_key(self.request.key())
                    .avoiding(&self.avoid)
                    .explained(considered.as_deref_mut());
                let Some(slot) = tier.picker.pick(&mut context) else { break };
                if self.avoid.contains(slot) {
                    // A policy that breaks its contract; the request's word counts.
                    break;
                }
                if let Some(lease) = self.take(slot) {
                    return Ok(lease);
                }
            }
            if let Some(lease) = self.scan(tier).or_else(|| self.insist()) {
                return Ok(lease);
            }
            asked = 0;
        }
        Err(self.error())
    }

    /// What a policy would rather not do is better than to turn a request away.
    fn insist(&mut self) -> Option<Lease<B>> {
        let seat = self.snapshot.roster.seats.get(self.unwelcome.take()?.index())?;
        Lease::insist(seat, self.request.now())
    }

    fn take_pinned(&mut self) -> Option<Lease<B>> {
        let slot = *self.snapshot.roster.slots.get(&self.request.pin()?)?;
        let standing = self.snapshot.standings.get(slot.index())?;
        if standing.admission == Admission::Never || self.avoid.contains(slot) {
            return None;
        }
        let seat = self.snapshot.roster.seats.get(slot.index())?;
        let lease = Lease::insist(seat, self.request.now());
        match lease {
            Some(_) => self.pinned = true,
            None => self.pass_over(slot, Refused::Full),
        }
        lease
    }

    /// Takes a place; a backend that has none is avoided from then on.
    fn take(&mut self, slot: Slot) -> Option<Lease<B>> {
        let seat = self.snapshot.roster.seats.get(slot.index())?;
        Lease::take(seat, self.request.now()).map_err(|why| self.pass_over(slot, why)).ok()
    }

    fn pass_over(&mut self, slot: Slot, why: Refused) {
        self.avoid.insert(slot);
        if why == Refused::ByPolicy {
            self.unwelcome.get_or_insert(slot);
        }
    }

    /// Whoever has a place, from anywhere in the tier.
    fn scan(&mut self, tier: &Tier<K>) -> Option<Lease<B>> {
        let start = self.rng.below(tier.admitted.len() as u32) as usize;
        let (before, after) = tier.admitted.split_at(start);
        for &slot in after.iter().chain(before) {
            if self.avoid.contains(slot) {
                continue;
            }
            let seat = &self.snapshot.roster.seats[slot.index()];
            match Lease::take(seat, self.request.now()) {
                Ok(lease) => return Some(lease),
                Err(Refused::ByPolicy) => _ = self.unwelcome.get_or_insert(slot),
                Err(Refused::Full) => {}
            }
        }
        None
    }

    fn error(&self) -> PickError {
        let admitted: usize = self.snapshot.live_tiers().map(|tier| tier.admitted.len()).sum();
        if self.snapshot.roster.seats.is_empty() {
            PickError::NoBackends
        } else if admitted == 0 {
            PickError::NoneAdmitted
        } else {
            let tried = self.tried_slots().filter(|&slot| self.is_admitted(slot)).count();
            PickError::Exhausted { tried, full: admitted - tried }
        }
    }

    fn tried_slots(&self) -> impl Iterator<Item = Slot> + '_ {
        self.avoid.iter().take(self.tried)
    }

    fn is_admitted(&self, slot: Slot) -> bool {
        self.snapshot.standings[slot.index()].admission == Admission::New
    }

    fn account(&self, lease: Option<&Lease<B>>, considered: &[Considered]) -> Explanation {
        let picked = lease.map(Lease::id);
        let snapshot = self.snapshot;
        let id = |slot: Slot| snapshot.members[slot.index()].id;
        let mut used_tier = snapshot.live_tiers().last().map(|tier| tier.number);
        if let Some(slot) = picked.and_then(|id| snapshot.roster.slots.get(&id)) {
            used_tier = Some(snapshot.standings[slot.index()].tier);
        }
        let exclude = |index: usize| {
            let slot = Slot::new(index as u32);
            let standing = &snapshot.standings[index];
            let places = &snapshot.roster.seats[index].owner.0.places;
            let limit = places.limit();
            let reason = if Some(id(slot)) == picked {
                None
            } else if self.tried_slots().any(|tried| tried == slot) {
                Some(Reason::Tried)
            } else if let Some(reason) = standing.reason {
                Some(reason)
            } else if places.is_full() || (self.avoid.contains(slot) && limit > 0) {
                Some(Reason::Full { limit })
            } else if self.avoid.contains(slot) {
                Some(Reason::OverShare)
            } else {
                let backup = used_tier.is_some_and(|used| standing.tier > used);
                backup.then_some(Reason::Backup { tier: standing.tier })
            };
            Some(Excluded { backend: id(slot), reason: reason? })
        };
        Explanation {
            picked,
            considered: considered
                .iter()
                .map(|c| Considered::new(id(c.backend), c.score))
                .collect(),
            excluded: (0..snapshot.members.len()).filter_map(exclude).collect(),
            pinned: self.pinned,
        }
    }
}
