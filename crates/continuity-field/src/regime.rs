//! Posture of a set on a node.

use std::fmt;

/// How the set is doing, as a posture: worse at once, better after a dwell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Regime {
    /// Everything flows.
    #[default]
    Laminar,
    /// Something is being corrected.
    Transition,
    /// The set as a whole does not carry what is asked of it.
    Crisis,
    /// The crisis is over; its debt is being repaid before everything opens.
    Recovery,
}

impl Regime {
    /// Name as it stands in status, metrics and events.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Laminar => "Laminar",
            Self::Transition => "Transition",
            Self::Crisis => "Crisis",
            Self::Recovery => "Recovery",
        }
    }
}

impl fmt::Display for Regime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What the kernel is asked to enforce.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Enforcement {
    /// Everybody is admitted.
    #[default]
    Normal,
    /// The limiter sheds the lowest classes.
    Soft,
    /// Only the top class and the survival trickle.
    Hard,
}

impl Enforcement {
    /// Name as it stands in status, metrics and events.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Soft => "Soft",
            Self::Hard => "Hard",
        }
    }
}

impl fmt::Display for Enforcement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
