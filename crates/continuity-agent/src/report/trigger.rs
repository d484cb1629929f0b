//! When a report is worth a write. Pure: the last written status, the present one, and the time.
//!
//! Transitions go at once, then at least 5 s apart; a moved rate, in Observe a median that moved far, and while something is
//! wrong a moved pressure, share or p99, wait for the spacing that the plan advises for the size of the fleet; everything
//! else waits for the resync. New advice alone never triggers: else one write of the operator would cost one write of every
//! node.

use std::collections::BTreeMap;
use std::time::Duration;

use continuity_api::node::{BackendReport, BackendState, ContinuityNodeStatus, SetReport, Warning};
use continuity_dataplane::Mode;

use crate::rate::moved;
use crate::snapshot::LaneShot;

/// Least time between two reports of transitions.
pub const TRANSITION_SPACING: Duration = Duration::from_secs(5);

/// Least time between any two reports.
pub const FLOOR: Duration = Duration::from_secs(1);

/// A report is written this often even if nothing happens: 10,000 nodes at rest are 33 writes a second. The operator counts
/// on a node for two of these and a minute.
pub const RESYNC: Duration = Duration::from_secs(300);

/// Why a report is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It is the first one of this agent.
    First,
    /// Something changed its standing.
    Transition,
    /// An offered rate has moved.
    Rate,
    /// A figure that people follow while something is wrong has moved.
    Figure,
    /// The time has come.
    Resync,
}

/// What is remembered of written reports.
#[derive(Clone, Debug, Default)]
pub struct Written {
    /// The last one.
    pub status: Option<ContinuityNodeStatus>,
    /// Time since it was written.
    pub age: Duration,
    /// Time since the last one that told a transition.
    pub transition_age: Duration,
}

/// What a median must move by before the operator should hear of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The policy's latency ratio, thousandths.
    pub ratio_milli: u32,
    /// Half of a typical request, µs: the law calls nothing late that is nearer than this to its peers.
    pub least_micros: i64,
}

/// What reports keep to: the pace of the fleet, and by set what its policy calls far.
#[derive(Clone, Debug, Default)]
pub struct Pace<'a> {
    /// Least time between two reports of figures.
    pub spacing: Duration,
    /// Steps of the sets in Observe, by namespace and name.
    pub steps: BTreeMap<(&'a str, &'a str), Step>,
}

impl<'a> Pace<'a> {
    /// The pace that the plans of these lanes ask for.
    #[must_use]
    pub fn of(lanes: &'a [LaneShot]) -> Self {
        let spacings = lanes.iter().map(|shot| shot.lane.advice.report_spacing);
        let observed = lanes.iter().filter(|shot| shot.lane.mode == Mode::Observe);
        let step = |shot: &LaneShot| {
            let half = shot.lane.law.profile.typical().as_micros() / 2;
            Step {
                ratio_milli: shot.lane.law.isolation.latency_ratio_milli,
                least_micros: i64::try_from(half).unwrap_or(i64::MAX),
            }
        };
        Self {
            spacing: spacings.max().unwrap_or_default(),
            steps: observed
                .map(|shot| ((&*shot.key.namespace, &*shot.key.set), step(shot)))
                .collect(),
        }
    }
}

/// Whether to write now, and why.
#[must_use]
pub fn due(written: &Written, status: &ContinuityNodeStatus, pace: &Pace<'_>) -> Option<Cause> {
    let Some(last) = &written.status else {
        return Some(Cause::First);
    };
    if written.age < FLOOR {
        return None;
    }
    if written.transition_age >= TRANSITION_SPACING && standing_changed(last, status) {
        return Some(Cause::Transition);
    }
    if written.age >= pace.spacing.max(TRANSITION_SPACING) {
        if rates_moved(last, status) {
            return Some(Cause::Rate);
        }
        if figures_moved(last, status) || medians_moved(last, status, pace) {
            return Some(Cause::Figure);
        }
    }
    (written.age >= RESYNC.max(pace.spacing)).then_some(Cause::Resync)
}

/// Something a person or the operator would act on is different.
fn standing_changed(last: &ContinuityNodeStatus, now: &ContinuityNodeStatus) -> bool {
    let conditions = |status: &ContinuityNodeStatus| -> Vec<(String, String, String)> {
        let all = status.conditions.iter();
        all.map(|one| (one.type_.clone(), one.status.clone(), one.reason.clone()))
            .collect()
    };
    last.dataplane != now.dataplane
        || last.capabilities != now.capabilities
        || last.zone != now.zone
        || conditions(last) != conditions(now)
        || warned(&last.warnings) != warned(&now.warnings)
        || standings(last) != standings(now)
}

/// What is warned of, without figures.
fn warned(warnings: &[Warning]) -> Vec<&str> {
    warnings.iter().map(|warning| &*warning.resource).collect()
}

/// What stands of each listed set, without figures.
fn standings(status: &ContinuityNodeStatus) -> BTreeMap<(&str, &str), Standing<'_>> {
    status
        .sets
        .iter()
        .map(|set| ((&*set.namespace, &*set.set), Standing::of(set)))
        .collect()
}

