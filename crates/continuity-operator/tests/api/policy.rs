//! Policies: what the API server refuses by itself, and what the operator says about the rest.

use crate::plane::{Plane, eventually};
use crate::watching::{CHECKOUT, followed, plans, policies, sets, told};
use continuity_api::{ContinuityPolicy, conditions, reasons, set_name};
use std::fs;
use std::path::Path;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

fn repository(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

#[tokio::test]
#[ignore = "needs the kubernetes binary of e2e/cluster (CONTINUITY_KUBERNETES)"]
async fn every_bad_sample_is_refused_with_its_sentence_and_every_good_one_is_taken() {
    let plane = Plane::start("samples").await;
    let mut refused = 0;
    for entry in fs::read_dir(repository("e2e/manifests/bad")).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let Some(expected) = text.lines().find_map(|line| line.strip_prefix("# expect: ")) else {
            continue;
        };
        let error = plane
            .dry_run(&text)
            .await
            .expect_err(&format!("{} is taken", path.display()))
            .to_string();
        // kubectl and the server name type errors and unknown fields in words of their own; the path is what counts.
        let meant = expected
            .split(&['"', ':'][..])
            .map(str::trim)
            .filter(|part| !part.is_empty());
        let typed = expected.contains("must be of type") || expected.contains("unknown field");
        assert!(
            typed || meant.clone().all(|part| error.contains(part)),
            "{}: {error}",
            path.display()
        );
        refused += 1;
    }
    assert!(refused >= 20, "only {refused} bad samples were found");
    for sample in ["observe.yaml", "enforce.yaml"] {
        let text = fs::read_to_string(repository("config/samples").join(sample)).unwrap();
        plane
            .dry_run(&text)
            .await
            .unwrap_or_else(|error| panic!("{sample}: {error}"));
    }
}

fn accepted(policy: &ContinuityPolicy) -> Option<(String, String)> {
    let status = policy.status.as_ref()?;
    let condition = status
        .conditions
        .iter()
        .find(|condition| condition.type_ == conditions::ACCEPTED)?;
    Some((condition.reason.clone(), condition.message.clone()))
}

#[tokio::test]
#[ignore = "needs the kubernetes binary of e2e/cluster (CONTINUITY_KUBERNETES)"]
async fn a_target_that_is_missing_or_taken_is_said_and_heals_when_it_appears() {
    let plane = Plane::start("targets").await;
    let _operator = plane.operator("operator-a", &[]);
    followed(&plane).await;
    let second = "{apiVersion: continuity.nity.io/v1alpha1, kind: ContinuityPolicy, \
                  metadata: {name: later, namespace: shop}, spec: {targetRefs: [{name: checkout}]}}";
    plane.apply(second).await;
    let reason = async |name: &'static str, wanted: &'static str| {
        let look = async || {
            let policy = policies(&plane).get(name).await.ok()?;
            accepted(&policy).filter(|(reason, _)| reason == wanted)
        };
        eventually(&format!("{name} {wanted}"), PATIENCE, look).await.0.1
    };
    let message = reason("later", reasons::CONFLICTED).await;
    assert!(message.contains("follows policy checkout"), "{message}");

    let cart = "{apiVersion: continuity.nity.io/v1alpha1, kind: ContinuityPolicy, \
                metadata: {name: cart, namespace: shop}, spec: {targetRefs: [{name: cart, sectionName: http}]}}";
    plane.apply(cart).await;
    reason("cart", reasons::TARGET_NOT_FOUND).await;
    let service = |port: &str| {
        format!(
            "{{apiVersion: v1, kind: Service, metadata: {{name: cart, namespace: shop}}, \
             spec: {{ports: [{{name: {port}, port: 80}}]}}}}"
        )
    };
    plane.apply(&service("grpc")).await;
    let message = reason("cart", reasons::PORT_NOT_FOUND).await;
    assert!(message.contains("it has: grpc"), "{message}");
    plane.apply(&service("http")).await;
    reason("cart", reasons::ACCEPTED).await;
}

#[tokio::test]
#[ignore = "needs the kubernetes binary of e2e/cluster (CONTINUITY_KUBERNETES)"]
async fn renamed_ports_and_deleted_services_leave_nothing_behind_and_a_calm_picture_is_never_written() {
    let plane = Plane::start("lifecycle").await;
    let _operator = plane.operator("operator-a", &[]);
    told(&plane).await;

    let renamed = CHECKOUT.replace("{name: http, port: 80}", "{name: web, port: 80}");
    plane.apply(&renamed).await;
    let (old, new) = (set_name("checkout", "http"), set_name("checkout", "web"));
    let look = async || {
        let gone = sets(&plane).get_opt(&old).await.ok()?.is_none()
            && plans(&plane).get_opt(&old).await.ok()?.is_none();
        (gone && sets(&plane).get_opt(&new).await.ok()?.is_some()).then_some(())
    };
    eventually("the old set gone, the new one there", PATIENCE, look).await;

    // Figures may wait for their tokens, 22.5 s after three writes; then nothing changes, and nothing may be written,
    // looks at everything every 5 s included.
    tokio::time::sleep(Duration::from_secs(25)).await;
    let versions = async || {
        let sets = sets(&plane).list(&Default::default()).await.unwrap();
        let plans = plans(&plane).list(&Default::default()).await.unwrap();
        let policies = policies(&plane).list(&Default::default()).await.unwrap();
        let sets = sets.items.into_iter().map(|set| set.metadata.resource_version);
        let plans = plans.items.into_iter().map(|plan| plan.metadata.resource_version);
        let policies = policies
            .items
            .into_iter()
            .map(|policy| policy.metadata.resource_version);
        sets.chain(plans).chain(policies).collect::<Vec<_>>()
    };
    let before = versions().await;
    tokio::time::sleep(Duration::from_secs(12)).await;
    assert_eq!(versions().await, before);

    let services: kube::Api<k8s_openapi::api::core::v1::Service> =
        kube::Api::namespaced(plane.client.clone(), "shop");
    services.delete("checkout", &Default::default()).await.unwrap();
    let look = async || {
        let sets = sets(&plane).list(&Default::default()).await.ok()?;
        let plans = plans(&plane).list(&Default::default()).await.ok()?;
        (sets.items.is_empty() && plans.items.is_empty()).then_some(())
    };
    eventually("sets and plans gone with their Service", PATIENCE, look).await;
}
