//! Cleaning the nodes: one pod a node runs `continuity-agent uninstall` with exactly the mounts, capabilities and image
//! of the agent it replaces, and exits 0 only when it found nothing left in the kernel.
//!
//! Pods, not a DaemonSet: a DaemonSet restarts what has finished, and its pods have no last word.

use super::proof::NodeProof;
use super::removal::Scene;
use crate::error::Error;
use crate::install;
use crate::session::Session;
use crate::survey::sentence;
use futures::StreamExt as _;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Pod, PodSpec, PodTemplateSpec};
use kube::api::{DeleteParams, ListParams, LogParams, PostParams};
use kube::runtime::wait::await_condition;
use kube::{Api, ResourceExt as _};
use std::collections::BTreeMap;
use std::time::Duration;

/// Nodes cleaned at a time: 32 pods and their watches are no load for an API server, and 1,000 nodes at some 3 s each
/// are done in under two minutes.
const ABREAST: usize = 32;
/// Label of the cleaning pods.
const LABEL: &str = "app.kubernetes.io/name";
/// Its value.
const SWEEP: &str = "continuity-uninstall";

/// The pod template of the installed agent; if the DaemonSet is gone already, the shipped one with the image that the
/// command line or an earlier run names. An image is never guessed.
pub(super) async fn template(
    session: &Session,
    named: Option<&str>,
    noted: Option<&str>,
) -> Result<PodTemplateSpec, Error> {
    let sets: Api<DaemonSet> = Api::namespaced(session.client.clone(), &session.system);
    let found = sets
        .get_opt(install::AGENT)
        .await
        .map_err(Error::api("get", "DaemonSet continuity-agent"))?;
    let image = match &found {
        Some(_) => named,
        None => Some(
            named
                .or(noted)
                .ok_or_else(|| Error::Image(session.system.clone()))?,
        ),
    };
    let set = match found {
        Some(set) => set,
        None => serde_yaml_ng::from_str(install::AGENT_MANIFEST).map_err(|source| Error::Manifest {
            file: "the agent's manifest in this binary".to_owned(),
            source,
        })?,
    };
    let mut template = set.spec.map(|spec| spec.template).unwrap_or_default();
    if let (Some(image), Some(spec)) = (image, template.spec.as_mut()) {
        for container in &mut spec.containers {
            container.image = Some(image.to_owned());
        }
    }
    Ok(template)
}

/// The pod that cleans `node`.
fn pod(template: &PodTemplateSpec, node: &str) -> Pod {
    let mut spec: PodSpec = template.spec.clone().unwrap_or_default();
    spec.node_name = Some(node.to_owned());
    spec.restart_policy = Some("Never".to_owned());
    spec.affinity = None;
    spec.node_selector = None;
    spec.service_account_name = None;
    spec.automount_service_account_token = Some(false);
    for container in &mut spec.containers {
        container.args = Some(vec!["uninstall".to_owned()]);
        container.ports = None;
        container.liveness_probe = None;
        container.readiness_probe = None;
        container.startup_probe = None;
    }
    let mut pod = Pod {
        spec: Some(spec),
        ..Pod::default()
    };
    pod.metadata.generate_name = Some(format!("{SWEEP}-"));
    pod.metadata.labels = Some(BTreeMap::from([
        (LABEL.to_owned(), SWEEP.to_owned()),
        ("app.kubernetes.io/part-of".to_owned(), "continuity".to_owned()),
    ]));
    pod
}

/// Cleans every node of the scene; the result is in the order of the nodes' names.
pub(super) async fn all(
    session: &Session,
    template: &PodTemplateSpec,
    scene: &Scene,
    timeout: Duration,
) -> Result<Vec<NodeProof>, Error> {
    let pods: Api<Pod> = Api::namespaced(session.client.clone(), &session.system);
    let old = ListParams::default().labels(&format!("{LABEL}={SWEEP}"));
    pods.delete_collection(&DeleteParams::default().grace_period(0), &old)
        .await
        .map_err(Error::api("delete", "earlier cleaning pods"))?;
    let work = scene
        .ready
        .iter()
        .map(|node| (node, true))
        .chain(scene.unready.iter().map(|node| (node, false)));
    let mut proofs: Vec<NodeProof> = futures::stream::iter(work)
        .map(|(node, ready)| one(&pods, template, node, ready, timeout))
        .buffer_unordered(ABREAST)
        .collect()
        .await;
    proofs.sort_by(|a, b| a.node.cmp(&b.node));
    Ok(proofs)
}

