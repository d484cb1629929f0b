//! Who may write what and look where: the admission policy of agents, and the tokens of /debug.

use crate::plane::{Plane, eventually};
use crate::watching::told;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

fn repository(path: &str) -> String {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    fs::read_to_string(root.join(path)).unwrap()
}

/// A kubeconfig of the plane with a token in place of the administrator's certificate.
fn kubeconfig(plane: &Plane, name: &str, token: &str) -> PathBuf {
    let admin = fs::read_to_string(plane.directory.join("kubeconfig")).unwrap();
    let start = admin.find("user: {client-certificate").unwrap();
    let end = start + admin[start..].find('}').unwrap() + 1;
    let text = format!("{}user: {{token: {token}}}{}", &admin[..start], &admin[end..]);
    let path = plane.directory.join(format!("{name}.kubeconfig"));
    fs::write(&path, text).unwrap();
    path
}

fn kubectl(config: &PathBuf, args: &[&str]) -> Result<String, String> {
    let output = Command::new("kubectl")
        .arg("--kubeconfig")
        .arg(config)
        .args(args)
        .output()
        .expect("kubectl");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(text(&output.stderr))
    }
}

fn status(node: &str) -> Vec<String> {
    let body = r#"{"status": {"sequence": 1}}"#;
    [
        "patch",
        "continuitynode",
        node,
        "--subresource=status",
        "--type=merge",
        "-p",
        body,
    ]
    .map(str::to_owned)
    .to_vec()
}

fn run(config: &PathBuf, args: &[String]) -> Result<String, String> {
    kubectl(config, &args.iter().map(String::as_str).collect::<Vec<_>>())
}

const NODE: &str = "
{apiVersion: v1, kind: Node, metadata: {name: node-1}}
---
{apiVersion: v1, kind: Node, metadata: {name: node-2}}
---
{apiVersion: continuity.nity.io/v1alpha1, kind: ContinuityNode, metadata: {name: node-1}, spec: {}}
---
{apiVersion: continuity.nity.io/v1alpha1, kind: ContinuityNode, metadata: {name: node-2}, spec: {}}
---
apiVersion: v1
kind: Pod
metadata: {name: agent-1, namespace: continuity-system}
spec: {nodeName: node-1, serviceAccountName: continuity-agent, containers: [{name: agent, image: agent}]}
";

#[tokio::test]
#[ignore = "needs the kubernetes binary of e2e/cluster (CONTINUITY_KUBERNETES)"]
async fn an_agent_writes_the_object_of_its_own_node_and_no_other() {
    let plane = Plane::alone("identity").await;
    plane.apply(&repository("config/rbac/agent.yaml")).await;
    plane
        .apply(&repository("config/admission/node-writer.yaml"))
        .await;
    plane.apply(NODE).await;
    let admin = plane.directory.join("kubeconfig");
    let token = |bound: &[&str]| {
        let mut args = vec!["create", "token", "continuity-agent", "-n", "continuity-system"];
        args.extend(bound);
        kubectl(&admin, &args).unwrap()
    };
    let agent = kubeconfig(
        &plane,
        "agent",
        &token(&["--bound-object-kind=Pod", "--bound-object-name=agent-1"]),
    );
    let loose = kubeconfig(&plane, "loose", &token(&[]));

    // The policy takes hold a moment after it is stored.
    let look = async || {
        run(&agent, &status("node-2"))
            .err()
            .filter(|said| said.contains("may write only"))
    };
    let (said, _) = eventually("a refusal", PATIENCE, look).await;
    assert!(
        said.contains("the agent of node node-1 may write only ContinuityNode node-1, not node-2"),
        "{said}"
    );

    run(&agent, &status("node-1")).unwrap();
    let label = [
        "patch",
        "continuitynode",
        "node-1",
        "--type=merge",
        "-p",
        r#"{"metadata":{"labels":{"a":"b"}}}"#,
    ];
    kubectl(&agent, &label).unwrap();
    let foreign = [
        "patch",
        "continuitynode",
        "node-2",
        "--type=merge",
        "-p",
        r#"{"metadata":{"labels":{"a":"b"}}}"#,
    ];
    let said = kubectl(&agent, &foreign).unwrap_err();
    assert!(said.contains("may write only"), "{said}");
    let made = plane.directory.join("node-3.yaml");
    let node =
        "apiVersion: continuity.nity.io/v1alpha1\nkind: ContinuityNode\nmetadata: {name: node-3}\nspec: {}\n";
    fs::write(&made, node).unwrap();
    let create = ["create", "-f", made.to_str().unwrap()];
    let said = kubectl(&agent, &create).unwrap_err();
    assert!(said.contains("may write only"), "{said}");
    let delete = kubectl(&agent, &["delete", "continuitynode", "node-1"]).unwrap_err();
    assert!(delete.contains("forbidden"), "its role has no delete: {delete}");

    let said = run(&loose, &status("node-1")).unwrap_err();
    assert!(said.contains("names no node"), "{said}");
    run(&admin, &status("node-2")).expect("an administrator is not the concern of this policy");
}

