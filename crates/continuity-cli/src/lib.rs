//! `kubectl continuity`: questions to the API server, answered for a person.
//!
//! Each command reads objects, turns them into an answer with a pure function, and writes it as text, JSON or YAML.
//! Nothing here talks to a node: agents are asked through what they report and log, never by a port.

pub mod apidoc;
pub mod args;
pub mod check;
pub mod command;
pub mod debug;
pub mod error;
pub mod explain;
pub mod install;
mod number;
pub mod output;
pub mod record;
pub mod session;
pub mod snapshot;
pub mod status;
pub mod survey;
pub mod uninstall;
