//! The three things this binary does.

pub mod probe;
pub mod run;
pub mod uninstall;
