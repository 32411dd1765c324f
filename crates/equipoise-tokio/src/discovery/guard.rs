//! A guard against updates that are too small to be true.

use std::fmt;
use std::time::Duration;

use equipoise_core::Instant;

use super::{DiscoveryError, Endpoint};

/// What to do with an update that names no backend.
///
/// Both were reported to Envoy as bugs: that an empty answer removed all backends (envoy#2691), and
/// that it did not (envoy#20890). Which is right depends on whether the source can be trusted.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum EmptyUpdate {
    /// Keep the last set: an empty one is a fault of the source.
    #[default]
    KeepLast,
    /// Believe it: the service was scaled down to nothing.
    Accept,
}

/// When a [`Guard`] refuses an update.
///
/// ```
/// use std::time::Duration;
/// use equipoise_tokio::discovery::GuardSettings;
///
/// let settings = GuardSettings::default().min_percent(50)?.max_hold(Duration::from_secs(600))?;
/// let error = settings.min_percent(101).unwrap_err();
/// assert_eq!(error.to_string(), "min_percent: `101` is not allowed; allowed is 0 to 100");
/// # Ok::<(), equipoise_tokio::discovery::DiscoveryError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct GuardSettings {
    empty: EmptyUpdate,
    min_percent: u8,
    max_hold: Option<Duration>,
}

impl GuardSettings {
    /// Sets what becomes of an empty update. By default the last set is kept.
    pub const fn empty(mut self, empty: EmptyUpdate) -> Self {
        self.empty = empty;
        self
    }

    /// Refuses an update with fewer backends than this share of the last: 0 to 100 %. By default
    /// 0 %: any update that is not empty is accepted. What becomes of an empty one is up to
    /// [`empty`](Self::empty) alone.
    ///
    /// # Errors
    /// The share is over 100 %.
    pub fn min_percent(mut self, percent: u8) -> Result<Self, DiscoveryError> {
        if percent > 100 {
            let (field, allowed) = ("min_percent", "0 to 100");
            return Err(DiscoveryError::Setting { field, given: percent.to_string(), allowed });
        }
        self.min_percent = percent;
        Ok(self)
    }

    /// Accepts an update after all, when the source has insisted for so long. By default never.
    ///
    /// # Errors
    /// The time is 0: that would be no guard.
    pub fn max_hold(mut self, hold: Duration) -> Result<Self, DiscoveryError> {
        if hold.is_zero() {
            let (field, allowed) = ("max_hold", "any time over 0");
            return Err(DiscoveryError::Setting { field, given: format!("{hold:?}"), allowed });
        }
        self.max_hold = Some(hold);
        Ok(self)
    }
}

/// Keeps the last good set when an update is empty, or far smaller.
///
/// It does no I/O: offer it each update, and poll it at its deadline. A spurious call changes
/// nothing. Each operation is O(1).
///
/// ```
/// use equipoise_core::Instant;
/// use equipoise_tokio::discovery::{Endpoint, Guard, GuardSettings, Verdict};
///
/// let mut guard = Guard::new(GuardSettings::default());
/// let set = vec![Endpoint::new("10.0.0.1:80".parse().unwrap())];
/// assert_eq!(guard.offer(Instant::ZERO, set.clone()), Verdict::Accepted(set));
/// let Verdict::Refused(refusal) = guard.offer(Instant::ZERO, vec![]) else { panic!() };
/// assert_eq!(refusal.to_string(), "an update to 0 backends was refused; the last 1 is kept");
/// ```
#[derive(Clone, Debug)]
pub struct Guard {
    settings: GuardSettings,
    /// How many backends the last accepted set has.
    kept: usize,
    held: Option<Held>,
}

/// The last update that was refused, since nothing better came.
#[derive(Clone, Debug)]
struct Held {
    set: Vec<Endpoint>,
    since: Instant,
}

/// What became of an update.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Use this set.
    Accepted(Vec<Endpoint>),
    /// Keep the last one, and tell the operator.
    Refused(Refusal),
}

/// An update that a guard refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Refusal {
    /// How many backends the update has.
    pub offered: usize,
    /// How many backends the set has that is kept; 0 if there was none yet.
    pub kept: usize,
    /// In how long the update is accepted after all, if nothing better comes; `None` is never.
    pub accepted_in: Option<Duration>,
}

impl Guard {
    /// A guard that has seen no set yet.
    pub const fn new(settings: GuardSettings) -> Self {
        Self { settings, kept: 0, held: None }
    }

    /// An update that the source has.
    pub fn offer(&mut self, now: Instant, set: Vec<Endpoint>) -> Verdict {
        if !self.refuses(set.len()) {
            return Verdict::Accepted(self.accept(set));
        }
        // The time counts from the first refusal: a source that shrinks step by step insists.
        let since = self.held.as_ref().map_or(now, |held| held.since);
        let accepted_in = self.settings.max_hold.map(|hold| (since + hold).since(now));
        if accepted_in == Some(Duration::ZERO) {
            return Verdict::Accepted(self.accept(set));
        }
        let refusal = Refusal { offered: set.len(), kept: self.kept, accepted_in };
        self.held = Some(Held { set, since });
        Verdict::Refused(refusal)
    }

    /// The update that was held back, once its time has come.
    pub fn poll(&mut self, now: Instant) -> Option<Vec<Endpoint>> {
        if self.deadline()? > now {
            return None;
        }
        let held = self.held.take()?;
        Some(self.accept(held.set))
    }

