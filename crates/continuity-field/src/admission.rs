//! Admission: who may connect when a service is short of capacity. Pure; nothing enforces it yet.
//!
//! The kernel decides at `connect(2)` on a few words; this module is the agent's half, which writes them.

mod level;

pub use level::{Class, LEVELS, Level};
