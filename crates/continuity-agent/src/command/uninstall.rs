//! Removes everything of Continuity from the node and prints the proof.
//!
//! The proof is one JSON line, so that whoever started it can read it from the log of a finished pod.

use std::io::Write;

use continuity_dataplane::{Options, uninstall};
use serde_json::json;

use crate::error::Error;

/// Removes, proves, prints.
///
/// # Errors
/// If something is left, or could not be removed.
pub fn run(options: &Options, node: &str, out: &mut impl Write) -> Result<(), Error> {
    let outcome = uninstall(options);
    let line = match &outcome {
        Ok(removed) => json!({
            "node": node, "clean": true, "pins": options.pins,
            "removed": {"links": removed.links, "programs": removed.programs, "maps": removed.maps},
        }),
        Err(error) => json!({"node": node, "clean": false, "pins": options.pins, "error": error.to_string()}),
    };
    writeln!(out, "{line}")?;
    outcome?;
    Ok(())
}
