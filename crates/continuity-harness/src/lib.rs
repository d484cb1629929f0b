//! The wind tunnel: every claim about the law is a row in a table that a hostile reader can reproduce.
//!
//! A reader's path: [`scenario`] (what is asked and what breaks), [`plant`] (the simulated cluster), [`policy`] (what a
//! law may see), [`choice`] (the kernel's own C), [`peer`] (the rows), [`figure`] (what is measured).
//!
//! Invariant: the same scenario, seed and row give the same bytes on every machine.

pub mod admission;
pub mod choice;
pub mod experiment;
pub mod figure;
pub mod gate;
pub mod law;
pub mod output;
pub mod peer;
pub mod plant;
pub mod policy;
pub mod profile;
pub mod random;
pub mod recording;
pub mod scenario;
pub mod span;
pub mod target;
pub mod trace;
