//! Priority and fairness: the agents' requests wait in queues of their own, and nobody else's do.

use crate::plane::{Plane, eventually};
use k8s_openapi::api::flowcontrol::v1::FlowSchema;
use kube::api::Api;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

const PLANS: &str = "/apis/continuity.nity.io/v1alpha1/equivalenceplans?limit=1";

/// UID of the FlowSchema that a request with this token was put into, as the API server says in its answer.
fn flow(server: &str, token: &str) -> String {
    let output = Command::new("curl")
        .args(["-sk", "-o", "/dev/null", "-D", "-", "-H"])
        .arg(format!("Authorization: Bearer {token}"))
        .arg(format!("{server}{PLANS}"))
        .output()
        .expect("curl");
    let head = String::from_utf8_lossy(&output.stdout).to_lowercase();
    let found = head
        .lines()
        .find_map(|line| line.strip_prefix("x-kubernetes-pf-flowschema-uid:"));
    found.unwrap_or_default().trim().to_owned()
}

#[tokio::test]
#[ignore = "needs the kubernetes binary of e2e/cluster (CONTINUITY_KUBERNETES)"]
async fn agents_wait_in_queues_of_their_own_and_the_operator_does_not() {
    let plane = Plane::alone("flow").await;
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    for file in [
        "config/rbac/agent.yaml",
        "config/rbac/operator.yaml",
        "config/flow/agents.yaml",
    ] {
        plane.apply(&fs::read_to_string(root.join(file)).unwrap()).await;
    }
    let config = plane.directory.join("kubeconfig");
    let text = fs::read_to_string(&config).unwrap();
    let server = text
        .split("server: \"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    let token = |account: &str| {
        let output = Command::new("kubectl")
            .arg("--kubeconfig")
            .arg(&config)
            .args(["create", "token", account, "-n", "continuity-system"])
            .output()
            .expect("kubectl");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    let schemas: Api<FlowSchema> = Api::all(plane.client.clone());
    let ours = schemas
        .get("continuity-agents")
        .await
        .unwrap()
        .metadata
        .uid
        .unwrap();
    let agent = token("continuity-agent");
    let look = async || (flow(server, &agent) == ours).then_some(());
    eventually(
        "an agent's request in its own flow",
        Duration::from_secs(60),
        look,
    )
    .await;
    let other = flow(server, &token("continuity-operator"));
    assert!(!other.is_empty() && other != ours, "{other}");
}
