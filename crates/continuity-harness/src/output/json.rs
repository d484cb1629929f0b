//! Everything, for machines: every run of every cell.

use serde::Serialize;

use super::OutputError;
use crate::experiment::Cell;
use crate::gate::Gate;
use crate::target::Judgement;

#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    seeds: &'a [u64],
    targets: &'a [Judgement],
    gates: &'a [Gate],
    cells: &'a [Cell],
}

/// The results as JSON. Infinite and missing figures are null.
///
/// # Errors
/// None that a finite result can cause.
pub fn json(seeds: &[u64], cells: &[Cell], judged: (&[Judgement], &[Gate])) -> Result<String, OutputError> {
    Ok(serde_json::to_string_pretty(&Document {
        version: 1,
        seeds,
        targets: judged.0,
        gates: judged.1,
        cells,
    })?)
}
