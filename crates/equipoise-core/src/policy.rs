//! The traits: a policy builds pickers, a picker picks.

use alloc::sync::Arc;
use core::any::Any;

use crate::{BackendId, Instant, Load, LoadReport, PickContext, Sample, Slot, Weight};

/// The recipe by which a pool chooses: it builds a [`Picker`] for each snapshot.
///
/// # A policy of your own
/// A policy that always takes the admitted backend with the smallest id, and the next one when a
/// request has tried that. It takes no notice of weights, so of the contract suite it promises
/// nothing beyond what every policy must keep (`Promises::none()`):
///
/// ```
/// use equipoise_core::{BackendId, PickContext, Picker, Policy, Slot, View};
///
/// struct SmallestId;
///
/// struct ById(Vec<(BackendId, Slot)>);
///
/// impl Policy for SmallestId {
///     type Picker = ById;
///
///     fn build(&self, view: &View<'_>, _previous: Option<&ById>) -> ById {
///         let mut list: Vec<_> = view.admitted().map(|(slot, member, _)| (member.id, slot)).collect();
///         list.sort();
///         ById(list)
///     }
/// }
///
/// impl Picker for ById {
///     fn pick(&self, context: &mut PickContext<'_>) -> Option<Slot> {
///         self.0.iter().map(|&(_, slot)| slot).find(|&slot| !context.tried().contains(slot))
///     }
/// }
/// ```
///
/// Run it through the contract suite of `equipoise-testkit` to learn whether it keeps its side of
/// the bargain.
pub trait Policy: Send + Sync {
    /// What [`build`](Self::build) makes.
    type Picker: Picker;

    /// Whether a pick is by the request's key. A configuration that gives none is then refused.
    fn needs_key(&self) -> bool {
        false
    }

    /// Whether a request without a key is refused. Where it is not, the policy picks for it in some
    /// other way.
    fn refuses_without_key(&self) -> bool {
        false
    }

    /// What the policy keeps about a backend that joins, if anything. It lives as long as the
    /// backend, over every update, and hears of each of its requests. [`build`](Self::build) finds
    /// it in [`Member::tracker`].
    fn track(&self, id: BackendId) -> Option<Arc<dyn Tracker>> {
        let _ = id;
        None
    }

    /// Builds the picker of one tier of a new snapshot; also when nobody in it is admitted.
    /// `previous` is the picker of that tier in the snapshot before, so that tables can be reused
    /// when only health has changed.
    ///
    /// Must be total: no backends, weights of 0 and of 65,535, ten thousand backends.
    fn build(&self, view: &View<'_>, previous: Option<&Self::Picker>) -> Self::Picker;
}

/// An immutable value that picks, over one snapshot.
///
/// # The contract
/// * [`pick`](Self::pick) returns a slot that the [`View`] admitted and that is not in
///   [`PickContext::tried`]; `None` if and only if there is no such slot. (A request without a key
///   does not come here if the policy [refuses](Policy::refuses_without_key) it.)
/// * It never blocks, allocates, panics or reads a clock.
/// * It is up to the policy whether its shares follow the weights of the admitted backends.
///
/// The contract suite in `equipoise-testkit` checks it.
pub trait Picker: Any + Send + Sync {
    /// Picks a backend.
    fn pick(&self, context: &mut PickContext<'_>) -> Option<Slot>;
}

/// What a policy keeps about one backend, and what it hears of the backend's requests.
///
/// A pool calls these from whichever thread a request is on. Each request that was picked calls
/// [`try_begin`](Self::try_begin) or [`on_begin`](Self::on_begin) once and [`on_end`](Self::on_end)
/// once, whatever happens to it; [`on_sample`](Self::on_sample) comes between, if the request came to
/// an end of its own.
pub trait Tracker: Any + Send + Sync {
    /// Whether the tracker hears of begins and ends. Asked
    /// once, when the backend joins; say `false` where they do nothing, and requests don't pay for
    /// the calls.
    fn counts_requests(&self) -> bool {
        true
    }

