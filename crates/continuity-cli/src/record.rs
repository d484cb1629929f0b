//! `record`: asks nodes for a flight record of one set, reads it and proves that it decides the same again.
//!
//! The wish is an annotation of the plan, which agents watch; the lines come through the log of the agents' pods. So all of
//! it passes the API server, under its own rights (patch of plans, `pods/log`) and its audit, and no node opens a port.
//! The wish names its end: a command that is cut off leaves nothing running for longer than it asked.

mod gathered;

#[cfg(test)]
mod tests;

pub use gathered::{Gathered, Lane};

use crate::args::Record;
use crate::error::Error;
use crate::explain::{self, NodeView, Target};
use crate::session::Session;
use continuity_api::record::{ANNOTATION, NODES_MAX, SECONDS_MAX, Wish};
use continuity_api::{EquivalencePlan, Time};
use futures::{AsyncBufReadExt as _, StreamExt as _, TryStreamExt as _};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, LogParams, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use serde::Serialize;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Nodes that record if none is named: those whose clients send most.
const NODES: usize = 3;
/// How long the last lines may be on their way after the end of the record.
const LATE: Duration = Duration::from_secs(15);
/// Log lines from so long before are read too, in seconds: the kubelet's clock and ours may differ.
const BEFORE: i64 = 10;

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Recorded {
    /// Namespace and name of the set.
    pub set: String,
    /// Files, one a node and IP version.
    pub files: Vec<File>,
    /// Nodes that were asked and sent nothing.
    pub silent: Vec<String>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct File {
    /// Where it is.
    pub path: PathBuf,
    /// Who recorded.
    pub node: String,
    /// IP version: 4 or 6.
    pub family: u8,
    /// What is in it, and what its replay found.
    pub verdict: gathered::Verdict,
}

impl Recorded {
    /// Every node sent a record, and each decides the same again.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.silent.is_empty()
            && !self.files.is_empty()
            && self.files.iter().all(|file| file.verdict.is_same())
    }
}

/// The answer for a person.
#[must_use]
pub fn text(recorded: &Recorded) -> String {
    let mut lines: Vec<String> = recorded
        .files
        .iter()
        .map(|file| {
            let path = file.path.display();
            format!("{path}   {} IPv{}   {}", file.node, file.family, file.verdict)
        })
        .collect();
    for node in &recorded.silent {
        lines.push(format!(
            "{node} sent nothing: is its agent up to date and is the plan in force there? see `kubectl continuity check`"
        ));
    }
    lines.push("continuity-harness replay FILE decides a file again, continuity-harness explain FILE says why slots moved".to_owned());
    lines.join("\n") + "\n"
}

/// Records, reads, writes the files and decides them again.
///
/// # Errors
/// The order cannot be carried out, the API server refuses, or a file cannot be written.
pub async fn run(session: &Session, order: &Record, now: Timestamp) -> Result<Recorded, Error> {
    let seconds = order.span.as_secs();
    if !(1..=SECONDS_MAX).contains(&seconds) {
        return Err(Error::Record(format!(
            "--for is {seconds} s; a record takes 1 s to {SECONDS_MAX} s"
        )));
    }
    let target: Target = order.target.parse()?;
    let (set, views) = explain::one(session, &target).await?;
    let nodes = choose(&order.nodes, &views)?;
    let pods = pods(session, &nodes).await?;
    let wish = Wish {
        id: format!("{}-{}", now.as_second(), std::process::id()),
        until: Time(now + SignedDuration::from_secs(seconds)),
        nodes: nodes.clone(),
    };
    let plans: Api<EquivalencePlan> = Api::namespaced(session.client.clone(), &session.namespace);
    annotate(&plans, &set, Some(&wish)).await?;
    let deadline = Instant::now() + Duration::from_secs(seconds.unsigned_abs()) + LATE;
    let gathered = gather(session, &pods, &wish.id, deadline).await;
    // It ends by itself; an annotation that cannot be taken away now is only untidy.
    let _ = annotate(&plans, &set, None).await;
    let place = format!("{}/{set}", session.namespace);
    keep(&gathered?, &place, &nodes, &order.directory)
}

