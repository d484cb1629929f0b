//! Everything a developer runs that is not the product itself: generated files, checks, images, the real cluster
//! on one machine, the demo and the tests.
//!
//! Invariant: whatever a task makes outside the repository (packages apart) it can remove again, and it removes
//! nothing that it did not make.

pub mod bench;
pub mod check;
pub mod cluster;
pub mod conformance;
pub mod demo;
pub mod error;
pub mod generate;
pub mod image;
pub mod interrupt;
pub mod mutants;
pub mod paths;
pub mod preflight;
pub mod process;
pub mod progress;
pub mod promtool;
pub mod test;
pub mod windtunnel;

pub use error::Error;
