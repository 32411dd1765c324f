//! A backend as it is configured, and as it stands.

use std::num::NonZeroU32;

use equipoise_core::{Admin, Admission, BackendId, Finding, Runs, Weight};

/// A backend as the caller configures it: an id, the caller's own value, and how it takes part.
///
/// **The id stands for the value.** An update that finds the id in the pool keeps the value that it
/// has. So what must not change unnoticed, an address say, belongs into the id; or remove the
/// backend and insert it anew.
///
/// ```
/// use equipoise_core::{BackendId, Weight};
/// use equipoise_pool::Spec;
///
/// let spec = Spec::new(BackendId::named("db-2"), "10.0.0.2:5432").weight(Weight::new(3)).tier(1);
/// assert_eq!(spec.id(), BackendId::named("db-2"));
/// ```
#[derive(Clone, Debug)]
pub struct Spec<B> {
    pub(crate) id: BackendId,
    pub(crate) backend: B,
    pub(crate) settings: Settings,
    pub(crate) finding: Finding,
}

/// What an update may change about a backend that stays.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Settings {
    pub(crate) weight: Weight,
    pub(crate) tier: u8,
    pub(crate) limit: Option<NonZeroU32>,
}

impl<B> Spec<B> {
    /// A backend of weight 1, in tier 0, without a limit.
    pub const fn new(id: BackendId, backend: B) -> Self {
        let settings = Settings { weight: Weight::ONE, tier: 0, limit: None };
        Self { id, backend, settings, finding: Finding::UNKNOWN }
    }

    /// Sets what is known of its health when it joins: by default nothing is held against it. One
    /// that is in the pool already keeps what was found of it since.
    pub const fn finding(mut self, finding: Finding) -> Self {
        self.finding = finding;
        self
    }

    /// Sets the weight.
    pub const fn weight(mut self, weight: Weight) -> Self {
        self.settings.weight = weight;
        self
    }

    /// Sets the tier. Tier 0 is used first; a backend of another tier is a backup, picked only
    /// when no backend of a lower tier can be.
    pub const fn tier(mut self, tier: u8) -> Self {
        self.settings.tier = tier;
        self
    }

    /// Sets how many requests it may have in flight. A backend that is removed and comes back under
    /// the same id is a new one, and starts to count at 0.
    pub const fn max_in_flight(mut self, limit: NonZeroU32) -> Self {
        self.settings.limit = Some(limit);
        self
    }

    /// The id.
    pub const fn id(&self) -> BackendId {
        self.id
    }
}

/// How a backend stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Status {
    /// Who it is.
    pub id: BackendId,
    /// Its configured weight.
    pub weight: Weight,
    /// Its tier; 0 is used first.
    pub tier: u8,
    /// How many requests it may have in flight.
    pub max_in_flight: Option<NonZeroU32>,
    /// What the operator wants of it.
    pub admin: Admin,
    /// What health checking found of it.
    pub finding: Finding,
    /// What it may take, which follows from these.
    pub admission: Admission,
    /// Requests in flight.
    pub in_flight: u32,
    /// How many of its last requests failed in a row; all 0, if the pool is not
    /// [`watched`](crate::Pool::watched).
    pub runs: Runs,
}
