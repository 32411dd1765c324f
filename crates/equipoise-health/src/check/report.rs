//! The words in which a check speaks.

use core::fmt;
use core::time::Duration;

use equipoise_core::Health;

/// Which probe an answer belongs to. A token is good for the probe that it was given for, and only
/// until that has ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Token(pub(super) u32);

/// What a probe came to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Verdict {
    /// The backend answered as it should.
    Pass,
    /// It answered as it should and asks for no new sessions. A pass as far as its health goes.
    Drain,
    /// It did not.
    Fail,
}

/// What there is to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "a probe that is due must be sent, or it times out"]
pub enum Poll {
    /// Nothing before the deadline.
    Idle,
    /// Send a probe and report its verdict with this token.
    Probe {
        /// What the answer must come with.
        token: Token,
        /// After this time the probe counts as failed. End it then: nobody waits for it any more.
        timeout: Duration,
    },
    /// The probe in flight took too long and counted as failed. The next one may be due: poll again.
    TimedOut {
        /// The probe that is over.
        token: Token,
        /// What changed.
        transition: Option<Transition>,
    },
}

/// What a check says of a backend: all that others need to know.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Standing {
    /// Whether its application answers.
    pub health: Health,
    /// Whether it asks for no new sessions.
    pub drain: bool,
}

/// A change of what a check says. The two differ in at least one field.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Transition {
    /// Before.
    pub from: Standing,
    /// After.
    pub to: Standing,
}

/// The answer came too late: its probe was given up, or another answer came first. Nothing changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Late;

impl fmt::Display for Late {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the answer belongs to a probe that is over")
    }
}

impl core::error::Error for Late {}

/// How far a backend is from its next change.
///
/// ```
/// use equipoise_health::Progress;
///
/// assert_eq!(Progress::Down { passes: 0, needed: 2 }.to_string(), "up in 2 checks");
/// assert_eq!(Progress::Up { failures: 2, needed: 1 }.to_string(), "down after 1 more failure");
/// assert_eq!(Progress::Up { failures: 0, needed: 3 }.to_string(), "up");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Progress {
    /// It is up.
    Up {
        /// Its failures in a row up to now.
        failures: u16,
        /// How many more take it down; at least 1.
        needed: u16,
    },
    /// It is down.
    Down {
        /// Its passes in a row up to now.
        passes: u16,
        /// How many more bring it up; at least 1.
        needed: u16,
    },
    /// Its first checks have not decided yet. One pass brings it up.
    Pending {
        /// Its failures in a row up to now.
        failures: u16,
        /// How many more take it down; at least 1.
        needed: u16,
    },
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let more = |needed: u16| if needed == 1 { "" } else { "s" };
        match *self {
            Self::Up { failures: 0, .. } => f.write_str("up"),
            Self::Up { needed, .. } => {
                write!(f, "down after {needed} more failure{}", more(needed))
            }
            Self::Down { needed, .. } => write!(f, "up in {needed} check{}", more(needed)),
            Self::Pending { needed: 1, .. } => f.write_str("the next check decides"),
            Self::Pending { needed, .. } => {
                write!(f, "up after the first pass, down after {needed} more failures")
            }
        }
    }
}
