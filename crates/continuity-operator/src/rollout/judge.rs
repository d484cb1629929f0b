//! Whether the nodes of a stage are worse off than the rest.

use super::{CONFIRM, Memory, NodeView, WORSE};
use crate::moment::Moment;
use continuity_api::node::{Regime, SetReport};

/// Failed connections beyond twice the rest's that are worse, in permille of those offered.
const FAILED_MARGIN: i128 = 10;
/// Answer time beyond 1.5 times the rest's that is worse, in microseconds: below it a client's own scheduling decides.
const P99_MARGIN: i128 = 20_000;
/// Offered rate below which figures say nothing, in connections per 1000 s: one a second.
const OFFERED_MIN: i128 = 1_000;

/// What nodes report of a set's traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// New connections, per 1000 s.
    pub offered: i128,
    /// Of those, failed.
    pub failed: i128,
    /// 99th percentile of answer time in microseconds, times the rate that saw it.
    pub p99_weighted: i128,
    /// Rate whose 99th percentile is known.
    pub p99_offered: i128,
    /// Rate of nodes in crisis.
    pub in_crisis: i128,
}

impl Figures {
    /// Figures of one report.
    #[must_use]
    pub fn of(report: &SetReport) -> Self {
        let offered = i128::from(report.offered_milli_per_second.max(0));
        let p99 = i128::from(report.p99_micros.max(0));
        Self {
            offered,
            failed: i128::from(report.failed_milli_per_second.max(0)),
            p99_weighted: p99 * offered,
            p99_offered: if p99 > 0 { offered } else { 0 },
            in_crisis: if report.regime == Regime::Crisis {
                offered
            } else {
                0
            },
        }
    }

    /// Figures of several nodes.
    pub fn sum<'a>(figures: impl Iterator<Item = &'a Self>) -> Self {
        figures.fold(Self::default(), |sum, one| Self {
            offered: sum.offered + one.offered,
            failed: sum.failed + one.failed,
            p99_weighted: sum.p99_weighted + one.p99_weighted,
            p99_offered: sum.p99_offered + one.p99_offered,
            in_crisis: sum.in_crisis + one.in_crisis,
        })
    }

    const fn failed_permille(&self) -> i128 {
        if self.offered == 0 {
            0
        } else {
            self.failed * 1_000 / self.offered
        }
    }

    const fn p99(&self) -> i128 {
        if self.p99_offered == 0 {
            0
        } else {
            self.p99_weighted / self.p99_offered
        }
    }

    /// Why these are worse than `other`, if they are.
    fn worse_than(&self, other: &Self) -> Option<String> {
        if self.offered < OFFERED_MIN || other.offered < OFFERED_MIN {
            return None;
        }
        let (failed, normal) = (self.failed_permille(), other.failed_permille());
        if failed > normal * 2 + FAILED_MARGIN {
            return Some(format!(
                "{failed} of 1000 connections fail there, {normal} of 1000 elsewhere"
            ));
        }
        let (p99, usual) = (self.p99(), other.p99());
        if usual > 0 && p99 * 2 > usual * 3 + P99_MARGIN * 2 {
            return Some(format!(
                "answers take {} ms there (p99), {} ms elsewhere",
                p99 / 1_000,
                usual / 1_000
            ));
        }
        let crisis = self.in_crisis * 2 >= self.offered && other.in_crisis * 10 < other.offered;
        crisis.then(|| "it is in crisis there and not elsewhere".to_owned())
    }
}

/// Why the stage must be taken back, if it must.
pub(super) fn halt(
    memory: &mut Memory,
    digest: &str,
    (group, rest): (&[&NodeView], &[&NodeView]),
    now: Moment,
) -> Option<String> {
    let runs = |node: &&&NodeView| node.digest == digest;
    if let Some(node) = group.iter().find(|node| !node.refusal.is_empty()) {
        return Some(format!("{} refuses it: {}", node.name, node.refusal));
    }
    let restarted = |node: &&NodeView| {
        let before = memory.restarts.get(&node.name).copied();
        before.map_or(0, |before| node.restarts.saturating_sub(before))
    };
    let restarts: u32 = group.iter().map(restarted).sum();
    // One agent may restart for a reason of its own, and half as many as there are nodes when the agents are updated.
    let many = usize::try_from(restarts).unwrap_or(usize::MAX) > group.len() / 2;
    if restarts >= 2 && many {
        return Some(format!("agents restarted {restarts} times under it"));
    }
    if let Some(node) = group.iter().filter(|node| !node.sound).find(runs) {
        return Some(format!("the agent of {} no longer works under it", node.name));
    }
    let waited = now.mono.saturating_sub(memory.began);
    if memory.confirmed.is_none() && waited >= CONFIRM {
        let silent = group.iter().find(|node| node.digest != digest)?;
        return Some(format!(
            "{} did not confirm it in {} s",
            silent.name,
            CONFIRM.as_secs()
        ));
    }
    worse(memory, (group, rest), now)
}

fn worse(memory: &mut Memory, (group, rest): (&[&NodeView], &[&NodeView]), now: Moment) -> Option<String> {
    let of =
        |nodes: &[&NodeView]| Figures::sum(nodes.iter().filter(|node| node.sound).map(|node| &node.figures));
    let (here, there) = (of(group), of(rest));
    // Where nobody else carries traffic, the same nodes before the change are the measure.
    let measure = if there.offered >= OFFERED_MIN {
        there
    } else {
        memory.before
    };
    let Some(reason) = here.worse_than(&measure) else {
        memory.worse = None;
        return None;
    };
    let since = *memory.worse.get_or_insert(now.mono);
    (now.mono.saturating_sub(since) >= WORSE).then_some(reason)
}
