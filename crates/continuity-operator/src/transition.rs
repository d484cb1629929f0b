//! What changed between two statuses that a person should hear about: Kubernetes Events, on transitions only.
//!
//! Compared is the status that is stored with the one that is written, so that each transition is told once, by the
//! replica whose write made it visible.

use continuity_api::set::{BackendWarning, HintStatus, IsolatedBackend};
use continuity_api::{ContinuityPolicyStatus, EquivalenceSetStatus, conditions, events, reasons};
use kube::runtime::events::EventType;

/// Backends named one by one in one write; more are summed up, so that a failing zone gives one event and not fifty.
const NAMED_MAX: usize = 4;

/// One thing to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Whether it is a warning.
    pub warning: bool,
    /// One word for machines.
    pub reason: &'static str,
    /// What was done to what: Events that share reason and action within 6 min are one Event to the API, which keeps the
    /// first note; so the action names what must not be merged.
    pub action: String,
    /// One sentence with figures.
    pub note: String,
}

impl Notice {
    fn normal(reason: &'static str, subject: &str, note: String) -> Self {
        Self {
            warning: false,
            reason,
            action: action(reason, subject),
            note,
        }
    }

    fn warning(reason: &'static str, subject: &str, note: String) -> Self {
        Self {
            warning: true,
            ..Self::normal(reason, subject, note)
        }
    }

    /// As the events API calls it.
    #[must_use]
    pub const fn kind(&self) -> EventType {
        if self.warning {
            EventType::Warning
        } else {
            EventType::Normal
        }
    }
}

/// Longest action the events API takes.
const ACTION_MAX: usize = 128;

fn action(reason: &str, subject: &str) -> String {
    format!("{reason} {subject}")
        .trim_end()
        .chars()
        .take(ACTION_MAX)
        .collect()
}

/// What happened to a set.
#[must_use]
pub fn of_set(before: &EquivalenceSetStatus, after: &EquivalenceSetStatus) -> Vec<Notice> {
    let mut notices = Vec::new();
    notices.extend(regime(before, after));
    notices.extend(isolations(before, after));
    notices.extend(returns(before, after));
    notices.extend(warnings(before, after));
    notices.extend(hint(before.scale_hint.as_ref(), after.scale_hint.as_ref()));
    if before.backends.ready > 0 && after.backends.ready == 0 {
        let note = format!(
            "none of {} backends serves; connects get ECONNREFUSED",
            after.backends.total
        );
        notices.push(Notice::warning(events::BACKENDS_GONE, "", note));
    }
    notices
}

fn regime(before: &EquivalenceSetStatus, after: &EquivalenceSetStatus) -> Option<Notice> {
    let why = if after.reason.is_empty() {
        String::new()
    } else {
        format!(": {}", after.reason)
    };
    let change = format!("{:?} → {:?}", before.regime, after.regime);
    let note = format!("{change}{why}");
    match after.regime.cmp(&before.regime) {
        std::cmp::Ordering::Greater => Some(Notice::warning(events::REGIME_WORSENED, &change, note)),
        std::cmp::Ordering::Less => Some(Notice::normal(events::REGIME_IMPROVED, &change, note)),
        std::cmp::Ordering::Equal => None,
    }
}

/// By pod where there is one: its second address is no second backend.
fn missing<'a>(from: &'a [IsolatedBackend], among: &[IsolatedBackend]) -> Vec<&'a IsolatedBackend> {
    let same = |one: &IsolatedBackend, other: &IsolatedBackend| {
        one.address == other.address || (!one.pod.is_empty() && one.pod == other.pod)
    };
    from.iter()
        .filter(|backend| !among.iter().any(|other| same(backend, other)))
        .collect()
}

fn isolations(before: &EquivalenceSetStatus, after: &EquivalenceSetStatus) -> Vec<Notice> {
    let fresh = missing(&after.isolated, &before.isolated);
    if fresh.len() > NAMED_MAX {
        let note = format!(
            "{} backends were taken out of rotation; see status.isolated",
            fresh.len()
        );
        return vec![Notice::warning(
            events::BACKEND_ISOLATED,
            &fresh.len().to_string(),
            note,
        )];
    }
    let told = |backend: &&IsolatedBackend| {
        let agreeing = format!(
            "{} of {} nodes agree",
            backend.agreeing_nodes, backend.reporting_nodes
        );
        Notice::warning(
            events::BACKEND_ISOLATED,
            &backend.address,
            format!("{}: {}; {agreeing}", named(backend), backend.reason),
        )
    };
    fresh.iter().map(told).collect()
}

fn returns(before: &EquivalenceSetStatus, after: &EquivalenceSetStatus) -> Vec<Notice> {
    let back = missing(&before.isolated, &after.isolated);
    // A full list hides who came back and who was only pushed out.
    if after.truncated || before.truncated {
        return Vec::new();
    }
    if back.len() > NAMED_MAX {
        let note = format!("{} backends are back in rotation", back.len());
        return vec![Notice::normal(
            events::BACKEND_RETURNED,
            &back.len().to_string(),
            note,
        )];
    }
    let told = |backend: &&IsolatedBackend| {
        Notice::normal(
            events::BACKEND_RETURNED,
            &backend.address,
            format!("{} is back in rotation, or gone", named(backend)),
        )
    };
    back.iter().map(told).collect()
}

