//! What can be wrong with a trace, by line.

use continuity_field::RestoreError;

use crate::{FORMAT, MOST_BYTES, VERSION};

/// Why a trace cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The file cannot be read.
    #[error("trace: {0}")]
    Read(#[from] std::io::Error),
    /// Larger than any trace.
    #[error("trace: more than {MOST_BYTES} bytes; cut it at a line")]
    Size,
    /// Nothing in it.
    #[error("trace: the file is empty")]
    Empty,
    /// Another kind of file.
    #[error("trace: the first line calls itself {0:?}, expected {FORMAT:?}")]
    Format(String),
    /// Another version.
    #[error("trace: version {0}, this program reads versions up to {VERSION}")]
    Version(u32),
    /// A state that is damaged, or of another version of the law.
    #[error("trace, line {line}: the law's state cannot be taken up: {}", reason(.source.as_ref()))]
    State {
        /// Counted from 1.
        line: usize,
        /// What the law says of it; none if it is no hexadecimal number.
        source: Option<RestoreError>,
    },
    /// A line that is none.
    #[error("trace, line {line}{end}: {source}", end = if *.last { " (the last: the file is cut off)" } else { "" })]
    Syntax {
        /// Counted from 1.
        line: usize,
        /// Nothing follows it.
        last: bool,
        /// What the parser said.
        source: serde_json::Error,
    },
    /// A number beyond what it counts.
    #[error("trace, line {line}: {what} is {value}, must be below {limit}")]
    Range {
        /// Counted from 1.
        line: usize,
        /// Which number.
        what: &'static str,
        /// What the file says.
        value: u64,
        /// The first that is too large.
        limit: u64,
    },
    /// Ticks out of order.
    #[error("trace, line {line}: tick {tick} after tick {before}")]
    Order {
        /// Counted from 1.
        line: usize,
        /// Here.
        tick: u64,
        /// The line before.
        before: u64,
    },
    /// The tick asked for is not in the trace.
    #[error("trace: no tick {tick}; it holds {first} to {last}")]
    Tick {
        /// Asked for.
        tick: u64,
        /// First in the trace.
        first: u64,
        /// Last in the trace.
        last: u64,
    },
}

fn reason(error: Option<&RestoreError>) -> String {
    error.map_or_else(|| "it is no hexadecimal number".to_owned(), ToString::to_string)
}
