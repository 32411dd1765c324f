//! Why a backend was picked, and the others were not.

use alloc::vec::Vec;
use core::fmt;

use crate::{Admin, Admission, BackendId, Condition, Drain, Health, Passive, Slot};

/// One backend that a picker looked at.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Considered<K = Slot> {
    /// Which one.
    pub backend: K,
    /// What the policy made of it: the lower, the better, in the policy's own unit.
    pub score: f64,
}

impl<K> Considered<K> {
    /// A backend and its score.
    pub const fn new(backend: K, score: f64) -> Self {
        Self { backend, score }
    }
}

/// One backend that could not be picked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Excluded {
    /// Which one.
    pub backend: BackendId,
    /// Why not.
    pub reason: Reason,
}

/// Why a backend could not be picked.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Reason {
    /// The operator took it out of service.
    Disabled,
    /// Its active check says that it is down.
    Down,
    /// Its first checks have not decided yet.
    Pending,
    /// Its traffic went so badly that it is taken out for a time.
    Ejected,
    /// It drains: only its established sessions get through.
    Draining,
    /// It drained until its time for that was over.
    Drained,
    /// Its weight is 0.
    WeightZero,
    /// This request has tried it.
    Tried,
    /// It has as many requests in flight as it may.
    Full {
        /// The limit that was hit.
        limit: u32,
    },
    /// Its policy would rather have the request elsewhere: it has its bounded share already.
    OverShare,
    /// It is a backup of this tier, and a better tier has served the request.
    Backup {
        /// Its tier; 0 is the best.
        tier: u8,
    },
}

impl Reason {
    /// Why a backend in this condition takes no new requests; `None` where it does. It names what
    /// weighs most: the order is that of [`Admission::of`].
    pub const fn of(condition: &Condition) -> Option<Self> {
        let drain = condition.drain;
        match (condition.admin, condition.health, condition.passive) {
            (Admin::Disabled, _, _) => Some(Self::Disabled),
            (_, Health::Down, _) => Some(Self::Down),
            (_, Health::Pending, _) => Some(Self::Pending),
            (_, _, Passive::Ejected) => Some(Self::Ejected),
            _ if matches!(drain, Drain::Over) => Some(Self::Drained),
            (Admin::Draining, _, _) => Some(Self::Draining),
            _ if matches!(drain, Drain::Wanted) => Some(Self::Draining),
            _ if condition.weight.get() == 0 => Some(Self::WeightZero),
            _ => None,
        }
    }

    /// What a backend may still take that takes no new requests for this reason.
    pub(crate) const fn admission(self) -> Admission {
        match self {
            Self::Draining | Self::WeightZero => Admission::Established,
            Self::Disabled | Self::Down | Self::Pending | Self::Ejected | Self::Drained => {
                Admission::Never
            }
            // Reasons of a request, not of the backend.
            Self::Tried | Self::Full { .. } | Self::OverShare | Self::Backup { .. } => {
                Admission::New
            }
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disabled => f.write_str("disabled"),
            Self::Down => f.write_str("down"),
            Self::Pending => f.write_str("not checked yet"),
            Self::Ejected => f.write_str("ejected"),
            Self::Drained => f.write_str("drained"),
            Self::Draining => f.write_str("draining"),
            Self::WeightZero => f.write_str("weight 0"),
            Self::Tried => f.write_str("tried before"),
            Self::Full { limit } => write!(f, "full: {limit} in flight"),
            Self::OverShare => f.write_str("over its share"),
            Self::Backup { tier } => write!(f, "backup (tier {tier})"),
        }
    }
}

/// The account of one pick: who was considered with what score, who was excluded and why.
///
/// Its `Display` is a line a backend, for a log or a person.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Explanation {
    /// Who was picked; nobody, if the pick failed.
    pub picked: Option<BackendId>,
    /// Whom the policy looked at, in that order; one that is in here twice was looked at twice. If
    /// all of them turned out to be full, the pool goes through the rest of the list itself, and the
    /// backend that was picked may not be in here.
    pub considered: Vec<Considered<BackendId>>,
    /// Who could not be picked.
    pub excluded: Vec<Excluded>,
    /// Whether a pin named the backend, so that no policy was asked.
    pub pinned: bool,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.picked {
            Some(id) if self.pinned => writeln!(f, "picked {id}: the request is pinned to it")?,
            Some(id) => writeln!(f, "picked {id}")?,
            None => writeln!(f, "picked nobody")?,
        }
        for Considered { backend, score } in &self.considered {
            writeln!(f, "  considered {backend}: score {score}")?;
        }
        for Excluded { backend, reason } in &self.excluded {
            writeln!(f, "  excluded {backend}: {reason}")?;
        }
        Ok(())
    }
}
