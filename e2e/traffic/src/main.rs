//! Servers with faults on demand and open-loop clients for the demo and the tests.
fn main() {}
