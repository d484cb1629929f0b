//! Everything, for machines: every run of every cell.

use serde::Serialize;

use super::OutputError;
use crate::experiment::Cell;

#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    seeds: &'a [u64],
    cells: &'a [Cell],
}

/// The results as JSON. Infinite and missing figures are null.
///
/// # Errors
/// None that a finite result can cause.
pub fn json(seeds: &[u64], cells: &[Cell]) -> Result<String, OutputError> {
    Ok(serde_json::to_string_pretty(&Document {
        version: 1,
        seeds,
        cells,
    })?)
}
