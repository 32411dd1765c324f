//! Who may take what: the one decision that health and operators come down to.

use crate::Weight;

/// What a backend may take. Decided when a snapshot is published, never at a pick.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Admission {
    /// Any request.
    New,
    /// Only requests of sessions that it has already: it drains.
    Established,
    /// Nothing.
    Never,
}

/// What the operator wants of a backend.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Admin {
    /// In service.
    #[default]
    Enabled,
    /// Keep the sessions it has, give it no new ones.
    Draining,
    /// Out of service.
    Disabled,
}

/// What the active check says of a backend: does its application answer as it should?
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Health {
    /// It does, as far as anybody knows; also where nothing checks.
    #[default]
    Up,
    /// Nobody knows yet: the first checks decide, and nothing goes there before.
    Pending,
    /// It does not.
    Down,
}

/// What a backend's own traffic says of it: do its requests fail more than those of others?
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Passive {
    /// Nothing is held against it.
    #[default]
    Clear,
    /// It was ejected, and may show with one request at a time that it works again: half-open.
    Trial,
    /// It is taken out for a time.
    Ejected,
}

/// Whether a backend is to be drained: keep the sessions it has, and get no new ones.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Drain {
    /// Nobody wants that.
    #[default]
    No,
    /// It is: its check says so, or whoever announced it.
    Wanted,
    /// It was, whoever wanted it, and its time is over: those who are still there have to go.
    Over,
}

/// The part of its weight that a backend has: less than all while it starts slowly.
///
/// It is more than 0 and at most 1, in units of 2⁻¹⁶, so that every backend that may have requests
/// has some.
///
/// ```
/// use equipoise_core::Share;
///
/// assert_eq!(Share::new(0.25).get(), 0.25);
/// assert_eq!(Share::new(7.0), Share::FULL);
/// assert!(Share::new(0.0).get() > 0.0);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Share(u16);

impl Share {
    /// All of it.
    pub const FULL: Self = Self(u16::MAX);
    /// The least part.
    pub const LEAST: Self = Self(0);

    /// The part nearest to this fraction; what is out of range, or no number, is brought into it.
    pub fn new(fraction: f64) -> Self {
        // The cast saturates, and makes 0 of what is no number.
        Self::from_units((fraction * 65_536.0 + 0.5) as u32)
    }

    /// The part in units of 2⁻¹⁶, brought into 1 to 65,536.
    pub const fn from_units(units: u32) -> Self {
        Self(if units > 65_536 { u16::MAX } else { units.saturating_sub(1) as u16 })
    }

    /// The fraction.
    pub fn get(self) -> f64 {
        f64::from(self.units()) / 65_536.0
    }

    /// This part of `scale` times a weight; never 0, unless the weight is. The scale is what lets a
    /// weight of 1 have parts; of 65,535 or more it is cut there.
    pub const fn of(self, weight: Weight, scale: u16) -> Weight {
        let full = weight.get() as u64 * scale as u64;
        let part = (full * self.units() as u64) >> 16;
        Weight::new(if part > u16::MAX as u64 {
            u16::MAX
        } else if part == 0 && full > 0 {
            1
        } else {
            part as u16
        })
    }

    /// In units of 2⁻¹⁶: 1 to 65,536.
    pub const fn units(self) -> u32 {
        self.0 as u32 + 1
    }
}

impl Default for Share {
    fn default() -> Self {
        Self::FULL
    }
}

/// What health checking found of a backend: all of its [`Condition`] that is not up to the operator,
/// and its part in traffic.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Finding {
    /// What its active check says.
    pub health: Health,
    /// What its traffic says.
    pub passive: Passive,
    /// Whether it asks to be drained, and how long it has been.
    pub drain: Drain,
    /// The part of its weight that it has.
    pub share: Share,
}

impl Finding {
    /// Nothing is known, so nothing is held against it: the default.
    pub const UNKNOWN: Self =
        Self { health: Health::Up, passive: Passive::Clear, drain: Drain::No, share: Share::FULL };
}