fn curl(address: &str, page: &str, token: Option<&str>) -> (String, String) {
    let mut command = Command::new("curl");
    command.args([
        "-s",
        "-w",
        "\n%{http_code}",
        &format!("http://{address}/debug/{page}"),
    ]);
    if let Some(token) = token {
        command.args(["-H", &format!("Authorization: Bearer {token}")]);
    }
    let text = String::from_utf8_lossy(&command.output().expect("curl").stdout).into_owned();
    let (body, code) = text.rsplit_once('\n').unwrap();
    (code.to_owned(), body.to_owned())
}

#[tokio::test]
#[ignore = "needs the kubernetes binary of e2e/cluster (CONTINUITY_KUBERNETES)"]
async fn debug_pages_are_for_whoever_shows_a_token_for_them_and_has_the_right() {
    let plane = Plane::alone("debug").await;
    plane.apply(&repository("config/rbac/operator.yaml")).await;
    plane
        .apply(&repository("config/components/debug/rbac.yaml"))
        .await;
    let other =
        "{apiVersion: v1, kind: ServiceAccount, metadata: {name: other, namespace: continuity-system}}";
    plane.apply(other).await;
    let address = format!("127.0.0.1:{}", crate::plane::free_port());
    let _operator = plane.operator("operator-a", &["--debug-listen", &address]);
    told(&plane).await;
    let admin = plane.directory.join("kubeconfig");
    let token = |account: &str, audience: &[&str]| {
        let mut args = vec!["create", "token", account, "-n", "continuity-system"];
        args.extend(audience);
        kubectl(&admin, &args).unwrap()
    };
    let ours = ["--audience", "continuity-debug"];
    let good = token("continuity-debug", &ours);
    let look = async || {
        let (code, body) = curl(&address, "hints", Some(&good));
        (code == "200" && body.contains("\"service\":\"checkout\"")).then_some(body)
    };
    eventually("the page", PATIENCE, look).await;

    let refused = |token: Option<&str>| curl(&address, "hints", token);
    let (code, body) = refused(None);
    assert_eq!(code, "401");
    assert!(body.contains("kubectl create token continuity-debug"), "{body}");
    assert_eq!(refused(Some("nonsense")).0, "401");
    assert_eq!(
        refused(Some(&token("continuity-debug", &[]))).0,
        "401",
        "a token for the API server itself"
    );
    let (code, body) = refused(Some(&token("other", &ours)));
    assert_eq!(code, "403");
    assert!(body.contains("may not get /debug/hints"), "{body}");
    assert_eq!(
        curl(&address, "secrets", Some(&good)).0,
        "403",
        "no right, so not even told that there is no page"
    );
}

#[tokio::test]
#[ignore = "needs the kubernetes binary of e2e/cluster (CONTINUITY_KUBERNETES)"]
async fn debug_pages_are_reached_through_the_api_server_s_proxy_and_by_nobody_else_without_a_token() {
    let plane = Plane::alone("proxied").await;
    plane
        .apply(&repository("config/components/debug/rbac.yaml"))
        .await;
    let port = crate::plane::free_port();
    let _operator = plane.operator("operator-a", &["--debug-listen", &format!("0.0.0.0:{port}")]);
    // Played: the pod, at an address at which the operator is.
    plane
        .apply(
            "{apiVersion: v1, kind: ServiceAccount, metadata: {name: default, namespace: continuity-system}}",
        )
        .await;
    plane
        .apply("{apiVersion: v1, kind: Pod, metadata: {name: operator-a, namespace: continuity-system}, spec: {containers: [{name: operator, image: operator}]}}")
        .await;
    let admin = plane.directory.join("kubeconfig");
    let outer = crate::plane::outer_address();
    let at = format!(r#"{{"status":{{"podIP":"{outer}","podIPs":[{{"ip":"{outer}"}}],"phase":"Running"}}}}"#);
    let placed = [
        "patch",
        "pod",
        "operator-a",
        "-n",
        "continuity-system",
        "--subresource=status",
    ];
    kubectl(&admin, &[&placed[..], &["--type=merge", "-p", &at]].concat()).unwrap();
    let token = |account: &str| {
        let create = ["create", "token", account, "-n", "continuity-system"];
        kubectl(
            &admin,
            &[&create[..], &["--audience", "continuity-debug"]].concat(),
        )
        .unwrap()
    };
    let path =
        format!("/api/v1/namespaces/continuity-system/pods/https:operator-a:{port}/proxy/debug/scheduler");
    let ask = async |token: Option<&str>| {
        let mut request = axum::http::Request::get(path.as_str());
        if let Some(token) = token {
            request = request.header("X-Continuity-Token", token);
        }
        plane
            .client
            .request_text(request.body(Vec::new()).unwrap())
            .await
            .map_err(|error| error.to_string())
    };
    let good = token("continuity-debug");
    let look = async || {
        ask(Some(&good))
            .await
            .ok()
            .filter(|page| page.contains("quarantine"))
    };
    eventually("the page by the API server's proxy", PATIENCE, look).await;
    let said = ask(None).await.unwrap_err();
    assert!(said.contains("show a token"), "{said}");
    let said = ask(Some(&token("default"))).await.unwrap_err();
    assert!(said.contains("may not get /debug/scheduler"), "{said}");
    let plain = curl(&format!("{outer}:{port}"), "scheduler", Some(&good));
    assert_ne!(plain.0, "200", "plain text");
}