/// The nodes that are asked.
fn choose(named: &[String], views: &[NodeView]) -> Result<Vec<String>, Error> {
    if named.len() > NODES_MAX {
        return Err(Error::Record(format!("at most {NODES_MAX} nodes record at once")));
    }
    if let Some(foreign) = named
        .iter()
        .find(|name| views.iter().all(|view| view.name != **name))
    {
        return Err(Error::Record(format!(
            "there is no ContinuityNode {foreign}: `kubectl get continuitynodes` lists the nodes with an agent"
        )));
    }
    if !named.is_empty() {
        return Ok(named.to_vec());
    }
    let offered = |view: &NodeView| view.report.as_ref().map(|report| report.offered_milli_per_second);
    let mut busy: Vec<&NodeView> = views.iter().filter(|view| view.report.is_some()).collect();
    busy.sort_by_key(|view| (std::cmp::Reverse(offered(view)), view.name.clone()));
    if busy.is_empty() {
        return Err(Error::Record(
            "no node reports the set, or you may not read continuitynodes: name nodes with --node".to_owned(),
        ));
    }
    Ok(busy
        .into_iter()
        .take(NODES)
        .map(|view| view.name.clone())
        .collect())
}

/// The agents' pods of these nodes.
async fn pods(session: &Session, nodes: &[String]) -> Result<Vec<(String, String)>, Error> {
    let api: Api<Pod> = Api::namespaced(session.client.clone(), &session.system);
    let label = format!("app.kubernetes.io/name={}", crate::install::AGENT);
    let listed = api
        .list(&ListParams::default().labels(&label))
        .await
        .map_err(Error::api("list", "the agents' pods"))?;
    let found = listed.into_iter().filter_map(|pod| {
        let node = pod.spec.as_ref()?.node_name.clone()?;
        let runs = pod.status.as_ref()?.phase.as_deref() == Some("Running");
        (runs && nodes.contains(&node)).then(|| (node, pod.name_any()))
    });
    Ok(found.collect())
}

async fn annotate(plans: &Api<EquivalencePlan>, set: &str, wish: Option<&Wish>) -> Result<(), Error> {
    let patch = json!({"metadata": {"annotations": {ANNOTATION: wish.map(Wish::text)}}});
    plans
        .patch_metadata(set, &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .map_err(Error::api("patch", format!("EquivalencePlan {set}")))?;
    Ok(())
}

/// Follows the logs of all pods until every record that began has ended, or the deadline.
async fn gather(
    session: &Session,
    pods: &[(String, String)],
    id: &str,
    deadline: Instant,
) -> Result<Gathered, Error> {
    let api: Api<Pod> = Api::namespaced(session.client.clone(), &session.system);
    let params = LogParams {
        container: Some("agent".to_owned()),
        follow: true,
        since_seconds: Some(BEFORE),
        ..LogParams::default()
    };
    let mut logs = Vec::new();
    for (node, pod) in pods {
        let log = api
            .log_stream(pod, &params)
            .await
            .map_err(Error::api("read the log of", format!("Pod {pod}")))?;
        let node = node.clone();
        logs.push(log.lines().map_ok(move |line| (node.clone(), line)).boxed());
    }
    let mut lines = futures::stream::select_all(logs);
    let mut gathered = Gathered::default();
    while !gathered.is_over(pods.len()) {
        match timeout_at(deadline, lines.next()).await {
            Ok(Some(Ok((node, line)))) => gathered.take(id, &node, &line),
            // A log that breaks off ends that node's part; the others go on.
            Ok(Some(Err(_))) => {}
            Ok(None) | Err(_) => break,
        }
    }
    Ok(gathered)
}

fn keep(gathered: &Gathered, set: &str, nodes: &[String], directory: &Path) -> Result<Recorded, Error> {
    let mut files = Vec::new();
    for (node, lane) in gathered.lanes() {
        let path = directory.join(format!("{}-{node}-v{}.trace", set.replace('/', "-"), lane.family));
        std::fs::write(&path, lane.text()).map_err(|source| Error::File {
            what: path.display().to_string(),
            source,
        })?;
        files.push(File {
            path,
            node: node.to_owned(),
            family: lane.family,
            verdict: lane.verdict(),
        });
    }
    let silent = nodes
        .iter()
        .filter(|node| files.iter().all(|file| file.node != **node));
    Ok(Recorded {
        set: set.to_owned(),
        silent: silent.cloned().collect(),
        files,
    })
}
