//! What the pods of the workload and the driver that watches them agree on.
//!
//! The binary of this crate is both the server (faults on demand) and the client (open loop: every attempt has an
//! intended time that no slow answer can move). This library is the part both sides share with the driver: the
//! control messages, the log of attempts, the arrivals, and the clock. Without the feature `run` it does no I/O
//! beyond reading the clock, so that the driver can depend on it and leave the async runtime out.

#[cfg(feature = "run")]
pub mod client;
pub mod clock;
pub mod control;
pub mod draw;
#[cfg(feature = "run")]
mod line;
pub mod record;
pub mod schedule;
#[cfg(feature = "run")]
pub mod server;
