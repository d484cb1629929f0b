//! The node agent: observe, decide, project, report.
fn main() {}
