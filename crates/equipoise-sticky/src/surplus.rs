//! Bounded stickiness: which sessions may move when their backend has more than its share.
//!
//! Sessions stay where they are, so backends that join stay idle: the complaint of many
//! (kubernetes/ingress-nginx issues 4093, 4475 and 5944). The way out of it must not cost sessions
//! needlessly, nor move them to and fro.

use alloc::vec::Vec;
use core::fmt;
use core::hash::BuildHasherDefault;
use core::time::Duration;

use equipoise_core::{BackendId, IdHasher, Instant, Weight};
use hashbrown::HashMap;

/// When sessions may move. Checked when it is made.
///
/// ```
/// use core::time::Duration;
/// use equipoise_sticky::surplus::SurplusConfig;
///
/// let config = SurplusConfig::new(1.5, Duration::from_secs(30), Duration::from_secs(300))?;
/// assert_eq!(config.idle(), Duration::from_secs(300));
/// let error = SurplusConfig::new(0.9, config.interval(), config.idle()).unwrap_err();
/// assert_eq!(error.to_string(), "cap: 0.9 is out of range; allowed are 1.05 to 10");
/// # Ok::<(), equipoise_sticky::surplus::SurplusError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct SurplusConfig {
    cap: f64,
    interval: Duration,
    idle: Duration,
}

/// What is wrong with a [`SurplusConfig`].
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub enum SurplusError {
    /// `cap` is less than 1.05, more than 10, or no number.
    Cap(f64),
    /// `interval` is shorter than 100 ms or longer than a day.
    Interval(Duration),
    /// `idle` is longer than a week.
    Idle(Duration),
}

impl SurplusConfig {
    /// * `cap`: how many times its share of the sessions' requests a backend may have before some of
    ///   its sessions move; 1.05 to 10. 1.25 is the usual bound of consistent hashing with bounded loads
    ///   (Mirrokni, Thorup, Zadimoghaddam, 2016).
    /// * `interval`: for how long load is measured, and then for how long sessions may move; 100 ms to
    ///   a day. It should see some hundred requests a backend.
    /// * `idle`: how long a session must have asked nothing to be moved: the safe point. Choose it so
    ///   that nobody is in the middle of something; 0 to a week. 0 is right where any backend knows every
    ///   session.
    ///
    /// # Errors
    /// [`SurplusError`], naming the value that is out of range.
    pub fn new(cap: f64, interval: Duration, idle: Duration) -> Result<Self, SurplusError> {
        const DAY: Duration = Duration::from_secs(24 * 3600);
        if !(1.05..=10.0).contains(&cap) {
            return Err(SurplusError::Cap(cap));
        }
        if !(Duration::from_millis(100)..=DAY).contains(&interval) {
            return Err(SurplusError::Interval(interval));
        }
        if idle > DAY * 7 {
            return Err(SurplusError::Idle(idle));
        }
        Ok(Self { cap, interval, idle })
    }

    /// How many times its share a backend may have.
    pub const fn cap(&self) -> f64 {
        self.cap
    }

    /// For how long load is measured, and sessions may move.
    pub const fn interval(&self) -> Duration {
        self.interval
    }

    /// How long a session that moves must have asked nothing.
    pub const fn idle(&self) -> Duration {
        self.idle
    }
}

impl Default for SurplusConfig {
    /// 1.25 times the share, 10 s, and a minute without a request.
    fn default() -> Self {
        Self { cap: 1.25, interval: Duration::from_secs(10), idle: Duration::from_secs(60) }
    }
}

impl fmt::Display for SurplusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cap(cap) => write!(f, "cap: {cap} is out of range; allowed are 1.05 to 10"),
            Self::Interval(time) => {
                write!(f, "interval: {time:?} is out of range; allowed are 100 ms to a day")
            }
            Self::Idle(time) => {
                write!(f, "idle: {time:?} is out of range; allowed are 0 to a week")
            }
        }
    }
}

impl core::error::Error for SurplusError {}