    /// When to poll, if ever.
    pub fn deadline(&self) -> Option<Instant> {
        Some(self.held.as_ref()?.since + self.settings.max_hold?)
    }

    fn accept(&mut self, set: Vec<Endpoint>) -> Vec<Endpoint> {
        self.kept = set.len();
        self.held = None;
        set
    }

    fn refuses(&self, offered: usize) -> bool {
        if offered == 0 {
            return self.settings.empty == EmptyUpdate::KeepLast;
        }
        let least = self.kept.saturating_mul(usize::from(self.settings.min_percent));
        offered.saturating_mul(100) < least
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { offered, kept, accepted_in } = *self;
        let are = if kept == 1 { "is" } else { "are" };
        write!(f, "an update to {offered} backends was refused; the last {kept} {are} kept")?;
        accepted_in.map_or(Ok(()), |time| write!(f, " for {time:?} at most"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn set(count: usize) -> Vec<Endpoint> {
        (1..=count).map(|n| Endpoint::new(([10, 0, 0, 1], n as u16).into())).collect()
    }

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    fn is_accepted(verdict: &Verdict) -> bool {
        matches!(verdict, Verdict::Accepted(_))
    }

    #[test]
    fn an_empty_update_is_a_policy() {
        let mut guard = Guard::new(GuardSettings::default());
        assert!(is_accepted(&guard.offer(at(0), set(4))));
        let refusal = Refusal { offered: 0, kept: 4, accepted_in: None };
        assert_eq!(guard.offer(at(1), vec![]), Verdict::Refused(refusal));
        assert_eq!((guard.deadline(), guard.poll(at(1_000_000))), (None, None));

        // Whatever the share is that other updates must have.
        let settings = GuardSettings::default().empty(EmptyUpdate::Accept).min_percent(50);
        let mut guard = Guard::new(settings.unwrap());
        assert!(is_accepted(&guard.offer(at(0), set(4))));
        assert_eq!(guard.offer(at(1), vec![]), Verdict::Accepted(vec![]));
    }

    #[test]
    fn the_share_is_counted_from_the_last_accepted_set() {
        let mut guard = Guard::new(GuardSettings::default().min_percent(50).unwrap());
        assert!(is_accepted(&guard.offer(at(0), set(10))));
        assert!(!is_accepted(&guard.offer(at(1), set(4))));
        assert!(!is_accepted(&guard.offer(at(1), set(4))));
        assert!(is_accepted(&guard.offer(at(2), set(5))));
        assert!(is_accepted(&guard.offer(at(3), set(3))));
    }

    #[test]
    fn a_source_that_insists_is_believed_at_the_time_and_not_before() {
        let settings = GuardSettings::default().max_hold(Duration::from_secs(60)).unwrap();
        let mut guard = Guard::new(settings.min_percent(50).unwrap());
        guard.offer(at(0), set(10));
        guard.offer(at(100), set(2));
        // Another refusal does not start the time anew; the last one is what is held.
        let accepted_in = Some(Duration::from_secs(20));
        let refusal = Refusal { offered: 0, kept: 10, accepted_in };
        assert_eq!(guard.offer(at(140), vec![]), Verdict::Refused(refusal));
        assert_eq!(guard.deadline(), Some(at(160)));
        assert_eq!(guard.poll(at(159)), None);
        assert_eq!(guard.poll(at(160)), Some(vec![]));
        assert_eq!(guard.poll(at(161)), None);

        // A better update ends the wait.
        guard.offer(at(200), set(10));
        guard.offer(at(201), set(1));
        assert!(is_accepted(&guard.offer(at(202), set(9))));
        assert_eq!((guard.deadline(), guard.poll(at(1_000))), (None, None));
    }

    proptest! {
        #[test]
        fn keep_last_never_hands_out_an_empty_set_before_its_time(
            percent in 0_u8..=100,
            hold in proptest::option::of(1_u64..50),
            steps in proptest::collection::vec((any::<bool>(), 0_u64..20, 0_usize..8), 1..60),
        ) {
            let mut settings = GuardSettings::default().min_percent(percent).unwrap();
            if let Some(hold) = hold {
                settings = settings.max_hold(Duration::from_secs(hold)).unwrap();
            }
            let mut guard = Guard::new(settings);
            let (mut now, mut kept, mut refused_since) = (0, 0_usize, None);
            for (polls, passes, count) in steps {
                now += passes;
                let accepted = if polls {
                    guard.poll(at(now))
                } else {
                    match guard.offer(at(now), set(count)) {
                        Verdict::Accepted(accepted) => Some(accepted),
                        Verdict::Refused(refusal) => {
                            prop_assert!(count == 0 || count * 100 < kept * usize::from(percent));
                            prop_assert_eq!((refusal.offered, refusal.kept), (count, kept));
                            refused_since.get_or_insert(now);
                            None
                        }
                    }
                };
                if let Some(accepted) = accepted {
                    let is_small = accepted.len() * 100 < kept * usize::from(percent);
                    if accepted.is_empty() || is_small {
                        let insisted = refused_since.map(|since| now - since);
                        prop_assert!(hold.is_some() && insisted >= hold, "{insisted:?} {hold:?}");
                    }
                    (kept, refused_since) = (accepted.len(), None);
                }
            }
        }
    }
}
