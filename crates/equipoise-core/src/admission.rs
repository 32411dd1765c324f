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

/// Whether a backend answers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Health {
    /// It does, as far as anybody knows.
    #[default]
    Up,
    /// It does not.
    Down,
}

impl Admission {
    /// The decision, for every combination of inputs:
    ///
    /// | | enabled, weight > 0 | enabled, weight 0 | draining | disabled |
    /// |---|---|---|---|---|
    /// | **up** | `New` | `Established` | `Established` | `Never` |
    /// | **down** | `Never` | `Never` | `Never` | `Never` |
    ///
    /// ```
    /// use equipoise_core::{Admin, Admission, Health, Weight};
    ///
    /// assert_eq!(Admission::of(Admin::Enabled, Health::Up, Weight::ONE), Admission::New);
    /// assert_eq!(Admission::of(Admin::Draining, Health::Down, Weight::ONE), Admission::Never);
    /// ```
    pub const fn of(admin: Admin, health: Health, weight: Weight) -> Self {
        match (health, admin) {
            (Health::Down, _) | (_, Admin::Disabled) => Self::Never,
            (Health::Up, Admin::Draining) => Self::Established,
            (Health::Up, Admin::Enabled) if weight.get() == 0 => Self::Established,
            (Health::Up, Admin::Enabled) => Self::New,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_table() {
        use Admission::{Established, Never, New};
        let rows = [
            (Admin::Enabled, Health::Up, 1, New),
            (Admin::Enabled, Health::Up, u16::MAX, New),
            (Admin::Enabled, Health::Up, 0, Established),
            (Admin::Draining, Health::Up, 1, Established),
            (Admin::Draining, Health::Up, 0, Established),
            (Admin::Disabled, Health::Up, 1, Never),
            (Admin::Disabled, Health::Up, 0, Never),
            (Admin::Enabled, Health::Down, 1, Never),
            (Admin::Enabled, Health::Down, 0, Never),
            (Admin::Draining, Health::Down, 1, Never),
            (Admin::Draining, Health::Down, 0, Never),
            (Admin::Disabled, Health::Down, 1, Never),
            (Admin::Disabled, Health::Down, 0, Never),
        ];
        for (admin, health, weight, want) in rows {
            let got = Admission::of(admin, health, Weight::new(weight));
            assert_eq!(got, want, "{admin:?} {health:?} {weight}");
        }
    }
}
