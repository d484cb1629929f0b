//! Fields that are stored and validated before they act.
//!
//! A field leaves this list in the release that makes it act; until then status names it, so that nobody relies on it. Who
//! calls matters to admission only, so rules about callers are named while it is off.

use continuity_api::ContinuityPolicySpec;
use continuity_api::policy::{AdmissionMode, Priority};

/// Fields of `spec` that ask for something this version does not do.
#[must_use]
pub fn not_yet_enforced(spec: &ContinuityPolicySpec) -> Vec<String> {
    let admits = spec.admission.mode == AdmissionMode::Auto;
    let asked = [
        ("spec.callers", !spec.callers.is_empty() && !admits),
        (
            "spec.defaultPriority",
            spec.default_priority != Priority::Normal && !admits,
        ),
        (
            "spec.objectives.errorBudgetPerMillion",
            spec.objectives
                .is_some_and(|promised| promised.error_budget_per_million.is_some()),
        ),
        ("spec.balancing.regretOverlay", spec.balancing.regret_overlay),
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
