//! Objects that nobody should write, and what becomes of them: a clear refusal, or no harm.

use crate::plane::{Plane, eventually};
use crate::watching::{
    CHECKOUT, followed, isolated, name, plan, plans, policies, report, sets, status_when, tell, told,
};
use continuity_api::node::{ContinuityNodeStatus, Regime, SetReport};
use continuity_api::{AGENT_MANAGER, API_VERSION, ContinuityNode, Time};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

fn nodes(plane: &Plane) -> Api<ContinuityNode> {
    Api::all(plane.client.clone())
}

/// Writes a status as it is, whatever it is.
async fn raw(plane: &Plane, node: &str, status: Value) -> Result<ContinuityNode, kube::Error> {
    let body = json!({"apiVersion": API_VERSION, "kind": "ContinuityNode", "metadata": {"name": node}, "status": status});
    let parameters = PatchParams::apply(AGENT_MANAGER).force();
    nodes(plane)
        .patch_status(node, &parameters, &Patch::Apply(&body))
        .await
}

/// What the API server says to a policy with this spec and these annotations.
async fn refusal(plane: &Plane, spec: Value, annotations: Value) -> String {
    let body = json!({
        "apiVersion": API_VERSION, "kind": "ContinuityPolicy",
        "metadata": {"name": "large", "namespace": "shop", "annotations": annotations}, "spec": spec,
    });
    let parameters = PatchParams::apply("test").force();
    match policies(plane)
        .patch("large", &parameters, &Patch::Apply(&body))
        .await
    {
        Err(kube::Error::Api(status)) => status.message.clone(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
#[ignore = "needs the kubernetes binary of e2e/cluster (CONTINUITY_KUBERNETES)"]
async fn objects_of_a_mebibyte_are_refused_by_name_and_the_largest_that_fit_do_no_harm() {
    let plane = Plane::start("large").await;
    let _operator = plane.operator("operator-a", &[]);
    let digest = told(&plane).await;

    let target = json!({"kind": "Service", "name": "checkout"});
    let many = json!({"targetRefs": vec![target.clone(); 20_000]});
    let said = refusal(&plane, many, json!({})).await;
    assert!(said.contains("targetRefs") && said.contains("at most"), "{said}");
    let long = json!({"a": "x".repeat(1024 * 1024)});
    let said = refusal(&plane, json!({"targetRefs": [target.clone()]}), long).await;
    assert!(said.contains("annotations") && said.contains("262144"), "{said}");
    let deep = json!({"targetSelector": {"matchLabels": {"a": "x".repeat(1024 * 1024)}}});
    let said = refusal(&plane, deep, json!({})).await;
    assert!(said.contains("matchLabels"), "{said}");

    let set = serde_json::to_value(SetReport {
        reason: "x".repeat(1024 * 1024),
        ..report(&digest, Regime::Crisis)
    })
    .unwrap();
    let said = raw(&plane, "node-1", json!({"sequence": 2, "sets": [set]}))
        .await
        .unwrap_err()
        .to_string();
    assert!(said.contains("reason") && said.contains("256"), "{said}");
    let set = serde_json::to_value(report(&digest, Regime::Crisis)).unwrap();
    let said = raw(&plane, "node-1", json!({"sequence": 2, "sets": vec![set; 4_000]}))
        .await
        .unwrap_err()
        .to_string();
    assert!(said.contains("sets") && said.contains("256"), "{said}");

    // The largest metadata that Kubernetes takes, on what we read: served as if it were not there.
    let note = json!({"metadata": {"annotations": {"a": "x".repeat(250 * 1024)}}});
    policies(&plane)
        .patch("checkout", &PatchParams::default(), &Patch::Merge(&note))
        .await
        .unwrap();
    let services: Api<k8s_openapi::api::core::v1::Service> = Api::namespaced(plane.client.clone(), "shop");
    services
        .patch("checkout", &PatchParams::default(), &Patch::Merge(&note))
        .await
        .unwrap();
    tell(&plane, "node-1", 3, vec![report(&digest, Regime::Crisis)]).await;
    status_when(&plane, "the crisis", PATIENCE, |status| {
        status.regime == Regime::Crisis
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the kubernetes binary of e2e/cluster (CONTINUITY_KUBERNETES)"]
async fn reports_from_the_future_twice_told_of_another_version_and_of_gone_nodes_do_no_harm() {
    let plane = Plane::start("odd").await;
    let _operator = plane.operator("operator-a", &[]);
    let digest = followed(&plane).await;

    // Five minutes ahead, as a node's clock may be.
    let ahead = Timestamp::now()
        .saturating_add(SignedDuration::from_mins(5))
        .unwrap();
    let future = SetReport {
        since: Some(Time(ahead)),
        backends: vec![isolated()],
        ..report(&digest, Regime::Crisis)
    };
    tell(&plane, "node-1", 1, vec![future.clone(), future]).await;
    let (status, _) = status_when(&plane, "the crisis", PATIENCE, |status| {
        status.regime == Regime::Crisis
    })
    .await;
    let latest = Timestamp::now()
        .saturating_add(SignedDuration::from_secs(2))
        .unwrap();
    assert!(
        status.regime_since.unwrap().0 <= latest,
        "a time that has not come"
    );
    assert_eq!(
        (status.nodes.reporting, status.nodes.crisis),
        (1, 1),
        "one node, however often it says so"
    );
    assert_eq!(status.traffic.offered_milli_per_second, 100_000);

    // A field of a newer version: the API server names it and takes nothing of an apply, so that CRDs go first; what the
    // node said before counts on. A set that nobody made is nobody's.
    let stray = SetReport {
        namespace: "nowhere".into(),
        set: "nothing-00000".into(),
        ..report(&digest, Regime::Crisis)
    };
    tell(&plane, "node-2", 1, vec![stray, report(&digest, Regime::Crisis)]).await;
    let mut newer = serde_json::to_value(report(&digest, Regime::Laminar)).unwrap();
    newer["shape"] = json!({"of": "things to come"});
    let refused = raw(&plane, "node-2", json!({"sequence": 2, "sets": [newer]})).await;
    let said = refused.unwrap_err().to_string();
    assert!(said.contains("shape: field not declared in schema"), "{said}");
    status_when(&plane, "two nodes", PATIENCE, |status| status.nodes.crisis == 2).await;

    // A node that is gone takes its word along.
    nodes(&plane)
        .delete("node-1", &DeleteParams::default())
        .await
        .unwrap();
    let (status, took) =
        status_when(&plane, "one node", PATIENCE, |status| status.nodes.reporting == 1).await;
    assert_eq!(status.traffic.offered_milli_per_second, 100_000);
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[tokio::test]
#[ignore = "needs the kubernetes binary of e2e/cluster (CONTINUITY_KUBERNETES)"]
async fn a_finalizer_of_somebody_else_holds_a_plan_without_a_hot_loop_and_it_comes_again_after() {
    let plane = Plane::start("finalizer").await;
    let proxy = plane.proxy().await;
    let (_operator, _) = plane.operator_behind(&proxy, "operator-a", &[]);
    plane.apply(CHECKOUT).await;
    let first = plan(&plane).await;
    let held = json!({"metadata": {"finalizers": ["example.com/held"]}});
    plans(&plane)
        .patch(&name(), &PatchParams::default(), &Patch::Merge(&held))
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    plans(&plane)
        .delete(&name(), &DeleteParams::default())
        .await
        .unwrap();
    let before = proxy.exchanges().len();
    tokio::time::sleep(Duration::from_secs(12)).await;
    let writes = proxy
        .exchanges()
        .into_iter()
        .skip(before)
        .filter(|one| one.method != "GET" && !one.path.contains("/leases/"));
    let writes: Vec<String> = writes.map(|one| format!("{} {}", one.method, one.path)).collect();
    assert!(writes.len() <= 6, "{writes:#?}");
    let free = json!({"metadata": {"finalizers": null}});
    plans(&plane)
        .patch(&name(), &PatchParams::default(), &Patch::Merge(&free))
        .await
        .unwrap();
    let look = async || {
        plan(&plane)
            .await
            .uid()
            .filter(|uid| Some(uid) != first.uid().as_ref())
    };
    eventually("another plan", PATIENCE, look).await;
    // The set was never touched.
    assert!(sets(&plane).get(&name()).await.is_ok());
}

#[tokio::test]
#[ignore = "needs the kubernetes binary of e2e/cluster (CONTINUITY_KUBERNETES)"]
async fn a_report_in_words_of_a_newer_version_is_skipped_and_said_and_the_others_count() {
    let plane = Plane::alone("newer").await;
    let (_operator, _) = plane.operator_at("kubeconfig", "operator-a", &[]);
    let digest = told(&plane).await;

    // The CRD of a version that knows one regime more; this operator does not.
    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
    let definitions: Api<CustomResourceDefinition> = Api::all(plane.client.clone());
    let path = "/spec/versions/0/schema/openAPIV3Schema/properties/status/properties/regime/enum/-";
    let patch = json!([{"op": "add", "path": path, "value": "Turbulent"}]);
    let patch: Patch<()> = Patch::Json(serde_json::from_value(patch).unwrap());
    definitions
        .patch(
            "continuitynodes.continuity.nity.io",
            &PatchParams::default(),
            &patch,
        )
        .await
        .unwrap();
    tell(&plane, "node-2", 1, vec![report(&digest, Regime::Laminar)]).await;
    let look = async || {
        raw(&plane, "node-2", json!({"sequence": 2, "regime": "Turbulent"}))
            .await
            .err()
            .map_or(Some(()), |error| {
                // A body that our own types can not read back has been stored.
                matches!(error, kube::Error::SerdeError(_)).then_some(())
            })
    };
    eventually("the new word is taken", PATIENCE, look).await;
    tell(&plane, "node-3", 1, vec![report(&digest, Regime::Crisis)]).await;
    tell(&plane, "node-1", 2, vec![report(&digest, Regime::Crisis)]).await;
    status_when(&plane, "the crisis on the others", PATIENCE, |status| {
        status.nodes.crisis == 2
    })
    .await;
    let log = std::fs::read_to_string(plane.directory.join("operator-a.log")).unwrap();
    assert!(
        log.contains("does not parse and is skipped") && log.contains("node-2"),
        "{log}"
    );
}

/// A status as long as the schema lets any field be, as the agent would cut it.
fn longest(sets: usize) -> ContinuityNodeStatus {
    let sentence = "ж".repeat(256);
    let bad = |index: usize| continuity_api::node::BackendReport {
        address: format!("[fd00:10:244:{index:04x}:ffff:ffff:ffff:ffff]:65535"),
        pod: format!("{index:p>253}"),
        node: "n".repeat(253),
        reason: sentence.clone(),
        ..isolated()
    };
    let set = |index: usize| SetReport {
        set: format!("{index:0>63}"),
        namespace: "n".repeat(63),
        service: "s".repeat(63),
        reason: sentence.clone(),
        backends: (0..64).map(bad).collect(),
        ..report("0123456789abcdef", Regime::Crisis)
    };
    ContinuityNodeStatus {
        sets: (0..sets).map(set).collect(),
        ..ContinuityNodeStatus::default()
    }
    .bounded()
}

#[tokio::test]
#[ignore = "needs the kubernetes binary of e2e/cluster (CONTINUITY_KUBERNETES)"]
async fn every_object_stays_below_64_kb_in_the_worst_case_as_stored() {
    let plane = Plane::start("sizes").await;
    let _operator = plane.operator("operator-a", &[]);
    let digest = followed(&plane).await;
    // Forty nodes, each as bad as the words allow: exceptions, isolations and verdicts beyond what is named.
    let address = |node: usize, index: usize| {
        format!(
            "[fd00:10:244:{:04x}:ffff:ffff:ffff:ffff]:65535",
            node % 2 * 80 + index
        )
    };
    for node in 0..40 {
        let bad = |index: usize| continuity_api::node::BackendReport {
            address: address(node, index),
            pod: format!("{:p>253}", node % 2 * 80 + index),
            node: "n".repeat(253),
            reason: "ж".repeat(256),
            ..isolated()
        };
        let one = SetReport {
            reason: "ж".repeat(256),
            backends: (0..40).map(bad).collect(),
            offered_milli_per_second: if node == 0 { 100_000_000 } else { 1_000 },
            ..report(
                &digest,
                if node == 0 {
                    Regime::Laminar
                } else {
                    Regime::Crisis
                },
            )
        };
        let long = format!("node-{node:0>240}");
        let status = ContinuityNodeStatus {
            sets: vec![one],
            ..ContinuityNodeStatus::default()
        }
        .bounded();
        tell(&plane, &long, 1, status.sets).await;
    }
    tell(&plane, "node-worst", 1, longest(300).sets).await;
    let (status, _) = status_when(&plane, "everybody", PATIENCE, |status| {
        status.nodes.reporting >= 40
    })
    .await;
    assert!(
        status.truncated && status.exceptions.len() == 16 && status.isolated.len() == 16,
        "{status:?}"
    );
    for kind in [
        "continuitynodes",
        "equivalencesets",
        "equivalenceplans",
        "continuitypolicies",
        "equivalencetimelines",
    ] {
        let request = axum::http::Request::get(format!("/apis/{API_VERSION}/{kind}"))
            .body(Vec::new())
            .unwrap();
        let list: Value = serde_json::from_str(&plane.client.request_text(request).await.unwrap()).unwrap();
        let sizes = list["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| (item.to_string().len(), item["metadata"]["name"].clone()));
        let (largest, name) = sizes.max_by_key(|(size, _)| *size).unwrap_or_default();
        println!("{kind}: {largest} bytes ({name})");
        assert!(largest < 64 * 1024, "{kind}: {name} has {largest} bytes");
    }
}
