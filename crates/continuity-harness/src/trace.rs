//! Flight records of the wind tunnel's nodes; form, replay and explanation are `continuity-trace`'s, which a real node's
//! agent writes too.

mod record;

#[cfg(test)]
mod tests;

pub use continuity_trace::{
    Difference, Explanation, FORMAT, Header, MOST_BYTES, Replayed, Tick, TraceError, VERSION, digest,
    explain, moves, read, replay, write,
};
pub use record::record;
