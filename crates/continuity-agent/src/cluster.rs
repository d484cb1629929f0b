//! The agent's view of the cluster: watches with back-off, compact records, bounded shelves.
//!
//! The invariant: what was learnt is kept until the API server says otherwise. A failed watch, a 410 or a half-finished
//! list changes nothing that is already known.

pub mod backoff;
pub mod endpoint;
pub mod follow;
pub mod intake;
pub mod inventory;
pub mod plan;
pub mod service;
pub mod shelf;
