//! From a mark and a set to entries, in the order in which things are told: policy, regime, backends, admission, hint.

use super::written;
use continuity_api::node::{AdmissionState, Regime};
use continuity_api::policy::Mode;
use continuity_api::set::{BackendWarning, EquivalenceSetStatus, IsolatedBackend};
use continuity_api::timeline::{TimelineEntry, TimelineMark};
use continuity_api::{EquivalenceSet, Time, events};
use k8s_openapi::jiff::Timestamp;

struct Teller<'a> {
    set: &'a EquivalenceSet,
    status: EquivalenceSetStatus,
    now: Timestamp,
}

/// What happened between `before` and `set`.
pub(super) fn told(
    before: Option<&TimelineMark>,
    set: &EquivalenceSet,
    now: Timestamp,
) -> Vec<TimelineEntry> {
    let teller = Teller {
        set,
        status: set.status.clone().unwrap_or_default(),
        now,
    };
    let fresh = TimelineMark {
        // A set begins as one that serves; that it does not is worth an entry.
        served: true,
        mode: set.spec.mode,
        ..TimelineMark::default()
    };
    let before = before.unwrap_or(&fresh);
    let mut entries = Vec::new();
    entries.extend(teller.policy(before));
    entries.extend(teller.regime(before));
    entries.extend(teller.served(before));
    entries.extend(teller.warned(before));
    entries.extend(teller.isolated(before));
    entries.extend(teller.returned(before));
    entries.extend(teller.admission(before));
    entries.extend(teller.hint(before));
    entries.sort_by_key(|entry| entry.at.0);
    entries
}

