//! The installation as a user does it, and the proof that a node can only write its own object.

use std::time::Duration;

use super::goal::Check;
use crate::Error;
use crate::cluster::{Cluster, layout};
use crate::paths;
use crate::progress::Progress;

/// Namespace of the installation.
pub(super) const NAMESPACE: &str = "continuity-system";
/// How long agents and operator may take to be Ready.
const PATIENCE: Duration = Duration::from_secs(120);

/// `kubectl apply -k config/default`, then the overlay that serves external metrics; waits until all is Ready.
pub(crate) fn install(cluster: &Cluster, progress: &Progress) -> Result<(), Error> {
    let step = progress.step("kubectl apply -k config/default");
    apply(cluster, "config/default")?;
    wait_ready(cluster)?;
    step.done();
    let step = progress.step("kubectl apply -k config/external-metrics");
    apply(cluster, "config/external-metrics")?;
    wait_ready(cluster)?;
    cluster.wait("the external metrics API", PATIENCE, || {
        let path = "/apis/external.metrics.k8s.io/v1beta1";
        cluster
            .kubectl(["get", "--raw", path])
            .map(drop)
            .map_err(|error| error.to_string())
    })?;
    step.done();
    Ok(())
}

/// Resources of kinds that the same folder defines are refused until the API server knows the kinds, so once more.
fn apply(cluster: &Cluster, overlay: &str) -> Result<(), Error> {
    let dir = paths::root().join(overlay);
    cluster.wait(overlay, PATIENCE, || {
        let applied = cluster.kubectl(["apply".as_ref(), "-k".as_ref(), dir.as_os_str()]);
        applied.map(drop).map_err(|error| error.to_string())
    })
}

/// Waits until every agent and the operator are Ready.
pub(super) fn wait_ready(cluster: &Cluster) -> Result<(), Error> {
    let timeout = format!("--timeout={}s", PATIENCE.as_secs());
    for object in ["daemonset/continuity-agent", "deployment/continuity-operator"] {
        cluster.kubectl(["rollout", "status", object, "-n", NAMESPACE, &timeout])?;
    }
    Ok(())
}

/// Tries to write node-1's object, resource and status, with the token of node-2's agent; both must be refused, and
/// node-2's own must be accepted, or the refusal would prove nothing.
pub(super) fn foreign_write(cluster: &Cluster) -> Result<Vec<Check>, Error> {
    let (own, foreign) = ("node-2", "node-1");
    let field = format!("--field-selector=spec.nodeName={own}");
    let label = "app.kubernetes.io/name=continuity-agent";
    let name = "jsonpath={.items[0].metadata.name}";
    let pod = cluster.kubectl(["get", "pods", "-n", NAMESPACE, "-l", label, &field, "-o", name])?;
    let pod = String::from_utf8_lossy(&pod.stdout).into_owned();
    let bound = format!("--bound-object-name={pod}");
    let token = [
        "create",
        "token",
        "continuity-agent",
        "-n",
        NAMESPACE,
        "--bound-object-kind=Pod",
        &bound,
    ];
    let token = String::from_utf8_lossy(&cluster.kubectl(token)?.stdout)
        .trim()
        .to_owned();

    let mut checks = vec![attempt(cluster, &token, own, false, true)?];
    for status in [false, true] {
        checks.push(attempt(cluster, &token, foreign, status, false)?);
    }
    Ok(checks)
}

fn attempt(cluster: &Cluster, token: &str, node: &str, status: bool, allowed: bool) -> Result<Check, Error> {
    let server = format!("--server=https://{}", layout::api_server());
    let authority = format!(
        "--certificate-authority={}",
        layout::pki().join("ca.crt").display()
    );
    let token = format!("--token={token}");
    let patch = if status {
        r#"{"status":{"agentVersion":"foreign"}}"#
    } else {
        r#"{"metadata":{"annotations":{"continuity.nity.io/foreign-write":"tried"}}}"#
    };
    let mut arguments = vec!["patch", "continuitynode", node, "--type=merge", "-p", patch];
    // The last --kubeconfig wins; an empty one keeps the administrator's certificate out of the request.
    arguments.extend(["--kubeconfig=/dev/null", &server, &authority, &token]);
    if status {
        arguments.push("--subresource=status");
    }
    let output = cluster.kubectl_any(arguments)?;
    let said = String::from_utf8_lossy(if output.status.success() {
        &output.stdout
    } else {
        &output.stderr
    });
    let refused_by_policy = !output.status.success() && said.contains("may write only");
    let held = if allowed {
        output.status.success()
    } else {
        refused_by_policy
    };
    let what = if status { "its /status" } else { "the object" };
    let name = format!("node-2's token writes {node}, {what}");
    let goal = if allowed {
        "accepted"
    } else {
        "refused by the ValidatingAdmissionPolicy"
    };
    Ok(Check::that("install", &name, held, said.trim().to_owned(), goal))
}
