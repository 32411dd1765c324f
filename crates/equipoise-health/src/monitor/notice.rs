//! What a monitor tells.

use core::fmt;
use core::time::Duration;

use equipoise_core::{BackendId, Health};

use crate::{EjectionCause, PanicEvent, Transition};

/// Something has happened that an operator may want to know.
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub enum Notice {
    /// A backend's active check thinks otherwise of it.
    Health {
        /// Which one.
        id: BackendId,
        /// What it thought, and thinks now.
        transition: Transition,
    },
    /// A backend was ejected.
    Ejected {
        /// Which one.
        id: BackendId,
        /// Why.
        cause: EjectionCause,
        /// For how long.
        time: Duration,
    },
    /// An ejected backend may show that it works again.
    Trial {
        /// Which one.
        id: BackendId,
    },
    /// An ejected backend is let in again.
    Cleared {
        /// Which one.
        id: BackendId,
    },
    /// A backend has drained as long as it may.
    Drained {
        /// Which one.
        id: BackendId,
    },
    /// Too few backends are healthy, or no longer.
    Panic(PanicEvent),
    /// Most requests fail wherever they go: nobody is an outlier, and the ejected are let in.
    GeneralFailure,
}

impl Notice {
    /// The backend that it is about; `None` if it is about the pool.
    pub const fn backend(&self) -> Option<BackendId> {
        match *self {
            Self::Health { id, .. }
            | Self::Ejected { id, .. }
            | Self::Trial { id }
            | Self::Cleared { id }
            | Self::Drained { id } => Some(id),
            Self::Panic(_) | Self::GeneralFailure => None,
        }
    }
}

impl fmt::Display for Notice {
    /// Without the backend's name, which a monitor does not know.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Health { transition, .. } => {
                let (from, to) = (transition.from, transition.to);
                match to.health {
                    Health::Up if from.health == to.health && to.drain => {
                        f.write_str("asks to be drained")
                    }
                    Health::Up if from.health == to.health => {
                        f.write_str("asks no longer to be drained")
                    }
                    Health::Up => f.write_str("up"),
                    Health::Pending => f.write_str("not checked yet"),
                    Health::Down => f.write_str("down"),
                }
            }
            Self::Ejected { cause, time, .. } => {
                write!(f, "ejected for {}: {cause}", super::report::Rounded(*time))
            }
            Self::Trial { .. } => f.write_str("on trial: one request at a time"),
            Self::Cleared { .. } => f.write_str("no longer ejected"),
            Self::Drained { .. } => {
                f.write_str("drained as long as it may: its sessions go elsewhere")
            }
            Self::Panic(event) => event.fmt(f),
            Self::GeneralFailure => {
                f.write_str("most requests fail wherever they go: ejections are lifted for a time")
            }
        }
    }
}