#[derive(PartialEq, Eq)]
struct Standing<'a> {
    figures: (
        continuity_api::node::Regime,
        continuity_api::policy::Mode,
        continuity_api::node::AdmissionState,
    ),
    digest: &'a str,
    refusal: &'a str,
    total: i32,
    backends: BTreeMap<&'a str, (BackendState, Option<&'a str>)>,
}

impl<'a> Standing<'a> {
    fn of(set: &'a SetReport) -> Self {
        let listed = set.backends.iter();
        Self {
            figures: (set.regime, set.mode, set.admission),
            digest: &set.plan_digest,
            refusal: &set.refusal,
            total: set.backends_total,
            // Plain backends may be left out for size; that is no change of theirs.
            backends: listed
                .filter(|backend| backend.state != BackendState::Active || backend.warning.is_some())
                .map(|backend| {
                    let warned = backend.warning.as_ref().map(|warning| &*warning.resource);
                    (&*backend.address, (backend.state, warned))
                })
                .collect(),
        }
    }
}

/// A set's offered rate has moved beyond a tenth and beyond noise.
fn rates_moved(last: &ContinuityNodeStatus, now: &ContinuityNodeStatus) -> bool {
    let offered = |set: &SetReport| set.offered_milli_per_second.max(set.accepted_milli_per_second);
    let before: BTreeMap<(&str, &str), i64> = last
        .sets
        .iter()
        .map(|set| ((&*set.namespace, &*set.set), offered(set)))
        .collect();
    now.sets.iter().any(|set| {
        let reported = before.get(&(&*set.namespace, &*set.set)).copied().unwrap_or(0);
        moved(reported, offered(set))
    })
}

/// Pressure that counts as moved, and from which a set is no longer as usual, thousandths.
const PRESSURE_STEP: i64 = 100;
/// Share of a backend that is out or coming back that counts as moved, parts per million: 1 %.
const SHARE_STEP: u32 = 10_000;

/// The sets of a report by namespace and name.
fn by_name(status: &ContinuityNodeStatus) -> BTreeMap<(&str, &str), &SetReport> {
    let sets = status.sets.iter();
    sets.map(|set| ((&*set.namespace, &*set.set), set)).collect()
}

/// A figure of a set that is, or was when it was last told, not as usual has moved by what a person would notice. Calm sets
/// cost nothing: the noise of their figures is no news.
fn figures_moved(last: &ContinuityNodeStatus, now: &ContinuityNodeStatus) -> bool {
    let before = by_name(last);
    now.sets.iter().any(|set| {
        before
            .get(&(&*set.namespace, &*set.set))
            .is_some_and(|before| (unusual(before) || unusual(set)) && figure_moved(before, set))
    })
}

/// In Observe the operator judges a backend by those of other nodes, so it must hear when a median has moved so far that its
/// judgement may differ. Half of the ratio's octaves: with a whole one it could be misled by as much again.
fn medians_moved(last: &ContinuityNodeStatus, now: &ContinuityNodeStatus, pace: &Pace<'_>) -> bool {
    let before = by_name(last);
    now.sets.iter().any(|set| {
        let name = (&*set.namespace, &*set.set);
        let (Some(step), Some(before)) = (pace.steps.get(&name), before.get(&name)) else {
            return false;
        };
        set.backends.iter().any(|backend| {
            let same = |known: &&BackendReport| known.address == backend.address;
            let known = before.backends.iter().find(same);
            known.is_some_and(|known| step.passed(known.median_micros, backend.median_micros))
        })
    })
}

impl Step {
    /// From one median to the other is far. One that was not known yet is news; one that is no longer known is none, since
    /// the rate that sank has told.
    fn passed(&self, last: i64, now: i64) -> bool {
        let (low, high) = (i128::from(last.min(now)), i128::from(last.max(now)));
        let far = high * high * 1_000 >= low * low * i128::from(self.ratio_milli);
        now > 0 && (last == 0 || far && high - low >= i128::from(self.least_micros))
    }
}

fn unusual(set: &SetReport) -> bool {
    set.regime != continuity_api::node::Regime::Laminar
        || set.pressure_milli >= 1_000 + PRESSURE_STEP
        || set
            .backends
            .iter()
            .any(|backend| backend.state != BackendState::Active)
}

fn figure_moved(before: &SetReport, now: &SetReport) -> bool {
    let pressure = before.pressure_milli.abs_diff(now.pressure_milli) >= PRESSURE_STEP.unsigned_abs()
        && before.pressure_milli.abs_diff(now.pressure_milli) * 10 > before.pressure_milli.unsigned_abs();
    // By half up or by a third down.
    let (low, high) = (
        before.p99_micros.min(now.p99_micros),
        before.p99_micros.max(now.p99_micros),
    );
    let p99 = high.saturating_mul(2) > low.saturating_mul(3);
    let share = now
        .backends
        .iter()
        .filter(|backend| backend.state != BackendState::Active)
        .any(|backend| {
            let known = before
                .backends
                .iter()
                .find(|known| known.address == backend.address);
            known.is_some_and(|known| known.share_ppm.abs_diff(backend.share_ppm) >= SHARE_STEP)
        });
    pressure || p99 || share
}

#[cfg(test)]
mod tests;