/// Cleans one node. Failing is an answer here, not an error: the other nodes go on.
async fn one(
    pods: &Api<Pod>,
    template: &PodTemplateSpec,
    node: &str,
    ready: bool,
    timeout: Duration,
) -> NodeProof {
    let made = match pods.create(&PostParams::default(), &pod(template, node)).await {
        Ok(made) => made,
        Err(error) => {
            return NodeProof::failed(
                node,
                ready,
                format!("its cleaning pod was refused: {}", sentence(&error)),
            );
        }
    };
    let name = made.name_any();
    let ended = tokio::time::timeout(timeout, await_condition(pods.clone(), &name, ended())).await;
    let proof = match ended {
        Ok(Ok(Some(pod))) => {
            let log = pods.logs(&name, &LogParams::default()).await.unwrap_or_default();
            NodeProof::from_exit(node, ready, exit_code(&pod), &log)
        }
        Ok(Ok(None)) => NodeProof::failed(
            node,
            ready,
            "its cleaning pod was deleted by somebody else".to_owned(),
        ),
        Ok(Err(error)) => NodeProof::failed(
            node,
            ready,
            format!("its cleaning pod could not be watched: {error}"),
        ),
        Err(_) => {
            let why = match pods.get_opt(&name).await {
                Ok(Some(pod)) => waiting(&pod),
                _ => "it cannot be read".to_owned(),
            };
            NodeProof::failed(
                node,
                ready,
                format!("its cleaning pod did not end in {} s: {why}", timeout.as_secs()),
            )
        }
    };
    // The namespace goes soon, and the next run clears what is left here; a failed delete costs nothing.
    let _ = pods.delete(&name, &DeleteParams::default().grace_period(0)).await;
    proof
}

fn ended() -> impl kube::runtime::wait::Condition<Pod> {
    |pod: Option<&Pod>| {
        pod.and_then(|pod| pod.status.as_ref())
            .and_then(|status| status.phase.as_deref())
            .is_some_and(|phase| phase == "Succeeded" || phase == "Failed")
    }
}

fn exit_code(pod: &Pod) -> Option<i32> {
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    statuses
        .first()?
        .state
        .as_ref()?
        .terminated
        .as_ref()
        .map(|end| end.exit_code)
}

/// Why a pod has not ended, in kubelet's words.
fn waiting(pod: &Pod) -> String {
    let status = pod.status.clone().unwrap_or_default();
    let container = status.container_statuses.unwrap_or_default().into_iter().next();
    let reason = container
        .and_then(|c| c.state)
        .and_then(|s| s.waiting)
        .and_then(|w| {
            let reason = w.reason?;
            Some(match w.message {
                Some(message) => format!("{reason}: {message}"),
                None => reason,
            })
        });
    reason.unwrap_or_else(|| match status.phase.as_deref() {
        Some("Pending") | None => "kubelet has not started it, is the node up?".to_owned(),
        Some(phase) => format!("it is {phase}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shipped() -> PodTemplateSpec {
        let set: DaemonSet =
            serde_yaml_ng::from_str(install::AGENT_MANIFEST).expect("the shipped manifest parses");
        set.spec.expect("it has a spec").template
    }

    #[test]
    fn the_cleaning_pod_has_the_agents_mounts_and_capabilities_and_no_probe_port_or_token() {
        let agent = shipped().spec.expect("a pod spec");
        let cleaner = pod(&shipped(), "node-2").spec.expect("a pod spec");
        assert_eq!(cleaner.node_name.as_deref(), Some("node-2"));
        assert_eq!(cleaner.restart_policy.as_deref(), Some("Never"));
        assert_eq!(cleaner.automount_service_account_token, Some(false));
        assert_eq!(cleaner.volumes, agent.volumes);
        let (cleaner, agent) = (&cleaner.containers[0], &agent.containers[0]);
        assert_eq!(cleaner.args.as_deref(), Some(&["uninstall".to_owned()][..]));
        assert_eq!(cleaner.volume_mounts, agent.volume_mounts);
        assert_eq!(cleaner.security_context, agent.security_context);
        assert!(
            cleaner.ports.is_none() && cleaner.liveness_probe.is_none() && cleaner.readiness_probe.is_none()
        );
    }
}
