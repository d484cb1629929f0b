//! How far a node is believed: what it says of itself, what others see of it, and whether it does what it is asked.
//!
//! `score = 0.2 · own report + 0.5 · observed + 0.3 · probe`, over the parts that are known: a missing part is left out and
//! the others weigh more, so that a new node is not condemned for what nobody has seen yet. An EWMA over its reports,
//! with hysteresis, puts a node into quarantine: its reports stop counting and roll-outs leave it out. It is looked at all
//! the time, and comes back after three good reports in a row.
//!
//! | part | what it is |
//! | --- | --- |
//! | own report | its agent says that its dataplane works |
//! | observed | what it claims fits what the other nodes saw: the demand, the backends that they all keep out, and reports that count up |
//! | probe | its agent's pod is ready, and has confirmed the plans that the operator gave it, within a minute |
//!
//! Where what does not fit is seen on more than a third of the nodes, it is not them (a hook that can not see the
//! backends' side, a load that moves faster than reports), and nobody is condemned for it. Pure: takes `now`.

mod claim;

pub use claim::{Claims, claims};

use std::collections::BTreeMap;
use std::time::Duration;

/// Weights, in tenths.
const OWN: u32 = 2;
const OBSERVED: u32 = 5;
const PROBE: u32 = 3;
/// Weight of a report in the EWMA, in permille: a liar that is observed falls from 1000 below the bound in three reports.
const WEIGHT: u32 = 400;
/// Below this a node goes into quarantine, in permille.
const ENTER: u32 = 600;
/// Above this it may leave.
const LEAVE: u32 = 800;
/// Good reports in a row that end it.
const GOOD_MIN: u32 = 3;

/// What is known of a node at one report, each 0 (bad) to 1000 (good) permille.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signals {
    /// What it says of itself.
    pub own: Option<u32>,
    /// How what it claims fits what others saw.
    pub observed: Option<u32>,
    /// Whether it did what it was asked.
    pub probe: Option<u32>,
}

impl Signals {
    /// What speaks against the node, as a sentence.
    #[must_use]
    pub fn complaint(&self) -> String {
        let bad = |part: Option<u32>| part.is_some_and(|part| part < 500);
        let parts = [
            (self.own, "its agent says that its dataplane does not work"),
            (
                self.observed,
                "what it reports does not fit what other nodes see, or is played back",
            ),
            (
                self.probe,
                "its agent's pod is not ready, or does not confirm plans",
            ),
        ];
        let said: Vec<&str> = parts
            .into_iter()
            .filter_map(|(part, text)| bad(part).then_some(text))
            .collect();
        said.join("; ")
    }

    /// The score, in permille; none while nothing is known.
    #[must_use]
    pub fn score(&self) -> Option<u32> {
        let parts = [(OWN, self.own), (OBSERVED, self.observed), (PROBE, self.probe)];
        let known = || {
            parts
                .iter()
                .filter_map(|(weight, part)| part.map(|part| (*weight, part.min(1_000))))
        };
        let weights: u32 = known().map(|(weight, _)| weight).sum();
        let sum: u32 = known().map(|(weight, part)| weight * part).sum();
        (weights > 0).then(|| sum / weights)
    }
}

/// What is remembered of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Smoothed score, in permille.
    pub trust: u32,
    /// Since when it is in quarantine, if it is.
    pub quarantined: Option<Duration>,
    /// What was known of it at the last report that was bad.
    pub doubt: Signals,
    good: u32,
}

impl Default for Standing {
    fn default() -> Self {
        Self {
            trust: 1_000,
            quarantined: None,
            doubt: Signals::default(),
            good: 0,
        }
    }
}

impl Standing {
    /// Takes the score of a report in; says whether the node went into quarantine or left it.
    pub fn hear(&mut self, score: u32, now: Duration) -> Option<Change> {
        self.trust = (self.trust * (1_000 - WEIGHT) + score * WEIGHT) / 1_000;
        self.good = if score > LEAVE { self.good + 1 } else { 0 };
        match self.quarantined {
            None if self.trust < ENTER => {
                self.quarantined = Some(now);
                Some(Change::Quarantined)
            }
            Some(_) if self.trust > LEAVE && self.good >= GOOD_MIN => {
                self.quarantined = None;
                Some(Change::Released)
            }
            _ => None,
        }
    }
}

/// What became of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Its reports stop counting.
    Quarantined,
    /// They count again.
    Released,
}

/// The standing of every node, one entry a node there is.
#[derive(Debug, Default)]
pub struct Ledger {
    nodes: BTreeMap<String, Standing>,
}

impl Ledger {
    /// Takes a report of a node in.
    pub fn hear(&mut self, node: &str, signals: Signals, now: Duration) -> Option<Change> {
        let score = signals.score()?;
        let standing = self.nodes.entry(node.to_owned()).or_default();
        if score <= LEAVE {
            standing.doubt = signals;
        }
        standing.hear(score, now)
    }

    /// What is known of a node that was heard of.
    #[must_use]
    pub fn standing(&self, node: &str) -> Option<&Standing> {
        self.nodes.get(node)
    }

    /// Whether the node counts.
    #[must_use]
    pub fn trusts(&self, node: &str) -> bool {
        self.nodes
            .get(node)
            .is_none_or(|standing| standing.quarantined.is_none())
    }

    /// Nodes in quarantine.
    pub fn quarantined(&self) -> impl Iterator<Item = (&String, &Standing)> {
        self.nodes
            .iter()
            .filter(|(_, standing)| standing.quarantined.is_some())
    }

    /// Forgets nodes that are gone.
    pub fn retain(&mut self, known: impl Fn(&str) -> bool) {
        self.nodes.retain(|node, _| known(node));
    }
}

#[cfg(test)]
mod tests;
