//! For tests of the cluster side: a proxy before the real API server that fails on demand.
//!
//! Nothing here plays the API server. Every request that no rule names reaches the real one and gets its real answer,
//! watches included; so what a test shows under faults is shown against the real parts.

pub mod error;
pub mod fault;
pub mod proxy;

pub use error::Error;
pub use fault::{Fault, Rule};
pub use proxy::{Exchange, Proxy};
