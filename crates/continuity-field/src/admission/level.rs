//! Classes of callers, and the levels the kernel decides on: the five classes plus what is above a caller's share.
//!
//! Only their order counts: a higher class is never cut before a lower one. Weights and values stay outside.

use std::fmt;

/// Number of [`Level`]s.
pub const LEVELS: usize = 6;

/// Priority class of a caller, highest first; `priority` of a policy's `callers[]` and its `defaultPriority`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Class {
    /// Refused last.
    Critical,
    /// Refused only if it alone exceeds what can be served.
    High,
    /// Where no rule says otherwise.
    #[default]
    Normal,
    /// Gives way to normal.
    Low,
    /// Refused first.
    Bulk,
}

impl Class {
    /// All of them, highest first.
    pub const ALL: [Self; 5] = [Self::Critical, Self::High, Self::Normal, Self::Low, Self::Bulk];

    /// Name as it stands in policies, status and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Critical => "Critical",
            Self::High => "High",
            Self::Normal => "Normal",
            Self::Low => "Low",
            Self::Bulk => "Bulk",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What the kernel decides on: a class, or the part of a caller's connects that is above its share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Within the caller's share.
    Class(Class),
    /// Above it, whatever the class: admitted while there is room.
    Excess,
}

impl Level {
    /// All of them, highest first; the order of every array of [`LEVELS`] entries.
    pub const ALL: [Self; LEVELS] = [
        Self::Class(Class::Critical),
        Self::Class(Class::High),
        Self::Class(Class::Normal),
        Self::Class(Class::Low),
        Self::Class(Class::Bulk),
        Self::Excess,
    ];

    /// Place in arrays of [`LEVELS`] entries.
    pub const fn index(self) -> usize {
        match self {
            Self::Class(class) => class as usize,
            Self::Excess => 5,
        }
    }

    /// Whether it keeps a reserve: critical and high.
    pub const fn reserved(self) -> bool {
        matches!(self, Self::Class(Class::Critical | Class::High))
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Class(class) => class.fmt(f),
            Self::Excess => f.write_str("Excess"),
        }
    }
}
