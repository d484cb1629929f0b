//! The namespace as the ground that cleaning pods stand on, and the note on it that lets a second run go on.
//!
//! A run that stops half-way has already taken the DaemonSet, and with it the only record of the agent's image; so the
//! image is written on the namespace first. Where the namespace was deleted by hand, the pins are still on the nodes:
//! it is made again for as long as the cleaning takes.

use crate::error::Error;
use crate::install;
use crate::session::Session;
use k8s_openapi::api::core::v1::{Namespace, PodTemplateSpec};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt as _};
use serde_json::json;
use std::time::{Duration, Instant};

/// Image of the agent that is being removed.
const IMAGE: &str = "continuity.nity.io/agent-image";
/// Pause between two looks at a namespace that is going away.
const LOOK: Duration = Duration::from_millis(500);

/// The image noted by an earlier run.
pub(super) fn recall(namespace: Option<&Namespace>) -> Option<String> {
    namespace?.annotations().get(IMAGE).cloned()
}

/// The image of a pod template.
pub(super) fn image(template: &PodTemplateSpec) -> Option<String> {
    template.spec.as_ref()?.containers.first()?.image.clone()
}

/// Makes sure that pods can be made in the namespace, and notes the image on it.
pub(super) async fn prepare(session: &Session, image: &str, timeout: Duration) -> Result<(), Error> {
    let api: Api<Namespace> = Api::all(session.client.clone());
    let name = &session.system;
    let start = Instant::now();
    loop {
        let found = api
            .get_opt(name)
            .await
            .map_err(Error::api("get", format!("Namespace {name}")))?;
        match found {
            None => return create(&api, name, image).await,
            Some(namespace) if namespace.metadata.deletion_timestamp.is_none() => {
                return note(&api, name, image).await;
            }
            Some(_) if start.elapsed() > timeout => {
                return Err(Error::Timeout {
                    what: format!("the end of Namespace {name}, which somebody is deleting,"),
                    seconds: timeout.as_secs(),
                    remedy: "Its status.conditions name what holds it; run this again when that is gone.",
                });
            }
            Some(_) => tokio::time::sleep(LOOK).await,
        }
    }
}

async fn note(api: &Api<Namespace>, name: &str, image: &str) -> Result<(), Error> {
    let patch = json!({"metadata": {"annotations": {IMAGE: image}}});
    api.patch(name, &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .map_err(Error::api("note the image on", format!("Namespace {name}")))?;
    Ok(())
}

async fn create(api: &Api<Namespace>, name: &str, image: &str) -> Result<(), Error> {
    let mut namespace: Namespace =
        serde_yaml_ng::from_str(install::NAMESPACE_MANIFEST).map_err(|source| Error::Manifest {
            file: "the namespace's manifest in this binary".to_owned(),
            source,
        })?;
    namespace.metadata.name = Some(name.to_owned());
    namespace
        .annotations_mut()
        .insert(IMAGE.to_owned(), image.to_owned());
    api.create(&PostParams::default(), &namespace)
        .await
        .map_err(Error::api("create", format!("Namespace {name}")))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_run_knows_the_image_of_the_first() {
        let mut namespace: Namespace =
            serde_yaml_ng::from_str(install::NAMESPACE_MANIFEST).expect("a namespace");
        assert_eq!(recall(Some(&namespace)), None);
        namespace
            .annotations_mut()
            .insert(IMAGE.into(), "registry/agent:1".into());
        assert_eq!(recall(Some(&namespace)).as_deref(), Some("registry/agent:1"));
        assert_eq!(recall(None), None);
    }
}
