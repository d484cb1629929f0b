//! What is foreseen, in the API's words: of a backend on this node, of the node itself, and as one condition.

use continuity_api::node::Warning;
use continuity_api::{Condition, Time, conditions, reasons};
use continuity_field::Locality;

use super::plane::condition;
use crate::forecast::{self, Forecast};
use crate::lane::LaneBackend;

/// A warning of the report.
pub(super) fn told(warning: &forecast::Warning) -> Warning {
    Warning {
        resource: warning.subject.name().to_owned(),
        message: warning.message.chars().take(256).collect(),
        since: time(warning.since_millis),
        expected: warning.expected_millis.and_then(time),
        stall_permille: i32::try_from(warning.stall_permille).unwrap_or(1_000),
    }
}

/// What weighs most on a backend: its pod's own trouble, or that of the node under it. Of others this node knows nothing.
pub(super) fn of(backend: &LaneBackend, foreseen: &Forecast) -> Option<Warning> {
    if backend.locality != Locality::Node {
        return None;
    }
    let own = backend.uid.and_then(|uid| foreseen.pods.get(&uid));
    let all = [own, foreseen.burden()].into_iter().flatten();
    all.max_by_key(|warning| warning.stall_permille).map(told)
}

pub(super) fn sufficient(foreseen: &Forecast) -> Condition {
    let (status, reason, text) = if let Some(worst) = soonest(foreseen) {
        let reason = if worst.expected_millis.is_some() {
            reasons::RUNNING_OUT
        } else {
            reasons::STALLED
        };
        (conditions::FALSE, reason, worst.message.clone())
    } else if foreseen.read {
        let text = "nothing of the node runs out, and its tasks do not stand still".to_owned();
        (conditions::TRUE, reasons::SUFFICIENT, text)
    } else {
        let text = "neither memory nor stalls of the node were read; see status.capabilities".to_owned();
        (conditions::UNKNOWN, reasons::NO_SIGNALS, text)
    };
    condition(conditions::RESOURCES_SUFFICIENT, status, reason, text)
}

/// What fails first, then what stands still.
fn soonest(foreseen: &Forecast) -> Option<&forecast::Warning> {
    foreseen.node.iter().min_by_key(|warning| {
        let expected = warning.expected_millis;
        (
            expected.is_none(),
            expected,
            std::cmp::Reverse(warning.stall_permille),
        )
    })
}

fn time(millis: i64) -> Option<Time> {
    jiff::Timestamp::from_second(millis.div_euclid(1_000))
        .ok()
        .map(Time)
}
