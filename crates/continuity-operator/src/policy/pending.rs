//! Fields that are stored and validated before they act.
//!
//! A field leaves this list in the release that makes it act; until then status names it, so that nobody relies on it.

use continuity_api::ContinuityPolicySpec;
use continuity_api::policy::{AdmissionMode, Priority};

/// Fields of `spec` that ask for something this version does not do.
#[must_use]
pub fn not_yet_enforced(spec: &ContinuityPolicySpec) -> Vec<String> {
    let asked = [
        ("spec.callers", !spec.callers.is_empty()),
        ("spec.defaultPriority", spec.default_priority != Priority::Normal),
        (
            "spec.objectives.errorBudgetPerMillion",
            spec.objectives
                .is_some_and(|promised| promised.error_budget_per_million.is_some()),
        ),
        ("spec.balancing.regretOverlay", spec.balancing.regret_overlay),
        ("spec.admission.mode", spec.admission.mode != AdmissionMode::Off),
        (
            "spec.revisions.splitByPodTemplateHash",
            spec.revisions.split_by_pod_template_hash,
        ),
    ];
    asked
        .into_iter()
        .filter(|(_, asked)| *asked)
        .map(|(name, _)| name.to_owned())
        .collect()
}
