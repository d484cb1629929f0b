//! Callers: the part of a set's short capacity that each calling pod of this node gets.
//!
//! Weighted max-min against each caller's own calm demand; what is above a caller's share is demoted to the excess
//! level, never banned, and it is only compared with its peers' growth: when all grow alike nobody is demoted.
//! Reputation falls by what the caller controls (growth beyond its peers, retries beyond its budget) and heals.
//!
//! Left out: callers on other nodes (the pull of the limiter levels nodes), and connects that only look like retries.

mod book;
mod fair;
mod live;

#[cfg(test)]
mod tests;

pub use book::{CallerSample, CallerShare};
pub use live::{CallerLive, CallerWords};

pub(crate) use book::{Book, Pass};

/// A calling pod on this node; whoever runs the law knows which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct CallerId(pub u64);
