//! The programs in the running kernel: a child cgroup, a network namespace and a bpffs of our own, real sockets.
//!
//! Needs root. Without it the tests fail; they never skip.
#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test fails by panic"
)]

mod address;
mod admission;
mod affinity;
mod agree;
mod bytes;
mod contract;
mod datagram;
mod failsafe;
mod ground;
mod life;
mod measure;
mod privilege;
mod refuse;
mod scene;
mod server;
mod steer;
mod table;
mod torn;
mod verifier;
