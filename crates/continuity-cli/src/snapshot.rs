//! `snapshot`: everything that explains an incident, in one file that `explain --from` reads without a cluster.
//!
//! Secrets are left out by never being asked for: no Secret, no ConfigMap is read; of objects that are not ours only the
//! fields listed in `foreign` are kept, so no environment, no argument and no annotation of anybody is in the file. Of
//! ours, managedFields and annotations are dropped. What may not be read is named in `unread`, and the rest is taken.

mod foreign;

#[cfg(test)]
mod tests;

use crate::debug;
use crate::error::Error;
use crate::session::Session;
use crate::survey::sentence;
use continuity_api::{
    ContinuityNode, ContinuityPolicy, EquivalencePlan, EquivalenceSet, EquivalenceTimeline,
};
use jiff::Timestamp;
use kube::api::ListParams;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt::Debug;
use std::path::Path;

/// Version of the file's form. A reader refuses a greater one.
pub const FORM: u32 = 1;
/// Objects in one page.
const PAGE: u32 = 100;
/// Objects of one kind: 2,000 ContinuityNodes of 64 kB are 128 MB, more than a person can send to anybody.
const OBJECTS_MAX: usize = 2_000;
/// Longest file that is read back: the bounds of all kinds together.
const FILE_MAX: u64 = 512 * 1024 * 1024;

/// The file.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// Version of the form, [`FORM`].
    pub form: u32,
    /// When it was taken.
    pub taken: Timestamp,
    /// Version of the command that took it.
    pub taken_by: String,
    /// Version of the API server.
    pub server: String,
    /// What could not be read, or not whole, and why.
    pub unread: Vec<String>,
    /// Policies.
    pub policies: Vec<ContinuityPolicy>,
    /// Sets.
    pub sets: Vec<EquivalenceSet>,
    /// Plans.
    pub plans: Vec<EquivalencePlan>,
    /// Timelines.
    pub timelines: Vec<EquivalenceTimeline>,
    /// Reports of nodes.
    pub nodes: Vec<ContinuityNode>,
    /// Objects of Kubernetes, the named fields alone: Services, EndpointSlices, the installation's pods, Deployment,
    /// DaemonSet, Lease, Events about our kinds.
    pub foreign: Vec<Value>,
    /// Pages of the operator's /debug, by pod and name; empty where it does not serve them.
    #[serde(default)]
    pub debug: debug::Pages,
}

/// Takes a snapshot of the whole installation.
///
/// # Errors
/// The API server does not answer at all.
pub async fn take(session: &Session) -> Result<Snapshot, Error> {
    let client = &session.client;
    let info = client
        .apiserver_version()
        .await
        .map_err(Error::api("ask the version of", "the API server"))?;
    let mut unread = Vec::new();
    let snapshot = Snapshot {
        form: FORM,
        taken: Timestamp::now(),
        taken_by: env!("CARGO_PKG_VERSION").to_owned(),
        server: info.git_version,
        policies: all(client, &mut unread).await,
        sets: all(client, &mut unread).await,
        plans: all(client, &mut unread).await,
        timelines: all(client, &mut unread).await,
        nodes: all(client, &mut unread).await,
        foreign: foreign::gather(session, &mut unread).await,
        debug: debug::gather(session, &mut unread).await,
        unread: Vec::new(),
    };
    Ok(Snapshot { unread, ..snapshot })
}

/// Objects of ours, page by page, without what says nothing about traffic.
async fn all<K>(client: &Client, unread: &mut Vec<String>) -> Vec<K>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let api: Api<K> = Api::all(client.clone());
    let mut kept: Vec<K> = Vec::new();
    let mut page = ListParams::default().limit(PAGE);
    loop {
        match api.list(&page).await {
            Ok(list) => {
                let next = list.metadata.continue_.clone().filter(|token| !token.is_empty());
                kept.extend(list.items.into_iter().map(|mut object| {
                    object.meta_mut().managed_fields = None;
                    object.meta_mut().annotations = None;
                    object
                }));
                match next {
                    Some(_) if kept.len() >= OBJECTS_MAX => {
                        unread.push(format!(
                            "{}: more than {OBJECTS_MAX}; the rest is left out",
                            K::plural(&())
                        ));
                        return kept;
                    }
                    Some(token) => page = page.continue_token(&token),
                    None => return kept,
                }
            }
            Err(error) => {
                unread.push(format!("{}: {}", K::plural(&()), sentence(&error)));
                return kept;
            }
        }
    }
}

/// Writes a snapshot; only its owner may read the file.
///
/// # Errors
/// The file exists, or can not be written.
pub fn write(snapshot: &Snapshot, path: &Path) -> Result<(), Error> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let failed = |source| Error::File {
        what: path.display().to_string(),
        source,
    };
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(failed)?;
    let text = serde_json::to_vec(snapshot)?;
    file.write_all(&text).and_then(|()| file.flush()).map_err(failed)
}

/// Reads a snapshot back.
///
/// # Errors
/// The file can not be read, is too long, is no snapshot, or is of a newer form.
pub fn read(path: &Path) -> Result<Snapshot, Error> {
    let failed = |source| Error::File {
        what: path.display().to_string(),
        source,
    };
    if std::fs::metadata(path).map_err(failed)?.len() > FILE_MAX {
        return Err(Error::Snapshot(format!(
            "{} is longer than any snapshot",
            path.display()
        )));
    }
    let text = std::fs::read(path).map_err(failed)?;
    parse(&text).map_err(|why| Error::Snapshot(format!("{} {why}", path.display())))
}

fn parse(text: &[u8]) -> Result<Snapshot, String> {
    #[derive(Deserialize)]
    struct Form {
        form: u32,
    }
    let form: Form = serde_json::from_slice(text)
        .map_err(|error| format!("is no snapshot of `kubectl continuity snapshot`: {error}"))?;
    if form.form > FORM {
        return Err(format!(
            "is of form {}, and this command reads up to {FORM}: use a newer kubectl-continuity",
            form.form
        ));
    }
    serde_json::from_slice(text).map_err(|error| format!("does not parse: {error}"))
}

/// What was taken, on a few lines.
#[must_use]
pub fn summary(snapshot: &Snapshot, path: &Path) -> String {
    let mut text = format!(
        "{}: {} policies, {} sets, {} plans, {} timelines, {} nodes, {} objects beside; Secrets and ConfigMaps were not read\n",
        path.display(),
        snapshot.policies.len(),
        snapshot.sets.len(),
        snapshot.plans.len(),
        snapshot.timelines.len(),
        snapshot.nodes.len(),
        snapshot.foreign.len(),
    );
    for missing in &snapshot.unread {
        text.push_str(&format!("  not read: {missing}\n"));
    }
    text.push_str(&format!(
        "  kubectl continuity explain svc/NAME -n NAMESPACE --from {}\n",
        path.display()
    ));
    text
}
