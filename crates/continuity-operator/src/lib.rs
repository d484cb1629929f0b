//! The cluster operator: binds policies to Services, plans, gathers what nodes report, hints.
//!
//! One task owns an in-memory picture of the cluster (`world`) that watches feed. What follows from it is decided by pure
//! functions (`bind`, `plan`, `gather`, `policy`, `transition`), passes one bounded queue (`scheduler`, at the pace of `mode`) and is written by the
//! leader alone (`writer`, `lease`). Every replica keeps the picture and answers reads, so a fail-over needs no warm-up.
//! It never writes to workloads, Services, Nodes, or the spec, labels or annotations of a user's object.

pub mod args;
pub mod backoff;
pub mod bind;
pub mod certificate;
pub mod debug;
pub mod decide;
pub mod distress;
pub mod error;
pub mod external;
pub mod gather;
pub mod hint;
pub mod lease;
mod listener;
pub mod mode;
pub mod moment;
pub mod outlier;
pub mod pilot;
pub mod plan;
pub mod policy;
pub mod published;
pub mod rollout;
#[cfg(test)]
mod sample;
pub mod scaler;
pub mod scheduler;
pub mod serve;
pub mod telemetry;
pub mod timeline;
pub mod transition;
pub mod trust;
pub mod verdict;
mod warden;
pub mod watch;
pub mod world;
pub mod writer;

pub use args::Args;
pub use error::{Category, Error};