fn warnings(before: &EquivalenceSetStatus, after: &EquivalenceSetStatus) -> Vec<Notice> {
    let known = |warning: &BackendWarning| {
        let mut told = before.warnings.iter();
        told.any(|other| other.address == warning.address && other.resource == warning.resource)
    };
    let fresh: Vec<&BackendWarning> = after.warnings.iter().filter(|warning| !known(warning)).collect();
    if fresh.len() > NAMED_MAX {
        let note = format!("{} backends are in danger; see status.warnings", fresh.len());
        return vec![Notice::warning(
            events::FAILURE_FORESEEN,
            &fresh.len().to_string(),
            note,
        )];
    }
    let told = |warning: &&BackendWarning| {
        let place = [&*warning.pod, &*warning.node]
            .into_iter()
            .filter(|part| !part.is_empty());
        let place: Vec<&str> = place.collect();
        let note = format!("{} ({}): {}", warning.address, place.join(", "), warning.message);
        Notice::warning(events::FAILURE_FORESEEN, &warning.address, note)
    };
    fresh.iter().map(told).collect()
}

fn named(backend: &IsolatedBackend) -> String {
    match (backend.pod.is_empty(), backend.node.is_empty()) {
        (true, _) => backend.address.clone(),
        (false, true) => format!("{} ({})", backend.address, backend.pod),
        (false, false) => format!("{} ({}, {})", backend.address, backend.pod, backend.node),
    }
}

fn hint(before: Option<&HintStatus>, after: Option<&HintStatus>) -> Option<Notice> {
    let (before, after) = (before?, after?);
    let change = format!("{} → {}", before.desired_replicas, after.desired_replicas);
    let note = format!("{change} replicas wanted: {}", after.message);
    (before.desired_replicas != after.desired_replicas)
        .then(|| Notice::normal(events::SCALE_HINT_CHANGED, &change, note))
}

/// What happened to a policy.
#[must_use]
pub fn of_policy(before: &ContinuityPolicyStatus, after: &ContinuityPolicyStatus) -> Vec<Notice> {
    let find = |status: &ContinuityPolicyStatus, kind: &str| {
        status
            .conditions
            .iter()
            .find(|condition| condition.type_ == kind)
            .cloned()
    };
    let changed = |kind: &str| {
        let (before, after) = (find(before, kind), find(after, kind)?);
        let same =
            before.is_some_and(|before| before.status == after.status && before.reason == after.reason);
        (!same).then_some(after)
    };
    let mut notices = Vec::new();
    if let Some(accepted) = changed(conditions::ACCEPTED) {
        notices.push(if accepted.status == conditions::TRUE {
            Notice::normal(events::POLICY_ACCEPTED, &accepted.reason, accepted.message)
        } else {
            Notice::warning(events::POLICY_REFUSED, &accepted.reason, accepted.message)
        });
    }
    let staged = changed(conditions::PROGRAMMED).and_then(|programmed| {
        let message = programmed.message.clone();
        let generation = programmed.observed_generation.unwrap_or_default().to_string();
        match programmed.reason.as_str() {
            reasons::ROLLING_OUT => Some(Notice::normal(events::ROLLOUT_STARTED, &generation, message)),
            reasons::ROLLOUT_HALTED => Some(Notice::warning(events::ROLLOUT_HALTED, &generation, message)),
            _ => None,
        }
    });
    notices.extend(staged);
    if let Some(programmed) =
        changed(conditions::PROGRAMMED).filter(|condition| condition.status == conditions::TRUE)
    {
        let generation = programmed.observed_generation.unwrap_or_default().to_string();
        notices.push(Notice::normal(
            events::POLICY_PROGRAMMED,
            &generation,
            programmed.message,
        ));
    }
    notices
}

/// That a node is doubted, or believed again.
#[must_use]
pub fn of_trust(believed: bool, why: &str) -> Notice {
    if believed {
        Notice::normal(events::NODE_TRUSTED, "", why.to_owned())
    } else {
        Notice::warning(events::NODE_DISTRUSTED, "", why.to_owned())
    }
}

/// Whether a person waits for this change: then it does not wait for the slow bucket.
#[must_use]
pub fn is_transition(before: &EquivalenceSetStatus, after: &EquivalenceSetStatus) -> bool {
    let addresses = |status: &EquivalenceSetStatus| -> Vec<String> {
        status
            .isolated
            .iter()
            .map(|backend| backend.address.clone())
            .collect()
    };
    let desired =
        |status: &EquivalenceSetStatus| status.scale_hint.as_ref().map(|hint| hint.desired_replicas);
    let ready = |status: &EquivalenceSetStatus| {
        status
            .conditions
            .iter()
            .map(|condition| (condition.type_.clone(), condition.status.clone()))
            .collect::<Vec<_>>()
    };
    let would = |status: &EquivalenceSetStatus| {
        status
            .would_have
            .as_ref()
            .map(|would| (would.regime, would.isolated.clone()))
    };
    let warned = |status: &EquivalenceSetStatus| -> Vec<String> {
        status
            .warnings
            .iter()
            .map(|warning| warning.address.clone())
            .collect()
    };
    before.regime != after.regime
        || warned(before) != warned(after)
        || before.admission != after.admission
        || before.backends != after.backends
        || before.observed_generation != after.observed_generation
        || addresses(before) != addresses(after)
        || desired(before) != desired(after)
        || ready(before) != ready(after)
        || would(before) != would(after)
}

#[cfg(test)]
mod tests;
