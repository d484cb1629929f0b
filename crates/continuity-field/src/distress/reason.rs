//! Why a node is well or not, with the numbers that decided.

use std::fmt;

use super::{Distress, Resource, Signal};
use crate::ttf::TimeToFailure;

/// Why the stage of a node changed, or what it cannot know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Tasks wait for something most of the time.
    Stalled {
        /// Since then it is.
        stage: Distress,
        /// For what.
        signal: Signal,
        /// Part of the time, permille: "some" where it strains, "full" where it drowns.
        permille: u32,
    },
    /// Little of a resource is left.
    Short {
        /// Since then it is.
        stage: Distress,
        /// Of what.
        resource: Resource,
        /// In use, permille of the bound.
        permille: u32,
    },
    /// A resource will be used up before anybody could act.
    Foretold {
        /// Which.
        resource: Resource,
        /// When.
        told: TimeToFailure,
    },
    /// It will not, after all.
    Averted {
        /// Which.
        resource: Resource,
    },
    /// A signal cannot be read.
    Missing {
        /// Which.
        signal: Signal,
    },
    /// Better for long enough.
    Eased {
        /// Before.
        from: Distress,
        /// Now.
        to: Distress,
    },
}

impl Reason {
    /// Name for events and metrics, CamelCase.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Stalled { .. } => "NodeStalled",
            Self::Short { .. } => "NodeShort",
            Self::Foretold { .. } => "NodeFailureForetold",
            Self::Averted { .. } => "NodeFailureAverted",
            Self::Missing { .. } => "NodeSignalMissing",
            Self::Eased { .. } => "NodeEased",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Stalled {
                stage,
                signal,
                permille,
            } => write!(
                f,
                "{stage}: {} for {}.{} % of the time, in 7 of 10 s",
                signal.name(),
                permille / 10,
                permille % 10
            ),
            Self::Short {
                stage,
                resource,
                permille,
            } => write!(
                f,
                "{stage}: {}.{} % of its {} in use",
                permille / 10,
                permille % 10,
                resource.name()
            ),
            Self::Foretold { resource, told } => {
                write!(f, "its {} {told}", resource.name())
            }
            Self::Averted { resource } => {
                write!(
                    f,
                    "its {} will not be used up within the reaction window any more",
                    resource.name()
                )
            }
            Self::Missing { signal } => {
                write!(
                    f,
                    "{} cannot be read: nothing is concluded from it",
                    signal.name()
                )
            }
            Self::Eased { from, to } => write!(f, "{from} → {to}: calm for 30 s"),
        }
    }
}
