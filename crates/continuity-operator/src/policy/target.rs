//! What became of each target of a policy.

use super::Standing;
use crate::bind::{self, Rank};
use crate::world::{Key, PortFacts, Reachability, ServiceFacts, World};
use continuity_api::ContinuityPolicy;
use continuity_api::reasons;
use continuity_api::target::TargetRef;

/// What a condition says of a port that another policy has.
const FOLLOWS: &str = " follows policy ";

/// Whether a condition of a target says that another policy has some port of it.
#[must_use]
pub fn contested(message: &str) -> bool {
    message.contains(FOLLOWS)
}

/// One target and its outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The target as the spec names it, or as the selector found it.
    pub target: TargetRef,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// These ports follow the policy; the note says what does not.
    Accepted {
        /// Labels of the ports.
        ports: Vec<String>,
        /// Ports that do not follow it, and why.
        note: Option<String>,
    },
    /// Another policy has every port.
    Conflicted {
        /// Name of one of those policies, and why it won.
        message: String,
    },
    /// There is no such Service.
    NoService {
        /// Its name.
        message: String,
    },
    /// The Service has no such port.
    NoPort {
        /// The port, and those there are.
        message: String,
    },
    /// The Service can not be steered.
    Invalid {
        /// Why.
        message: String,
    },
}

impl Outcome {
    /// Whether the policy is in force on the target.
    #[must_use]
    pub const fn accepted(&self) -> bool {
        matches!(self, Self::Accepted { .. })
    }

    /// Labels of the ports that follow the policy.
    #[must_use]
    pub fn ports(&self) -> &[String] {
        match self {
            Self::Accepted { ports, .. } => ports,
            _ => &[],
        }
    }

    /// As a condition.
    #[must_use]
    pub fn standing(&self) -> Standing {
        match self {
            Self::Accepted { ports, note } => {
                let follows = format!("in force on port {}", ports.join(", "));
                let message = note
                    .as_ref()
                    .map_or_else(|| follows.clone(), |note| format!("{follows}; {note}"));
                Standing::yes(reasons::ACCEPTED, message)
            }
            Self::Conflicted { message } => Standing::no(reasons::CONFLICTED, message.clone()),
            Self::NoService { message } => Standing::no(reasons::TARGET_NOT_FOUND, message.clone()),
            Self::NoPort { message } => Standing::no(reasons::PORT_NOT_FOUND, message.clone()),
            Self::Invalid { message } => Standing::no(reasons::INVALID, message.clone()),
        }
    }
}

/// Every target of `policy`, in the order of the spec, or of the names a selector finds.
#[must_use]
pub fn verdicts(world: &World, namespace: &str, policy: &ContinuityPolicy) -> Vec<Verdict> {
    if let Some(selector) = &policy.spec.target_selector {
        return world
            .services_in(namespace)
            .filter(|(_, service)| selector.matches(&service.labels))
            .map(|(key, service)| Verdict {
                target: TargetRef::service(&key.name),
                outcome: outcome(world, policy, key, service, None),
            })
            .collect();
    }
    let by_reference = |target: &TargetRef| {
        let key = Key::new(namespace, &target.name);
        let outcome = match world.services.get(&key) {
            Some(service) => outcome(world, policy, &key, service, target.section_name.as_deref()),
            None => Outcome::NoService {
                message: format!(
                    "Service {key} does not exist: create it, or correct targetRefs; traffic is untouched"
                ),
            },
        };
        Verdict {
            target: target.clone(),
            outcome,
        }
    };
    policy.spec.target_refs.iter().map(by_reference).collect()
}

fn outcome(
    world: &World,
    policy: &ContinuityPolicy,
    key: &Key,
    service: &ServiceFacts,
    section: Option<&str>,
) -> Outcome {
    if let Some(message) = unreachable(key, service.reachability) {
        return Outcome::Invalid { message };
    }
    let meant: Vec<&PortFacts> = match section {
        None => service.ports.iter().collect(),
        Some(section) => service
            .ports
            .iter()
            .filter(|port| port.identity.name.as_deref() == Some(section))
            .collect(),
    };
    if meant.is_empty() {
        return Outcome::NoPort {
            message: missing(key, service, section),
        };
    }
    share(world, policy, key, service, &meant)
}

/// Why a Service without a virtual IP can not be steered.
fn unreachable(key: &Key, reachability: Reachability) -> Option<String> {
    match reachability {
        Reachability::Virtual => None,
        Reachability::Headless => Some(format!(
            "Service {key} is headless: its clients connect to pods directly, past any balancer; target a Service with a \
             cluster IP; traffic is untouched"
        )),
        Reachability::ExternalName => Some(format!(
            "Service {key} is an ExternalName, a DNS alias without backends in this cluster; target a Service with a \
             cluster IP; traffic is untouched"
        )),
    }
}

fn missing(key: &Key, service: &ServiceFacts, section: Option<&str>) -> String {
    let names: Vec<&str> = service
        .ports
        .iter()
        .map(|port| port.identity.label.as_str())
        .collect();
    let there = if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    };
    let wanted = section.unwrap_or("any");
    format!(
        "Service {key} has no port named {wanted} (it has: {there}); correct sectionName; traffic is untouched"
    )
}

/// Which of the meant ports the policy has, and who has the others.
fn share(
    world: &World,
    policy: &ContinuityPolicy,
    key: &Key,
    service: &ServiceFacts,
    meant: &[&PortFacts],
) -> Outcome {
    let mut ours = Vec::new();
    let mut lost = Vec::new();
    let mut untouched = Vec::new();
    for port in meant {
        let label = &port.identity.label;
        if !port.steerable() {
            untouched.push(format!("port {label} is SCTP and passes untouched"));
            continue;
        }
        match bind::winner(world, key, service, port) {
            Some(claim) if claim.is_of(policy) => ours.push(label.clone()),
            Some(claim) => {
                let mine = bind::rank(policy, key, service, port).unwrap_or(Rank::Selector);
                let name = claim.policy.metadata.name.as_deref().unwrap_or_default();
                lost.push(format!("port {label}{FOLLOWS}{name}: {}", claim.rank.beats(mine)));
            }
            None => untouched.push(format!(
                "port {label} follows no policy: this one is being deleted"
            )),
        }
    }
    let notes: Vec<String> = lost.iter().chain(&untouched).cloned().collect();
    match (ours.is_empty(), lost.is_empty()) {
        (false, _) => {
            let note = (!notes.is_empty()).then(|| notes.join("; "));
            Outcome::Accepted { ports: ours, note }
        }
        (true, false) => Outcome::Conflicted {
            message: format!("Service {key}: {}", notes.join("; ")),
        },
        (true, true) => Outcome::Invalid {
            message: format!("Service {key}: {}", untouched.join("; ")),
        },
    }
}
