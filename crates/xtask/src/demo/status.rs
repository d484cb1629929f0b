//! What a person would see: sets, explanations, conditions; and waiting for them.

use std::time::Duration;

use serde_json::Value;

use super::kernel::Maps;
use super::workload::{self, NAMESPACE};
use crate::cluster::{CONTROL, Cluster, layout};
use crate::image;
use crate::process::Run;
use crate::{Error, paths};

/// How long a policy may take to be in force: staged roll-outs soak for a minute.
const PATIENCE: Duration = Duration::from_secs(120);

/// `kubectl get equivalencesets`, as a table.
pub(super) fn sets(cluster: &Cluster) -> Result<String, Error> {
    let output = cluster.kubectl(["get", "equivalencesets", "-n", NAMESPACE])?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// `kubectl continuity …` as the administrator.
pub(super) fn continuity(arguments: &[&str]) -> Run {
    Run::new("nsenter")
        .arg(format!("--net={}", layout::netns_path(CONTROL).display()))
        .arg("--")
        .arg(image::binary_path("kubectl-continuity"))
        .arg("--kubeconfig")
        .arg(layout::admin_kubeconfig())
        .args(arguments)
}

/// `kubectl continuity explain svc/NAME`, whatever its exit status.
pub(super) fn explain(service: &str) -> Result<String, Error> {
    let output = continuity(&["explain", &format!("svc/{service}"), "-n", NAMESPACE]).any_output()?;
    let mut text = output.stdout;
    text.extend_from_slice(&output.stderr);
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// The EquivalenceSet of a Service's port.
pub(super) fn set(cluster: &Cluster, service: &str, port: &str) -> Result<Option<Value>, Error> {
    let list = cluster.json(["get", "equivalencesets", "-n", NAMESPACE, "-o", "json"])?;
    Ok(list["items"]
        .as_array()
        .and_then(|items| items.iter().find(|item| is_of(item, service, port)))
        .cloned())
}

/// Whether an EquivalenceSet is that of a Service's port.
pub(super) fn is_of(set: &Value, service: &str, port: &str) -> bool {
    names(&set["spec"], "service", service) && names(&set["spec"], "port", port)
}

/// Whether a field is this name, or an object whose `name` is.
fn names(spec: &Value, field: &str, name: &str) -> bool {
    spec[field] == name || spec[field]["name"] == name
}

/// Whether the status of a set lists a pod as isolated.
pub(super) fn isolates(set: &Value, pod: &str) -> bool {
    let isolated = set["status"]["isolated"].as_array();
    isolated.is_some_and(|list| list.iter().any(|backend| backend["pod"] == pod))
}

/// Applies a file of the repository and waits until the policy it holds is Ready.
pub(super) fn enforce(cluster: &Cluster, file: &str, policy: &str) -> Result<(), Error> {
    let path = paths::root().join(file);
    cluster.kubectl(["apply".as_ref(), "-f".as_ref(), path.as_os_str()])?;
    cluster.wait(&format!("policy {policy} to be Ready"), PATIENCE, || {
        ready(cluster, policy)
    })
}

/// Deletes a policy and waits until no node's maps know the Service any more.
pub(super) fn withdraw(cluster: &Cluster, policy: &str, service: &str) -> Result<(), Error> {
    cluster.kubectl([
        "delete",
        "continuitypolicy",
        policy,
        "-n",
        NAMESPACE,
        "--ignore-not-found",
    ])?;
    let frontend = workload::address(cluster, service)?;
    cluster.wait(&format!("the nodes to forget {service}"), PATIENCE, || {
        for node in cluster.nodes() {
            let maps = Maps::of(cluster, node).map_err(|error| error.to_string())?;
            if maps.set_at(frontend).is_some() {
                return Err(format!("{} still has it", node.name()));
            }
        }
        Ok(())
    })
}

fn ready(cluster: &Cluster, policy: &str) -> Result<(), String> {
    let object = cluster.json(["get", "continuitypolicy", policy, "-n", NAMESPACE, "-o", "json"]);
    let object = object.map_err(|error| error.to_string())?;
    let generation = &object["metadata"]["generation"];
    let conditions = object["status"]["conditions"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let holds = conditions
        .iter()
        .any(|c| c["type"] == "Ready" && c["status"] == "True");
    if holds && object["status"]["observedGeneration"] == *generation {
        return Ok(());
    }
    let said = |c: &Value| {
        format!(
            "{}={} ({}: {})",
            text(&c["type"]),
            text(&c["status"]),
            text(&c["reason"]),
            text(&c["message"])
        )
    };
    Err(conditions.iter().map(said).collect::<Vec<_>>().join("; "))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_set_is_found_by_service_and_port_however_they_are_written() {
        assert!(names(&json!({"service": "checkout"}), "service", "checkout"));
        assert!(names(
            &json!({"port": {"name": "http", "number": 80}}),
            "port",
            "http"
        ));
        assert!(!names(&json!({"port": {"name": "admin"}}), "port", "http"));
    }

    #[test]
    fn only_a_listed_pod_is_isolated() {
        let set = json!({"status": {"isolated": [{"pod": "checkout-1"}]}});
        assert!(isolates(&set, "checkout-1") && !isolates(&set, "checkout-2"));
        assert!(!isolates(&json!({}), "checkout-1"));
    }
}
