//! What breaks, where and when; pure functions of time, so that every peer meets the same fault.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ScenarioError, range};
use crate::span::MILLI;

/// One fault.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// What happens.
    pub what: Kind,
    /// To whom.
    pub target: Target,
    /// From, ms.
    pub from_millis: u64,
    /// To, ms.
    pub to_millis: u64,
    /// If given, the fault is on and off by turns of this length, ms.
    #[serde(default)]
    pub alternate_millis: Option<u64>,
}

/// What happens to a backend.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Kind {
    /// Answers this much later; no worker is held meanwhile.
    Delay {
        /// ms.
        add_millis: f64,
    },
    /// Works at this multiple of its speed.
    Slow {
        /// 0.4 = two and a half times slower.
        speed: f64,
    },
    /// The speed falls evenly to this multiple at the end.
    Ramp {
        /// Speed at the end.
        speed: f64,
    },
    /// Accepts, then resets instead of answering.
    Reset {
        /// After how long, ms.
        after_millis: f64,
    },
    /// Refuses the connection.
    Refuse,
    /// Accepts and never answers.
    Hang,
    /// Gone with its zone: nothing comes back, not even from what it was working on.
    Vanish,
    /// A share of requests is reset at once, permille.
    Errors {
        /// Permille.
        permille: u32,
    },
}

/// Which backends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "who", rename_all = "snake_case", deny_unknown_fields)]
pub enum Target {
    /// The first so many.
    First {
        /// How many.
        count: u32,
    },
    /// These, counted from 0.
    List {
        /// Indices.
        backends: Vec<u32>,
    },
    /// A share of all, rounded, at least one.
    Share {
        /// Permille of all.
        permille: u32,
    },
    /// A share of all, and after each turn the next ones.
    Moving {
        /// Permille of all.
        permille: u32,
        /// Length of a turn, ms.
        turn_millis: u64,
    },
    /// Everybody.
    All,
}

impl Target {
    /// Whether `backend` of `count` is hit `since` ns after the start of the fault.
    #[must_use]
    pub fn hits(&self, backend: u32, count: u32, since: u64) -> bool {
        match self {
            Self::First { count: many } => backend < *many,
            Self::List { backends } => backends.contains(&backend),
            Self::Share { permille } => backend < share(*permille, count),
            Self::Moving {
                permille,
                turn_millis,
            } => {
                let many = u64::from(share(*permille, count));
                let turn = since / (turn_millis * MILLI).max(1);
                let start = turn * many % u64::from(count.max(1));
                let place = (u64::from(backend) + u64::from(count) - start) % u64::from(count.max(1));
                place < many
            }
            Self::All => true,
        }
    }
}

fn share(permille: u32, count: u32) -> u32 {
    ((permille * count + 500) / 1_000).max(1)
}

impl Fault {
    /// Whether the fault acts at `now` (ns), and for how long it has.
    #[must_use]
    pub fn active(&self, now: u64) -> Option<u64> {
        let (from, to) = (self.from_millis * MILLI, self.to_millis * MILLI);
        if now < from || now >= to {
            return None;
        }
        let since = now - from;
        match self.alternate_millis {
            Some(turn) if since / (turn * MILLI).max(1) % 2 == 1 => None,
            _ => Some(since),
        }
    }

    /// The instants (ns) at which something about the fault changes.
    #[must_use]
    pub fn turns(&self) -> Vec<u64> {
        let (from, to) = (self.from_millis * MILLI, self.to_millis * MILLI);
        let moving = match self.target {
            Target::Moving { turn_millis, .. } => Some(turn_millis),
            _ => None,
        };
        let ramp = matches!(self.what, Kind::Ramp { .. }).then_some(RAMP_STEP_MILLIS);
        let mut turns = vec![from, to];
        for step in [self.alternate_millis, moving, ramp].into_iter().flatten() {
            let step = (step * MILLI).max(MILLI);
            turns.extend((1..).map(|turn| from + turn * step).take_while(|&at| at < to));
        }
        turns
    }

    pub(super) fn check(&self, duration: u64) -> Result<(), ScenarioError> {
        range("faults.to_millis", self.to_millis as f64, 1.0, duration as f64)?;
        range(
            "faults.from_millis",
            self.from_millis as f64,
            0.0,
            (self.to_millis - 1) as f64,
        )?;
        if let Some(turn) = self.alternate_millis {
            range("faults.alternate_millis", turn as f64, 1.0, duration as f64)?;
        }
        match self.what {
            Kind::Delay { add_millis } => range("faults.add_millis", add_millis, 0.0, 1e6)?,
            Kind::Slow { speed } | Kind::Ramp { speed } => range("faults.speed", speed, 1e-3, 1e3)?,
            Kind::Reset { after_millis } => range("faults.after_millis", after_millis, 0.0, 1e6)?,
            Kind::Errors { permille } => range("faults.permille", f64::from(permille), 0.0, 1e3)?,
            Kind::Refuse | Kind::Hang | Kind::Vanish => {}
        }
        match &self.target {
            Target::Share { permille }
            | Target::Moving {
                permille,
                turn_millis: 1..,
            } => range("faults.target.permille", f64::from(*permille), 1.0, 1e3),
            Target::Moving { turn_millis, .. } => range(
                "faults.target.turn_millis",
                *turn_millis as f64,
                1.0,
                duration as f64,
            ),
            Target::List { backends } => range(
                "faults.target.backends (number of)",
                backends.len() as f64,
                1.0,
                4_096.0,
            ),
            Target::First { count } => range("faults.target.count", f64::from(*count), 1.0, 4_096.0),
            Target::All => Ok(()),
        }
    }
}

/// A ramp is a stair of this width.
const RAMP_STEP_MILLIS: u64 = 100;
