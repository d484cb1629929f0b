//! `kubectl-continuity`.
fn main() {}