    /// A request is about to go to the backend. `false` sends it elsewhere as long as there is anybody
    /// else, and then nothing has begun; so a policy can keep a bound exactly that several workers
    /// push against at a time.
    fn try_begin(&self) -> bool {
        self.on_begin();
        true
    }

    /// A request goes to the backend, whatever the tracker says: nobody else is left, or it is
    /// bound to this one.
    fn on_begin(&self) {}

    /// A request ended, or was given up.
    fn on_end(&self) {}

    /// A request came to an end that says something about the backend.
    fn on_sample(&self, sample: &Sample) {
        let _ = sample;
    }

    /// The backend, or a balancer in front of it, reported its load.
    fn on_report(&self, now: Instant, report: &LoadReport) {
        let _ = (now, report);
    }
}

/// All that a policy may know of a backend.
#[derive(Clone)]
pub struct Member {
    /// Who it is.
    pub id: BackendId,
    /// The configured weight. [`View::admitted`] has the one to use.
    pub weight: Weight,
    /// The tier that it belongs to. [`View::tier`] is the one that a picker is built for.
    pub tier: u8,
    /// Its requests in flight.
    pub load: Load,
    /// What the policy made in [`Policy::track`].
    pub tracker: Option<Arc<dyn Tracker>>,
}

impl Member {
    /// What the policy keeps about this backend, if it is a `T`.
    pub fn tracker<T: Tracker>(&self) -> Option<Arc<T>> {
        let tracker: Arc<dyn Any + Send + Sync> = self.tracker.clone()?;
        tracker.downcast().ok()
    }
}

impl core::fmt::Debug for Member {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Member")
            .field("id", &self.id)
            .field("weight", &self.weight)
            .field("tier", &self.tier)
            .field("load", &self.load)
            .finish_non_exhaustive()
    }
}

/// The backends as a policy sees them when it builds a picker.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    members: &'a Arc<[Member]>,
    admitted: &'a [Slot],
    weights: &'a [Weight],
    scale: u16,
    tier: u8,
}

impl<'a> View<'a> {
    /// A view of `members`, of which those in the slots `admitted` may be picked; `weights` are
    /// their weights in effect (a backend in slow start has less than it was given), slot by
    /// slot of `members`.
    ///
    /// A slot that is out of range or has weight 0 in effect is not admitted, whatever the list
    /// says: so a picker may rely on both.
    pub const fn new(
        members: &'a Arc<[Member]>,
        admitted: &'a [Slot],
        weights: &'a [Weight],
    ) -> Self {
        Self { members, admitted, weights, scale: 1, tier: 0 }
    }

    /// Says that the weights in effect are so many times as large as those of the members: where a
    /// backend has a part of its weight, and that is small, whole numbers need it.
    pub const fn scaled(mut self, scale: u16) -> Self {
        self.scale = scale;
        self
    }

    /// How many times as large as those of the members the weights in effect are: one that has all
    /// of its weight has so many times its weight, up to rounding.
    pub const fn scale(&self) -> u16 {
        self.scale
    }

    /// Says which tier the view is of. A policy builds one picker for each.
    pub const fn in_tier(mut self, tier: u8) -> Self {
        self.tier = tier;
        self
    }

    /// The tier that the admitted backends belong to; lower ones are used first.
    pub const fn tier(&self) -> u8 {
        self.tier
    }

    /// All backends, admitted or not, by slot. A picker may keep a clone of the list.
    pub const fn members(&self) -> &'a Arc<[Member]> {
        self.members
    }

    /// The backends that may be picked, in the order of their slots as given, each with its weight
    /// in effect, which is not 0.
    pub fn admitted(&self) -> impl Iterator<Item = (Slot, &'a Member, Weight)> + use<'a> {
        let (members, weights) = (self.members, self.weights);
        self.admitted.iter().filter_map(move |&slot| {
            let weight = *weights.get(slot.index()).filter(|w| **w != Weight::ZERO)?;
            Some((slot, members.get(slot.index())?, weight))
        })
    }
}
