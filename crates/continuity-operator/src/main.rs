//! The cluster operator: binds policies, plans, gathers, hints.
fn main() {}