impl Teller<'_> {
    fn entry(
        &self,
        at: Option<&Time>,
        what: &str,
        subject: &str,
        cause: &str,
        action: &str,
    ) -> TimelineEntry {
        written((at, self.now), what, subject, cause, action)
    }

    fn enforced(&self) -> bool {
        self.set.spec.mode == Mode::Enforce
    }

    fn policy(&self, before: &TimelineMark) -> Option<TimelineEntry> {
        let policy = &self.set.spec.policy;
        let mode = self.set.spec.mode;
        let Some(known) = &before.policy else {
            let cause = format!(
                "policy {} (generation {}) names it, mode {mode:?}",
                policy.name, policy.generation
            );
            let action = "agents of every node got a plan";
            return Some(self.entry(None, events::SET_FOLLOWED, &policy.name, &cause, action));
        };
        let mut changes = Vec::new();
        if known.uid != policy.uid {
            changes.push(format!("policy {} → {}", known.name, policy.name));
        } else if known.generation != policy.generation {
            changes.push(format!("generation {} → {}", known.generation, policy.generation));
        }
        if before.mode != mode {
            changes.push(format!("mode {:?} → {mode:?}", before.mode));
        }
        (!changes.is_empty()).then(|| {
            let action = "agents got a new plan where its constants differ";
            self.entry(
                None,
                events::POLICY_CHANGED,
                &policy.name,
                &changes.join(", "),
                action,
            )
        })
    }

    fn regime(&self, before: &TimelineMark) -> Option<TimelineEntry> {
        let status = &self.status;
        let what = match status.regime.cmp(&before.regime) {
            std::cmp::Ordering::Greater => events::REGIME_WORSENED,
            std::cmp::Ordering::Less => events::REGIME_IMPROVED,
            std::cmp::Ordering::Equal => return None,
        };
        let why = if status.reason.is_empty() {
            String::new()
        } else {
            format!(": {}", status.reason)
        };
        let cause = format!(
            "{:?} → {:?}{why}; {}",
            before.regime,
            status.regime,
            self.figures()
        );
        let action = match (self.enforced(), status.regime) {
            (false, _) => "nothing: Observe",
            (true, Regime::Laminar) => "steers by pressure as ever; baselines learn again",
            (true, Regime::Recovery) => "gives shares back step by step",
            (true, Regime::Transition) => "moves shares away from pressure; baselines are frozen",
            (true, Regime::Crisis) => "spreads load over what still answers; baselines are frozen",
        };
        Some(self.entry(status.regime_since.as_ref(), what, "", &cause, action))
    }

    /// `pressure 1.31, 100/s offered, 0/s failed, p99 74 ms`
    fn figures(&self) -> String {
        let traffic = &self.status.traffic;
        let mut parts = vec![
            format!("{}/s offered", whole(traffic.offered_milli_per_second)),
            format!("{}/s failed", whole(traffic.failed_milli_per_second)),
        ];
        if !self.status.pressure.is_empty() {
            parts.insert(0, format!("pressure {}", self.status.pressure));
        }
        if traffic.refused_milli_per_second > 0 {
            parts.push(format!("{}/s refused", whole(traffic.refused_milli_per_second)));
        }
        if traffic.p99_micros > 0 {
            parts.push(format!("p99 {} ms", whole(traffic.p99_micros)));
        }
        parts.join(", ")
    }

    fn served(&self, before: &TimelineMark) -> Option<TimelineEntry> {
        let backends = &self.status.backends;
        match (before.served, backends.ready > 0) {
            // Without a status nobody has counted.
            (true, false) if self.set.status.is_some() => {
                let cause = format!("none of {} backends serves", backends.total);
                let action = "connects get ECONNREFUSED, as kube-proxy gives";
                Some(self.entry(None, events::BACKENDS_GONE, "", &cause, action))
            }
            (false, true) => {
                let cause = format!("{} backends serve again", backends.summary);
                Some(self.entry(None, events::BACKENDS_BACK, "", &cause, "new ones start slowly"))
            }
            _ => None,
        }
    }

    fn warned(&self, before: &TimelineMark) -> Vec<TimelineEntry> {
        let fresh = |warning: &&BackendWarning| !before.warned.contains(&warning.address);
        let told = |warning: &BackendWarning| {
            let place = [warning.pod.as_str(), warning.node.as_str()];
            let place: Vec<&str> = place.into_iter().filter(|part| !part.is_empty()).collect();
            let subject = format!("{} ({})", warning.address, place.join(", "));
            let action = if self.enforced() {
                "gives it less the nearer it comes, if its peers are better off"
            } else {
                "nothing: Observe"
            };
            let what = events::FAILURE_FORESEEN;
            self.entry(warning.since.as_ref(), what, &subject, &warning.message, action)
        };
        self.status.warnings.iter().filter(fresh).map(told).collect()
    }

    fn isolated(&self, before: &TimelineMark) -> Vec<TimelineEntry> {
        let fresh = |backend: &&IsolatedBackend| !before.isolated.contains(&backend.address);
        let told = |backend: &IsolatedBackend| {
            let place = [backend.pod.as_str(), backend.node.as_str()];
            let place: Vec<&str> = place.into_iter().filter(|part| !part.is_empty()).collect();
            let subject = if place.is_empty() {
                backend.address.clone()
            } else {
                format!("{} ({})", backend.address, place.join(", "))
            };
            let (agreeing, reporting) = (backend.agreeing_nodes, backend.reporting_nodes);
            let action = format!(
                "taken out of rotation by {agreeing} of {reporting} nodes; a trickle of real connections tests it"
            );
            let what = events::BACKEND_ISOLATED;
            self.entry(backend.since.as_ref(), what, &subject, &backend.reason, &action)
        };
        self.status.isolated.iter().filter(fresh).map(told).collect()
    }

    fn returned(&self, before: &TimelineMark) -> Vec<TimelineEntry> {
        // A full list hides who came back and who was only pushed out.
        if before.truncated || self.status.truncated {
            return Vec::new();
        }
        let still = |address: &&String| self.status.isolated.iter().all(|one| one.address != **address);
        let told = |address: &String| {
            let cause = "it answered its tests, or its pod is gone";
            let action = "its share doubles step by step up to the others'";
            self.entry(None, events::BACKEND_RETURNED, address, cause, action)
        };
        before.isolated.iter().filter(still).map(told).collect()
    }

    fn admission(&self, before: &TimelineMark) -> Option<TimelineEntry> {
        let now = self.status.admission;
        let what = match now.cmp(&before.admission) {
            std::cmp::Ordering::Greater => events::ADMISSION_TIGHTENED,
            std::cmp::Ordering::Less => events::ADMISSION_RELAXED,
            std::cmp::Ordering::Equal => return None,
        };
        let nodes = &self.status.admission_nodes;
        let cause = format!("{:?} → {now:?}; {}", before.admission, self.figures());
        let action = match now {
            AdmissionState::Normal => "refuses nobody".to_owned(),
            AdmissionState::Soft => format!("refuses low classes on {} nodes", nodes.soft + nodes.hard),
            AdmissionState::Hard => format!("lets the top class and a trickle pass on {} nodes", nodes.hard),
        };
        Some(self.entry(None, what, "", &cause, &action))
    }

    fn hint(&self, before: &TimelineMark) -> Option<TimelineEntry> {
        let hint = self.status.scale_hint.as_ref()?;
        // The first hint is the replicas that there are, and no change.
        if before.desired_replicas == 0 || before.desired_replicas == hint.desired_replicas {
            return None;
        }
        let action = format!(
            "{} → {} replicas wanted",
            before.desired_replicas, hint.desired_replicas
        );
        let what = events::SCALE_HINT_CHANGED;
        Some(self.entry(hint.changed.as_ref(), what, "", &hint.message, &action))
    }
}

/// Thousandths, rounded to whole ones.
const fn whole(milli: i64) -> i64 {
    milli.saturating_add(500) / 1_000
}
