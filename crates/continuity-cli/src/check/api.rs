//! Checks of what stands in the API server: kinds, its own version, admission, external metrics.

use super::{Verdict, listed};
use crate::install;
use crate::survey::Survey;
use jiff::Timestamp;
use kube::ResourceExt as _;

/// First minor version of Kubernetes 1 whose pod tokens carry the node's name by default.
const MINOR: u32 = 32;

pub(super) fn crds(survey: &Survey, _: Timestamp) -> Verdict {
    let found = match &survey.crds {
        Ok(found) => found,
        Err(why) => return Verdict::unseen("the CRDs", why),
    };
    let served = |name: &str| {
        found.iter().any(|crd| {
            let version = crd
                .spec
                .versions
                .iter()
                .any(|version| version.name == continuity_api::VERSION && version.served);
            let conditions = crd.status.as_ref().and_then(|status| status.conditions.as_ref());
            let established = conditions.is_some_and(|list| {
                list.iter()
                    .any(|c| c.type_ == "Established" && c.status == "True")
            });
            crd.name_any() == name && version && established
        })
    };
    let missing: Vec<String> = install::CRDS
        .iter()
        .filter(|name| !served(name))
        .map(|name| (*name).to_owned())
        .collect();
    if missing.is_empty() {
        return Verdict::ok(format!(
            "all five kinds are served as {}",
            continuity_api::VERSION
        ));
    }
    Verdict::fail(format!(
        "not served: {}. Install with `kubectl apply -k config/default`",
        listed(&missing)
    ))
}

pub(super) fn version(survey: &Survey, _: Timestamp) -> Verdict {
    let (major, minor) = survey.server;
    if (major, minor) >= (1, MINOR) {
        Verdict::ok(format!("{major}.{minor}"))
    } else {
        Verdict::warn(format!(
            "{major}.{minor} is older than 1.{MINOR}: tokens may not name their node, and agents then cannot report"
        ))
    }
}

pub(super) fn admission(survey: &Survey, _: Timestamp) -> Verdict {
    let (policy, binding) = match (&survey.admission, &survey.binding) {
        (Ok(policy), Ok(binding)) => (policy, binding),
        (Err(why), _) | (_, Err(why)) => return Verdict::unseen("the admission policy", why),
    };
    let (Some(policy), Some(binding)) = (policy, binding) else {
        return Verdict::fail(format!(
            "ValidatingAdmissionPolicy {0} or its binding is missing: any agent's token can write any node's report",
            install::NODE_WRITER
        ));
    };
    let denies = &binding.spec.validation_actions;
    if !denies.iter().any(|action| action == "Deny") {
        return Verdict::fail(format!("the binding of {} does not deny", install::NODE_WRITER));
    }
    let rules = policy
        .spec
        .as_ref()
        .and_then(|spec| spec.match_constraints.as_ref());
    let resources: Vec<&String> = rules
        .and_then(|rules| rules.resource_rules.as_ref())
        .into_iter()
        .flatten()
        .flat_map(|rule| rule.resources.iter().flatten())
        .collect();
    for wanted in ["continuitynodes", "continuitynodes/status"] {
        if !resources.iter().any(|resource| resource.as_str() == wanted) {
            return Verdict::fail(format!("{} does not cover {wanted}", install::NODE_WRITER));
        }
    }
    Verdict::ok("an agent can write only its own node's report")
}

pub(super) fn external(survey: &Survey, _: Timestamp) -> Verdict {
    let service = match &survey.external {
        Ok(Some(service)) => service,
        Ok(None) => {
            return Verdict::ok("nobody serves external.metrics.k8s.io; the hint is in status and metrics");
        }
        Err(why) => return Verdict::unseen("the APIService", why),
    };
    let owner = service.spec.as_ref().and_then(|spec| spec.service.as_ref());
    let name = owner
        .map(|owner| {
            format!(
                "{}/{}",
                owner.namespace.as_deref().unwrap_or_default(),
                owner.name.as_deref().unwrap_or_default()
            )
        })
        .unwrap_or_else(|| "the API server itself".to_owned());
    if name != format!("{}/{}", install::NAMESPACE, install::EXTERNAL_METRICS_SERVICE) {
        return Verdict::ok(format!(
            "{name} owns external.metrics.k8s.io; the hint is in status and metrics"
        ));
    }
    let conditions = service
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    let available = conditions
        .into_iter()
        .flatten()
        .find(|condition| condition.type_ == "Available");
    match available {
        Some(condition) if condition.status == "True" => Verdict::ok("we serve external.metrics.k8s.io"),
        Some(condition) => Verdict::fail(format!(
            "we own external.metrics.k8s.io and do not serve it: {}. No HPA with an External metric can scale down",
            condition
                .message
                .as_deref()
                .unwrap_or("no reason given")
                .trim_end_matches('.')
        )),
        None => Verdict::warn("we own external.metrics.k8s.io; the API server has not tried it yet"),
    }
}
