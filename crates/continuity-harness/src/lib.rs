//! The wind tunnel: plant, scenarios, peers, replay, invariants.

pub mod choice;
