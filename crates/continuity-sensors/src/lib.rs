//! Sensors of the node: PSI, memory, descriptors, conntrack, threads, and the cgroups of a bounded list of pods.
//!
//! Text in, typed samples with units out. The parsers are pure; [`Reader`] is the only part that opens files, all of them
//! below roots that are handed in, each at its own period, on the instant that the caller names. A signal that cannot be
//! read is [`Reading::Missing`] with its cause, never a zero: what is not known is not healthy.
//!
//! Left out: judgement. What a stall or a full table means is the law's (`continuity-field`).

mod cgroup;
mod error;
mod level;
mod pod;
mod reader;
mod sample;
mod stall;

pub use cgroup::{CpuUsage, Layout, Version};
pub use error::{Category, SensorError};
pub use level::{Level, Throughput};
pub use pod::PodId;
pub use reader::{Reader, Roots};
pub use sample::{NodeSample, PodSample, Reading, Resource, Signal};
pub use stall::{Pressure, Stall};
