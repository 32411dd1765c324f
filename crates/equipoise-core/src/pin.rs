//! Pins: a session's bond with its backend, and what becomes of it.

use core::fmt;

use crate::{BackendId, Instant};

/// What becomes of a session when its backend can't take its request.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Persistence {
    /// It moves to another backend, and stays there.
    #[default]
    Repin,
    /// The request goes to another backend, and the session comes back when its own can take it.
    Hold,
    /// The request is refused: no other backend would do.
    Refuse,
}

/// How the backend of a pin stands when a request of the session comes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PinnedState {
    /// It takes any request.
    Fit,
    /// It takes only what its sessions ask.
    Draining,
    /// It takes any request, but has more than its share, and the session may move now.
    Surplus,
    /// It has no place at the moment.
    Full,
    /// This request has tried it, in vain.
    Tried,
    /// It takes nothing: it is down, ejected or disabled.
    Out,
    /// Nobody knows it any more.
    Gone,
}

impl fmt::Display for PinnedState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fit => "takes requests",
            Self::Draining => "takes those of its sessions",
            Self::Surplus => "has more than its share",
            Self::Full => "is full",
            Self::Tried => "was tried in vain",
            Self::Out => "is out of service",
            Self::Gone => "is gone",
        })
    }
}

/// What to do with a request that belongs to a session.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PinAction {
    /// Pick a backend and pin the session to it.
    Place,
    /// Use the backend that it is pinned to.
    Use,
    /// Pick another backend and pin the session to that one.
    Move,
    /// Pick another backend for this request alone; the pin stays.
    Visit,
    /// Refuse the request; the pin stays.
    Refuse,
}

impl PinAction {
    /// The decision, for every case; `pinned` is `None` for a request without a pin, or with one
    /// that nobody can use: forged, expired, of another pool.
    ///
    /// | backend of the pin | `Repin` | `Hold` | `Refuse` |
    /// |---|---|---|---|
    /// | no pin | place | place | place |
    /// | fit | use | use | use |
    /// | draining | use | use | use |
    /// | surplus | move | use | use |
    /// | full | visit | visit | refuse |
    /// | tried | move | visit | refuse |
    /// | out | move | visit | refuse |
    /// | gone | move | move | refuse |
    ///
    /// A backend is full for a moment, so nobody loses a session for that.
    ///
    /// ```
    /// use equipoise_core::{Persistence, PinAction, PinnedState};
    ///
    /// let out = Some(PinnedState::Out);
    /// assert_eq!(PinAction::of(out, Persistence::Repin), PinAction::Move);
    /// assert_eq!(PinAction::of(out, Persistence::Hold), PinAction::Visit);
    /// assert_eq!(PinAction::of(out, Persistence::Refuse), PinAction::Refuse);
    /// ```
    pub const fn of(pinned: Option<PinnedState>, persistence: Persistence) -> Self {
        use Persistence::{Hold, Refuse, Repin};
        use PinnedState::{Draining, Fit, Full, Gone, Out, Surplus, Tried};
        let Some(state) = pinned else { return Self::Place };
        match (state, persistence) {
            (Fit | Draining, _) | (Surplus, Hold | Refuse) => Self::Use,
            (Surplus | Tried | Out | Gone, Repin) | (Gone, Hold) => Self::Move,
            (Full, Repin | Hold) | (Tried | Out, Hold) => Self::Visit,
            (Full | Tried | Out | Gone, Refuse) => Self::Refuse,
        }
    }
}

/// What a request brought of a session.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub enum Pin {
    /// Nothing.
    #[default]
    Absent,
    /// Something that pins it to nobody: it is forged, expired, unknown or of another pool.
    Unusable,
    /// The backend of its session.
    To(BackendId),
}

/// What came of a request's pin: a word for logs, headers and counters.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PinOutcome {
    /// It had none, and has one now.
    New,
    /// What it brought was of no use, and it has a good one now.
    Miss,
    /// The backend of its session took it.
    Hit,
    /// The session has moved.
    Repinned,
    /// Another backend took it, and the session stays where it was.
    Held,
    /// It was refused.
    Refused,
}

impl PinOutcome {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::New, Self::Miss, Self::Hit, Self::Repinned, Self::Held, Self::Refused];

    /// What came of it, when this backend took the request; `visits` if the pin was to stay.
    pub fn of(pin: Pin, taken_by: BackendId, visits: bool) -> Self {
        match pin {
            Pin::Absent => Self::New,
            Pin::Unusable => Self::Miss,
            Pin::To(backend) if backend == taken_by => Self::Hit,
            Pin::To(_) if visits => Self::Held,
            Pin::To(_) => Self::Repinned,
        }
    }

    /// In a word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Miss => "miss",
            Self::Hit => "hit",
            Self::Repinned => "repin",
            Self::Held => "held",
            Self::Refused => "refused",
        }
    }

    /// Whether the session has a backend now that it had not before: the client has to be told, or a
    /// table.
    pub const fn pins(self) -> bool {
        matches!(self, Self::New | Self::Miss | Self::Repinned)
    }
}

/// Whoever knows which session belongs to which backend: a table.
///
/// All take `&self`, from any thread, and never wait for I/O.
pub trait Sessions {
    /// What tells sessions apart.
    type Key: ?Sized;

    /// The backend of a session that lives; its idle time starts anew.
    fn lookup(&self, key: &Self::Key, now: Instant) -> Option<BackendId>;

    /// Pins a session, unless it is pinned. Says to whom it is pinned now: of several that bind at
    /// once one wins, and all hear of the same one.
    fn bind(&self, key: &Self::Key, backend: BackendId, now: Instant) -> BackendId;

    /// Moves a session from one backend to another, if it is still pinned to the first one or to
    /// nobody. Says to whom it is pinned now.
    fn rebind(&self, key: &Self::Key, from: BackendId, to: BackendId, now: Instant) -> BackendId;
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    #[test]
    fn the_whole_table() {
        use PinnedState::{Draining, Fit, Full, Gone, Out, Surplus, Tried};
        // The actions' first letters, for re-pin, hold and refuse.
        let table = [
            (None, "PPP"),
            (Some(Fit), "UUU"),
            (Some(Draining), "UUU"),
            (Some(Surplus), "MUU"),
            (Some(Full), "VVR"),
            (Some(Tried), "MVR"),
            (Some(Out), "MVR"),
            (Some(Gone), "MMR"),
        ];
        for (state, row) in table {
            let policies = [Persistence::Repin, Persistence::Hold, Persistence::Refuse];
            for (policy, letter) in policies.into_iter().zip(row.chars()) {
                let action = format!("{:?}", PinAction::of(state, policy));
                assert!(action.starts_with(letter), "{state:?} {policy:?}: {action}");
            }
        }
    }

    #[test]
    fn what_came_of_a_pin() {
        let [a, b] = ["a", "b"].map(BackendId::named);
        for (pin, visits, expected) in [
            (Pin::Absent, false, PinOutcome::New),
            (Pin::Unusable, false, PinOutcome::Miss),
            (Pin::To(a), false, PinOutcome::Hit),
            (Pin::To(a), true, PinOutcome::Hit),
            (Pin::To(b), false, PinOutcome::Repinned),
            (Pin::To(b), true, PinOutcome::Held),
        ] {
            assert_eq!(PinOutcome::of(pin, a, visits), expected);
        }
    }
}
