//! What the picture says about how far a node is to be believed, gathered for `trust`.

use super::{Key, World};
use crate::moment::Moment;
use crate::trust::{self, Claims, Signals};
use continuity_api::EquivalencePlan;
use continuity_api::node::SetReport;
use kube::runtime::watcher::Event;
use std::collections::BTreeSet;
use std::ops::Bound;
use std::time::Duration;

/// Time in which a node confirms a plan: agents apply one in a second and report every 5 s at least while they do.
const CONFIRM: Duration = Duration::from_secs(60);
/// Confirmations looked up in one look, at 1 µs each: 2,000 nodes with 24 sets. A plan has 60 s to be confirmed, and twelve
/// looks are 24,000 such nodes.
const CONFIRMATIONS_MAX: usize = 48_000;
/// Sets of a report that are compared with what others saw; they stand worst first.
const SETS_MAX: usize = 4;
/// Reports of a set beyond which they are not compared one by one: 200 reports a second × 2,000 are 400,000 comparisons.
const REPORTS_MAX: usize = 2_000;

impl World {
    /// Nodes that went into quarantine or left it since this was asked last.
    pub fn take_doubts(&mut self) -> Vec<(String, trust::Change)> {
        std::mem::take(&mut self.doubts)
    }

    /// Looks again at nodes that are doubted, whose agent is not ready, or that leave plans unconfirmed: none of them has to
    /// report for that.
    ///
    /// Of the many that are not doubted it looks for unconfirmed plans at a part each time, so that a look stays short in any
    /// fleet.
    pub fn review(&mut self, now: Moment) {
        self.disown();
        self.listen(now);
        let Self { trust, nodes, .. } = self;
        trust.retain(|node| nodes.get(node).is_some());
        let doubted = self.trust.quarantined().map(|(node, _)| node.clone());
        let unready = self.unready_agents();
        let mut due: Vec<String> = doubted.chain(unready).chain(self.unconfirmed(now)).collect();
        self.reviewed = self.last_reviewed();
        due.sort();
        due.dedup();
        for node in due {
            self.weigh(&node, now);
        }
    }

    /// The nodes of this look's part.
    fn part(&self) -> impl Iterator<Item = (&String, &BTreeSet<Key>)> {
        let mut left = CONFIRMATIONS_MAX;
        self.carried
            .range::<String, _>((Bound::Excluded(&self.reviewed), Bound::Unbounded))
            .take_while(move |(_, sets)| {
                let goes = left > 0;
                left = left.saturating_sub(sets.len());
                goes
            })
    }

    fn unconfirmed(&self, now: Moment) -> impl Iterator<Item = String> {
        let silent = self
            .part()
            .filter(move |(node, _)| self.confirms(node, now) == Some(false));
        silent.map(|(node, _)| node.clone())
    }

    /// Where the next look goes on; from the start, once the end is reached.
    fn last_reviewed(&self) -> String {
        let last = self.part().last().map(|(node, _)| node);
        let end = self.carried.keys().next_back();
        last.filter(|last| Some(*last) != end)
            .cloned()
            .unwrap_or_default()
    }

    /// Takes what is known of a node now as one report of it.
    pub(super) fn weigh(&mut self, node: &str, now: Moment) {
        let Some(facts) = self.nodes.get(node) else {
            return;
        };
        let part = |good: bool| if good { 1_000 } else { 0 };
        let observed = if facts.replayed {
            Some(0)
        } else {
            self.observed(node, now)
        };
        let signals = Signals {
            own: facts.ready.map(part),
            observed,
            probe: self.probe(node, now).map(part),
        };
        if let Some(change) = self.trust.hear(node, signals, now.mono) {
            self.doubts.push((node.to_owned(), change));
            self.stirred.insert(node.to_owned());
            self.marks.everything = true;
            self.marks.bound();
        }
    }

    /// The operator's own look: whether kubelet finds the agent ready, and whether it does what it is asked.
    fn probe(&self, node: &str, now: Moment) -> Option<bool> {
        match (self.agent_ready(node), self.confirms(node, now)) {
            (None, None) => None,
            (ready, confirms) => Some(ready != Some(false) && confirms != Some(false)),
        }
    }

    /// Since when each plan asks for what it asks for.
    pub(super) fn note_asked(&mut self, event: &Event<EquivalencePlan>, now: Moment) {
        match event {
            Event::Apply(plan) | Event::InitApply(plan) => {
                let (key, digest) = (Key::of(plan), plan.spec.digest.clone());
                let known = self.asked.get(&key).is_some_and(|(before, _)| *before == digest);
                if !known {
                    self.asked.insert(key, (digest, now.mono));
                }
            }
            Event::Delete(plan) => {
                self.asked.remove(&Key::of(plan));
            }
            Event::InitDone => {
                let plans = &self.plans;
                self.asked.retain(|key, _| plans.get(key).is_some());
            }
            Event::Init => {}
        }
    }

    /// How what the node claims fits what the other nodes saw.
    fn observed(&self, node: &str, now: Moment) -> Option<u32> {
        let mut sum = Claims::default();
        for set in self.carried.get(node).into_iter().flatten().take(SETS_MAX) {
            let Some(all) = self.reports.get(set).filter(|all| all.len() <= REPORTS_MAX) else {
                continue;
            };
            let counts = |name: &&String| {
                let fresh = self
                    .nodes
                    .get(name.as_str())
                    .is_some_and(|facts| facts.fresh(now));
                fresh && (name.as_str() == node || self.trust.trusts(name))
            };
            let reports: Vec<(&str, &SetReport)> = all
                .iter()
                .filter(|(name, _)| counts(name))
                .map(|(name, report)| (name.as_str(), report))
                .collect();
            let claims = trust::claims(node, &reports);
            sum.checked += claims.checked;
            sum.wrong += claims.wrong;
        }
        sum.observed()
    }

    /// Whether the node has confirmed every plan it was given a minute ago or earlier; none where it was given none.
    fn confirms(&self, node: &str, now: Moment) -> Option<bool> {
        let mut asked = self.carried.get(node)?.iter().filter_map(|set| {
            let (digest, since) = self.asked.get(set)?;
            let report = self.reports.get(set)?.get(node)?;
            // A refusal is an answer too.
            let answered = report.plan_digest == *digest || !report.refusal.is_empty();
            Some(answered || now.mono.saturating_sub(*since) < CONFIRM)
        });
        let first = asked.next()?;
        Some(first && asked.all(|good| good))
    }
}
