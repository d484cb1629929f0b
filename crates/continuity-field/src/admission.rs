//! Admission: who may connect when a service is short of capacity. Pure; nothing enforces it yet.
//!
//! [`step`]: `(state, samples, config, now) → outcome`, beside the balancing step and independent of it. The kernel
//! decides at `connect(2)` on the [`Words`] that come out; [`admit`] is that rule as a reference.
//!
//! The law in short: one regulated number per set and node, the level L of requests in flight. In normal only a fuse far
//! above anything seen in calm. Soft, on evidence: thresholds nested by class, a gate that thins the lowest classes from
//! measured demand, a trickle that keeps each alive. Hard, when most of what is admitted ends without an answer: the top
//! class and the trickles. Whatever the agent wrote is a lease: after 3 s of its silence limits double until they meet
//! the fuse, after ten minutes nobody is refused.
//!
//! Invariants: thresholds never increase from a class to the next lower one; L ≥ half the proven in-flight; normal means
//! open gates and no trickle; what was learned changes in calm only.

mod config;
mod estimate;
mod learn;
mod level;
mod limit;
mod machine;
mod outcome;
mod reason;
mod rule;
mod sample;
mod save;
mod state;
mod storm;
mod thin;
mod word;

#[cfg(test)]
mod tests;

pub use config::Config;
pub use level::{Class, LEVELS, Level};
pub use outcome::{Outcome, Posture};
pub use reason::Reason;
pub use rule::{Connect, Ground, Verdict, admit, conforms, end};
pub use sample::{Reported, Samples};
pub use state::{State, step};
pub use word::{Control, Live, Words};

pub(crate) use word::pace;
