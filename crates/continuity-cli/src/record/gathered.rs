//! Lines of one record, put together again as they come out of the logs of several agents. Pure.

use continuity_trace::{Body, Envelope, TraceError, read, replay};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// Most bytes of one lane that are kept: what an agent sends at most, and its header.
const MOST_BYTES: usize = 24 << 20;

/// Everything gathered so far.
#[derive(Debug, Clone, Default)]
pub struct Gathered {
    lanes: BTreeMap<(String, u8), Lane>,
}

/// What one node recorded of one lane.
#[derive(Debug, Clone, Default)]
pub struct Lane {
    /// IP version.
    pub family: u8,
    lines: BTreeMap<u64, String>,
    bytes: usize,
    end: Option<String>,
}

/// What is in a file, and what its replay found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// Ticks in it.
    pub ticks: u64,
    /// Ticks that were decided otherwise when they were decided again.
    pub different: usize,
    /// Ticks that the agent could not keep.
    pub dropped: u64,
    /// Places at which ticks are missing.
    pub gaps: usize,
    /// Why no more came; empty if the record broke off.
    pub end: String,
    /// Why it cannot be decided again; empty if it can.
    pub problem: String,
}

impl Verdict {
    /// It has ticks, and each is decided the same again.
    #[must_use]
    pub const fn is_same(&self) -> bool {
        self.problem.is_empty() && self.ticks > 0 && self.different == 0
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.problem.is_empty() {
            return write!(f, "cannot be decided again: {}", self.problem);
        }
        write!(f, "{} ticks", self.ticks)?;
        match self.different {
            0 => f.write_str(", each decided the same again")?,
            some => write!(f, ", {some} decided otherwise")?,
        }
        if self.dropped > 0 {
            write!(f, ", {} not kept by the agent", self.dropped)?;
        }
        if self.gaps > 0 {
            write!(f, ", missing at {} places", self.gaps)?;
        }
        match self.end.as_str() {
            "" => f.write_str("; it broke off"),
            why => write!(f, "; {why}"),
        }
    }
}

impl Gathered {
    /// A line of the log of `node`'s agent; one that is not of record `id` is passed over.
    pub fn take(&mut self, id: &str, node: &str, line: &str) {
        let Ok(envelope) = line.parse::<Envelope>() else {
            return;
        };
        if envelope.record != id {
            return;
        }
        let lane = self.lanes.entry((node.to_owned(), envelope.family)).or_default();
        lane.family = envelope.family;
        match envelope.body {
            Body::End(why) => lane.end = Some(why),
            Body::Trace(line) => {
                if lane.bytes.saturating_add(line.len()) <= MOST_BYTES {
                    lane.bytes += line.len();
                    lane.lines.insert(envelope.number, line);
                }
            }
        }
    }

    /// Each of so many nodes sent something, and all of that has ended.
    #[must_use]
    pub fn is_over(&self, nodes: usize) -> bool {
        let mut begun: Vec<&str> = self.lanes.keys().map(|(node, _)| node.as_str()).collect();
        begun.dedup();
        begun.len() >= nodes && self.lanes.values().all(|lane| lane.end.is_some())
    }

    /// Lanes by node.
    pub fn lanes(&self) -> impl Iterator<Item = (&str, &Lane)> {
        self.lanes.iter().map(|((node, _), lane)| (node.as_str(), lane))
    }
}

impl Lane {
    /// The trace, line by line as it was recorded.
    #[must_use]
    pub fn text(&self) -> String {
        let lines = self.lines.values();
        lines.flat_map(|line| [line.as_str(), "\n"]).collect()
    }

    /// Decides it again.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let again = || -> Result<(u64, usize, u64, usize), TraceError> {
            let (header, ticks) = read(self.text().as_bytes())?;
            let found = replay(&header, &ticks)?;
            Ok((
                found.ticks,
                found.differences.len(),
                found.dropped,
                found.gaps.len(),
            ))
        };
        let mut verdict = Verdict {
            ticks: 0,
            different: 0,
            dropped: 0,
            gaps: 0,
            end: self.end.clone().unwrap_or_default(),
            problem: String::new(),
        };
        match again() {
            Ok((ticks, different, dropped, gaps)) => {
                (verdict.ticks, verdict.different) = (ticks, different);
                (verdict.dropped, verdict.gaps) = (dropped, gaps);
            }
            Err(error) => verdict.problem = error.to_string(),
        }
        verdict
    }
}
