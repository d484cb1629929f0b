//! For tests and benches of the cluster side: a control plane of one's own, and a proxy before it that fails on demand.
//!
//! Nothing here plays the API server. Every request that no rule names reaches the real one and gets its real answer,
//! watches included; so what a test shows under faults is shown against the real parts.

pub mod error;
pub mod fault;
pub mod plane;
pub mod process;
pub mod proxy;

pub use error::Error;
pub use fault::{Fault, Rule};
pub use plane::Plane;
pub use process::Process;
pub use proxy::{Exchange, Proxy};
