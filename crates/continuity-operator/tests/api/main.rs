//! The operator against a real API server: its own etcd and kube-apiserver, its own binary, killed and stopped at will.
//!
//! `cargo test -p continuity-operator --test api -- --ignored --test-threads=4`, with `CONTINUITY_KUBERNETES` naming the
//! binary that `e2e/cluster` builds (default: `target/cluster/bin/kubernetes` of the workspace). Each test has a
//! control plane for itself, on free ports of the loopback and in directories of its own, and leaves nothing behind. Nodes are played
//! by the tests, which write ContinuityNode reports as agents do; the rest is real.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that can not go on says so by a panic"
)]

mod audit;
mod burst;
mod config;
mod distress;
mod drift;
mod external;
mod flow;
mod hostile;
mod identity;
mod leader;
mod outage;
mod plane;
mod policy;
mod report;
mod rollout;
mod scaler;
mod siege;
mod timeline;
mod trust;
mod watching;
