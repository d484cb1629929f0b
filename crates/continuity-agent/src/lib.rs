//! The node agent: observe, decide, project, report.
//!
//! Two halves with one letter box each way. The network half (one thread, tokio) follows plans, Services and
//! EndpointSlices, derives what this node should do, and writes one object about it. The node loop (a thread of its own)
//! needs no network: every tick it says that it lives, reads what the kernel counted, asks the law, and publishes what
//! changed. Either half goes on when the other has nothing to say.
//!
//! Left out: the law itself (`continuity-field`), maps and programs (`continuity-dataplane`), and any opinion on what a
//! policy means (`continuity-api`, compiled by the operator).

pub mod arguments;
pub mod cluster;
pub mod command;
pub mod debug;
pub mod desire;
pub mod driver;
pub mod error;
#[cfg(test)]
mod fixture;
pub mod forecast;
pub mod gate;
pub mod health;
pub mod identity;
pub mod lane;
pub mod mailbox;
pub mod memory;
pub mod meter;
pub mod metrics;
pub mod node;
pub mod place;
pub mod project;
pub mod rate;
pub mod recorder;
pub mod report;
pub mod select;
pub mod sense;
pub mod snapshot;
pub mod track;
pub mod version;