/// Measures what sessions ask of their backends, and says which of them may move.
///
/// It takes turns: for an interval it measures, and nobody moves; for the next one sessions of the
/// backends above the cap may, and what is measured does not count, since it changes. So each round
/// acts on what the last one came to, and nothing overshoots.
///
/// Of a backend with load L and share S the part (L − S) / L of its sessions may move. Which ones
/// follows from the session and the round, not from how often it asks: one that asks a thousand times is
/// as likely to move as one that asks once, and all requests of a session hear the same. A backend below
/// the cap, or above it only by chance (three standard deviations of a Poisson count), loses nobody.
///
/// # Complexity
/// `on_request` and `may_move`: O(1), and O(log n) of backends that are above the cap. `poll`: O(n log n),
/// once an interval. Memory: some 32 bytes a backend.
///
/// ```
/// use core::time::Duration;
/// use equipoise_core::{BackendId, Instant, Weight};
/// use equipoise_sticky::surplus::{Surplus, SurplusConfig};
///
/// let config = SurplusConfig::new(1.25, Duration::from_secs(1), Duration::ZERO)?;
/// let (old, new) = (BackendId::named("old"), BackendId::named("new"));
/// let members = [(old, Weight::ONE), (new, Weight::ONE)];
/// let mut surplus = Surplus::new(config);
/// let second = |n| Instant::ZERO + Duration::from_secs(n);
/// surplus.poll(second(1), members); // begins to measure
/// for _ in 0..1_000 {
///     surplus.on_request(old); // the new one has no sessions yet
/// }
/// assert!(surplus.is_due(second(2)));
/// surplus.poll(second(2), members); // half of its sessions may move now
/// let moved = (0..1_000_u64).filter(|n| surplus.may_move(old, *n, Duration::ZERO)).count();
/// assert!((400..600).contains(&moved), "{moved}");
/// assert_eq!(surplus.above_share(), [old]);
/// # Ok::<(), equipoise_sticky::surplus::SurplusError>(())
/// ```
#[derive(Debug)]
pub struct Surplus {
    config: SurplusConfig,
    loads: HashMap<BackendId, u64, BuildHasherDefault<IdHasher>>,
    /// When the present interval ends.
    until: Instant,
    measures: bool,
    round: u64,
    /// Who is above the cap, in the order of ids, and which part of its sessions may move, in 2⁻³².
    movable: Vec<(BackendId, u32)>,
    above_share: Vec<BackendId>,
}

impl Surplus {
    /// Nothing is measured yet.
    pub fn new(config: SurplusConfig) -> Self {
        Self {
            config,
            loads: HashMap::default(),
            until: Instant::ZERO,
            measures: false,
            round: 0,
            movable: Vec::new(),
            above_share: Vec::new(),
        }
    }

    /// What it does.
    pub const fn config(&self) -> &SurplusConfig {
        &self.config
    }

    /// A request of a session goes to this backend.
    pub fn on_request(&mut self, backend: BackendId) {
        if self.measures {
            let load = self.loads.entry(backend).or_insert(0);
            *load = load.saturating_add(1);
        }
    }

    /// Whether [`poll`](Self::poll) is to be called.
    pub fn is_due(&self, now: Instant) -> bool {
        now >= self.until
    }

    /// Ends the interval, if it is over. `members` are the backends that take new sessions, with their
    /// weights, each once; the others count for nothing.
    pub fn poll(&mut self, now: Instant, members: impl IntoIterator<Item = (BackendId, Weight)>) {
        if !self.is_due(now) {
            return;
        }
        self.until = now + self.config.interval;
        self.movable.clear();
        self.above_share.clear();
        if self.measures {
            self.plan(members);
            self.round = self.round.wrapping_add(1);
        }
        self.loads.clear();
        // Where nobody may move there is nothing to wait for.
        self.measures = self.movable.is_empty();
    }

    fn plan(&mut self, members: impl IntoIterator<Item = (BackendId, Weight)>) {
        let loads = &self.loads;
        let load = |(id, weight): (BackendId, Weight)| {
            (id, loads.get(&id).copied().unwrap_or(0) as f64, f64::from(weight.get()))
        };
        let members: Vec<_> = members.into_iter().map(load).collect();
        let total: f64 = members.iter().map(|(_, load, _)| load).sum();
        let weights: f64 = members.iter().map(|(_, _, weight)| weight).sum();
        for (id, load, weight) in members {
            if weights <= 0.0 || load <= 0.0 {
                continue;
            }
            let share = total * weight / weights;
            let excess = load - share;
            if excess > 0.0 {
                self.above_share.push(id);
            }
            // Three standard deviations, compared as squares.
            let by_chance = excess * excess <= 9.0 * share;
            if load > self.config.cap * share && !by_chance {
                let part = excess / load * 4_294_967_296.0;
                self.movable.push((id, part as u32));
            }
        }
        self.movable.sort_unstable();
        if self.movable.is_empty() {
            self.above_share.clear();
        }
    }

    /// Whether a session may move away from its backend now. `session` is any number that is the
    /// session's own and that clients can't choose, such as a part of its digest; `idle` is how long it
    /// has asked nothing, at least.
    pub fn may_move(&self, backend: BackendId, session: u64, idle: Duration) -> bool {
        if self.movable.is_empty() || idle < self.config.idle {
            return false;
        }
        let Ok(index) = self.movable.binary_search_by_key(&backend, |(id, _)| *id) else {
            return false;
        };
        let part = self.movable.get(index).map_or(0, |(_, part)| *part);
        // The finalizer of MurmurHash3, so that each round draws others.
        let mut drawn = session ^ self.round.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        drawn = (drawn ^ (drawn >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        drawn = (drawn ^ (drawn >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        ((drawn >> 32) as u32) < part
    }

    /// Whom a session that moves should not go to: those that have their share already. Empty while
    /// nobody may move.
    pub fn above_share(&self) -> &[BackendId] {
        &self.above_share
    }
}
