//! Checks of what runs: operator, its leader, agents, and whether they fit together.

use super::{Verdict, listed};
use crate::survey::{Replicas, Survey};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use std::collections::BTreeSet;

/// A Lease that was not renewed for this many of its own durations has no holder: one duration is normal around a
/// hand-over, and the clocks of this machine and the leader's may differ.
const PATIENCE: i64 = 2;

pub(super) fn operator(survey: &Survey, _: Timestamp) -> Verdict {
    let deployment = match &survey.operator {
        Ok(Some(deployment)) => deployment,
        Ok(None) => return Verdict::fail("there is no Deployment continuity-operator"),
        Err(why) => return Verdict::unseen("the operator", why),
    };
    let Replicas { wanted, ready } = Replicas::of(deployment);
    match ready {
        0 => Verdict::fail(format!(
            "0 of {wanted} replicas are ready: no plans, no status, no hints; nodes go on alone"
        )),
        ready if ready < wanted => Verdict::warn(format!(
            "{ready} of {wanted} replicas are ready: nobody takes over if it stops"
        )),
        ready => Verdict::ok(format!("{ready} of {wanted} replicas are ready")),
    }
}

pub(super) fn leader(survey: &Survey, now: Timestamp) -> Verdict {
    let lease = match &survey.lease {
        Ok(Some(lease)) => lease.spec.clone().unwrap_or_default(),
        Ok(None) => return Verdict::fail("there is no Lease continuity-operator: no replica has ever led"),
        Err(why) => return Verdict::unseen("the Lease", why),
    };
    let Some(holder) = lease.holder_identity.filter(|holder| !holder.is_empty()) else {
        return Verdict::fail("the Lease has no holder: nobody writes plans");
    };
    let Some(renewed) = lease.renew_time else {
        return Verdict::fail(format!("{holder} holds the Lease and has never renewed it"));
    };
    let silent = now.as_second() - renewed.0.as_second();
    let bound = i64::from(lease.lease_duration_seconds.unwrap_or(15)) * PATIENCE;
    if silent > bound {
        return Verdict::fail(format!(
            "{holder} holds the Lease and has not renewed it for {silent} s by this machine's clock"
        ));
    }
    Verdict::ok(format!("{holder} leads"))
}

pub(super) fn agents(survey: &Survey, _: Timestamp) -> Verdict {
    let status = match &survey.agents {
        Ok(Some(set)) => set.status.clone().unwrap_or_default(),
        Ok(None) => return Verdict::fail("there is no DaemonSet continuity-agent"),
        Err(why) => return Verdict::unseen("the agents", why),
    };
    let (ready, wanted) = (status.number_ready, status.desired_number_scheduled);
    if wanted > 0 && ready >= wanted {
        return Verdict::ok(format!("ready on {ready} of {wanted} nodes"));
    }
    let pods = survey.pods.as_deref().unwrap_or_default();
    let names: Vec<String> = pods.iter().filter(|pod| !is_ready(pod)).map(trouble).collect();
    let detail = if names.is_empty() {
        String::new()
    } else {
        format!(": {}", listed(&names))
    };
    let message = format!("ready on {ready} of {wanted} nodes{detail}");
    if ready == 0 {
        Verdict::fail(message)
    } else {
        Verdict::warn(message)
    }
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.is_some_and(|list| list.iter().any(|c| c.type_ == "Ready" && c.status == "True"))
}

/// The node, and why its agent is not ready, in kubelet's word.
fn trouble(pod: &Pod) -> String {
    let node = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.node_name.clone())
        .unwrap_or_else(|| "not placed".to_owned());
    let containers = pod
        .status
        .as_ref()
        .and_then(|status| status.container_statuses.as_ref());
    let waiting = containers
        .into_iter()
        .flatten()
        .find_map(|container| container.state.as_ref()?.waiting.as_ref()?.reason.clone());
    format!("{node} ({})", waiting.unwrap_or_else(|| "not ready".to_owned()))
}

pub(super) fn skew(survey: &Survey, _: Timestamp) -> Verdict {
    let (Ok(operator), Ok(agents), Ok(nodes)) = (&survey.operator, &survey.agents, &survey.nodes) else {
        return Verdict::unseen(
            "the versions",
            "operator, agents or their reports are not visible to you",
        );
    };
    let operator = operator
        .as_ref()
        .and_then(|set| tag(&set.spec.as_ref()?.template));
    let agent = agents.as_ref().and_then(|set| tag(&set.spec.as_ref()?.template));
    if let (Some(operator), Some(agent)) = (&operator, &agent)
        && operator != agent
    {
        return Verdict::warn(format!(
            "the operator's image is {operator}, the agents' is {agent}"
        ));
    }
    let status = agents
        .as_ref()
        .and_then(|set| set.status.clone())
        .unwrap_or_default();
    let rolling = status.updated_number_scheduled.unwrap_or(0) < status.desired_number_scheduled;
    let versions: BTreeSet<&str> = nodes
        .iter()
        .map(|node| node.version.as_str())
        .filter(|version| !version.is_empty())
        .collect();
    let shown = versions.iter().copied().collect::<Vec<_>>().join(", ");
    match (versions.len(), rolling) {
        (0, _) => Verdict::warn("no agent has reported its version"),
        (1, _) => Verdict::ok(format!("agents run {shown}")),
        (_, true) => Verdict::ok(format!("a roll-out is under way: {shown}")),
        (_, false) => Verdict::warn(format!(
            "agents report different versions and no roll-out is under way: {shown}"
        )),
    }
}

/// What follows the image's name: a tag or a digest.
fn tag(template: &PodTemplateSpec) -> Option<String> {
    let image = template.spec.as_ref()?.containers.first()?.image.as_deref()?;
    let name = image.rsplit('/').next()?;
    // A digest names content, and two programs never share it; only tags can be compared.
    if name.contains('@') {
        return None;
    }
    name.split_once(':').map(|(_, tag)| tag.to_owned())
}
