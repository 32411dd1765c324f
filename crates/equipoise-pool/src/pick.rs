//! From a request to a lease: the composition, step by step.

use equipoise_core::{
    Admission, BackendId, Considered, Excluded, Explanation, PickContext, Picker, PinAction,
    PinnedState, Reason, Rng, Slot, SlotSet, Turn,
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
    if request.tried().is_empty()
        && let Some(pin) = request.pin()
        && let Some(lease) = take_home(snapshot, request, pin)
    {
        return Ok(lease);
    }
    search(snapshot, *request, rng, turn, None)
}

/// Nearly every request of a session: the backend that has it takes it.
#[inline]
fn take_home<B, K: Picker>(
    snapshot: &Snapshot<B, K>,
    request: &Request<'_>,
    pin: BackendId,
) -> Option<Lease<B>> {
    let slot = snapshot.roster.slots.get(&pin)?;
    let out = snapshot.standings.get(slot.index())?.admission == Admission::Never;
    if out || request.is_in_surplus() {
        return None;
    }
    Lease::insist(snapshot.roster.seats.get(slot.index())?, request.now())
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

    /// Does as the table of pins says; see [`PinAction::of`].
    fn run(&mut self, considered: Option<&mut Vec<Considered>>) -> Result<Lease<B>, PickError> {
        let Some(pin) = self.request.pin() else { return self.place(considered) };
        let home = self.snapshot.roster.slots.get(&pin).copied();
        let action = |state| PinAction::of(Some(state), self.request.persistence());
        let mut state = self.state_of(home);
        if action(state) == PinAction::Use {
            if let Some(lease) = self.take_pinned(home) {
                return Ok(lease);
            }
            state = PinnedState::Full;
        }
        match (action(state), state) {
            (PinAction::Refuse, _) => Err(PickError::Pinned(state)),
            (PinAction::Visit, _) => self.place(considered).map(Lease::visiting),
            (_, PinnedState::Surplus) => {
                self.avoid.extend(home);
                // With nobody to move to, it stays.
                self.place(considered).or_else(|error| self.take_pinned(home).ok_or(error))
            }
            _ => self.place(considered),
        }
    }

    /// How the backend in this slot stands, for a request that is pinned to it.
    fn state_of(&self, home: Option<Slot>) -> PinnedState {
        let Some(slot) = home else { return PinnedState::Gone };
        match self.snapshot.standings[slot.index()].admission {
            _ if self.avoid.contains(slot) => PinnedState::Tried,
            Admission::Never => PinnedState::Out,
            Admission::Established => PinnedState::Draining,
            Admission::New if self.request.is_in_surplus() => PinnedState::Surplus,
            Admission::New => PinnedState::Fit,
        }
    }

    /// Whoever the policy says, and if it fails anybody who has a place.
    fn place(
        &mut self,
        mut considered: Option<&mut Vec<Considered>>,
    ) -> Result<Lease<B>, PickError> {
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

    fn take_pinned(&mut self, home: Option<Slot>) -> Option<Lease<B>> {
        let slot = home?;
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
