//! Generation, checks, the cluster, the demo and the tests.
fn main() {}
