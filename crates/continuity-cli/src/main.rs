//! kubectl continuity: status, check, explain, uninstall.
fn main() {}