/// All that decides what a backend may take.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Condition {
    /// What the operator wants.
    pub admin: Admin,
    /// What its active check says.
    pub health: Health,
    /// What its traffic says.
    pub passive: Passive,
    /// Whether it is to be drained, apart from what the operator wants.
    pub drain: Drain,
    /// Its configured weight.
    pub weight: Weight,
}

impl Admission {
    /// The decision, for every condition. The first row that fits:
    ///
    /// | condition | admission |
    /// |---|---|
    /// | disabled | `Never` |
    /// | down, or not checked yet | `Never` |
    /// | ejected | `Never` |
    /// | draining, and its time for that is over | `Never` |
    /// | draining, by the operator's or its own wish | `Established` |
    /// | weight 0 | `Established` |
    /// | all others, one on trial too | `New` |
    ///
    /// ```
    /// use equipoise_core::{Admission, Condition, Drain, Health, Passive};
    ///
    /// let mut condition = Condition::default();
    /// assert_eq!(Admission::of(&condition), Admission::New);
    /// condition.drain = Drain::Wanted;
    /// assert_eq!(Admission::of(&condition), Admission::Established);
    /// condition.passive = Passive::Ejected;
    /// assert_eq!(Admission::of(&condition), Admission::Never);
    /// ```
    pub const fn of(condition: &Condition) -> Self {
        match crate::Reason::of(condition) {
            None => Self::New,
            Some(reason) => reason.admission(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Reason;

    #[test]
    fn a_part_of_a_weight_is_never_nothing() {
        assert_eq!(Share::new(0.25).of(Weight::new(8), 1), Weight::new(2));
        assert_eq!(Share::new(0.25).of(Weight::ONE, 128), Weight::new(32));
        assert_eq!(Share::LEAST.of(Weight::ONE, 1), Weight::ONE);
        assert_eq!(Share::FULL.of(Weight::MAX, 1), Weight::MAX);
        assert_eq!(Share::FULL.of(Weight::MAX, u16::MAX), Weight::MAX);
        assert_eq!(Share::FULL.of(Weight::ZERO, 128), Weight::ZERO);
    }

    const ADMIN: [Admin; 3] = [Admin::Enabled, Admin::Draining, Admin::Disabled];
    const HEALTH: [Health; 3] = [Health::Up, Health::Pending, Health::Down];
    const PASSIVE: [Passive; 3] = [Passive::Clear, Passive::Trial, Passive::Ejected];

    /// The whole table: for each health (rows) and passive state (columns) the admission of an
    /// enabled, a draining and a disabled backend, as N(ew), E(stablished) or `-`; once for a
    /// backend of some weight that does not ask to be drained, once for any other but one whose time to
    /// drain is over.
    const PLAIN: [[&str; 3]; 3] = [["NE-", "NE-", "---"], ["---"; 3], ["---"; 3]];
    const DRAINED: [[&str; 3]; 3] = [["EE-", "EE-", "---"], ["---"; 3], ["---"; 3]];

    #[test]
    fn the_whole_table() {
        let mut rows = 0;
        for (h, health) in HEALTH.into_iter().enumerate() {
            for (p, passive) in PASSIVE.into_iter().enumerate() {
                for (a, admin) in ADMIN.into_iter().enumerate() {
                    use Drain::{No, Over, Wanted};
                    let others = [(No, 1), (No, u16::MAX), (No, 0), (Wanted, 1), (Wanted, 0)];
                    for (drain, weight) in others.into_iter().chain([(Over, 1), (Over, 0)]) {
                        let weight = Weight::new(weight);
                        let condition = Condition { admin, health, passive, drain, weight };
                        let plain = drain == No && weight != Weight::ZERO;
                        let table = if plain { PLAIN } else { DRAINED };
                        let want = match table[h][p].as_bytes()[a] {
                            _ if drain == Over => Admission::Never,
                            b'N' => Admission::New,
                            b'E' => Admission::Established,
                            _ => Admission::Never,
                        };
                        assert_eq!(Admission::of(&condition), want, "{condition:?}");
                        let reason = Reason::of(&condition);
                        assert_eq!(reason.is_none(), want == Admission::New, "{condition:?}");
                        rows += 1;
                    }
                }
            }
        }
        assert_eq!(rows, 3 * 3 * 3 * 7);
    }
}
