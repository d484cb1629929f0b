//! GitOps: what was applied stays as it was applied, and its health is what the scripts say, whatever nodes report.

#[path = "../gitops/health.rs"]
mod health;

use crate::plane::{Plane, eventually};
use crate::watching::{name, policies, sets, tell};
use continuity_api::node::{Regime, SetReport};
use continuity_api::policy::Mode;
use continuity_api::{EquivalencePlan, set_name};
use kube::ResourceExt;
use kube::api::Api;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// Services beside the sample's; a report that names all of them makes each pass decide about all.
const SERVICES: usize = 60;
/// Decisions about a Service before the comparison.
const RECONCILES: u64 = 10_000;

fn kubectl(plane: &Plane, args: &[&str]) -> Output {
    Command::new("kubectl")
        .arg("--kubeconfig")
        .arg(plane.directory.join("kubeconfig"))
        .args(args)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .output()
        .expect("kubectl on the PATH")
}

fn applied(plane: &Plane, folder: &str) {
    let output = kubectl(
        plane,
        &["apply", "--server-side", "--force-conflicts", "-k", folder],
    );
    assert!(
        output.status.success(),
        "{folder}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn unchanged(plane: &Plane, folder: &str) {
    let output = kubectl(
        plane,
        &["diff", "--server-side", "--force-conflicts", "-k", folder],
    );
    let said = [output.stdout, output.stderr].concat();
    assert_eq!(
        output.status.code(),
        Some(0),
        "{folder} drifts:\n{}",
        String::from_utf8_lossy(&said)
    );
}

fn service(name: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: shop}}\nspec: {{ports: [{{name: http, port: 80}}]}}\n---\n\
         apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: {name}-a, namespace: shop, labels: {{kubernetes.io/service-name: {name}}}}}\n\
         addressType: IPv4\nports: [{{name: http, port: 8080, protocol: TCP}}]\nendpoints: [{{addresses: [10.244.1.1], conditions: {{ready: true}}}}]\n"
    )
}

fn policy(name: &str) -> String {
    format!(
        "---\napiVersion: continuity.nity.io/v1alpha1\nkind: ContinuityPolicy\nmetadata: {{name: {name}, namespace: shop}}\n\
         spec: {{targetRefs: [{{kind: Service, name: {name}}}], mode: Enforce}}\n"
    )
}

async fn passes(address: &str) -> u64 {
    let output = Command::new("curl")
        .args(["-s", &format!("http://{address}/metrics")])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text
        .lines()
        .find(|line| line.starts_with("continuity_operator_passes_total"));
    line.and_then(|line| line.split(' ').nth(1)?.parse().ok())
        .unwrap_or(0)
}

#[tokio::test]
#[ignore = "needs the kubernetes binary of e2e/cluster (CONTINUITY_KUBERNETES)"]
async fn ten_thousand_reconciles_change_nothing_that_was_applied_and_a_crisis_no_health() {
    let plane = Plane::alone("drift").await;
    applied(&plane, "config/default");
    applied(&plane, "config/flow");
    let names: Vec<String> = (0..SERVICES).map(|index| format!("web-{index}")).collect();
    let manifests: String = names.iter().map(|name| service(name) + &policy(name)).collect();
    plane
        .apply((manifests + &service("checkout")).trim_start_matches("---\n"))
        .await;
    applied(&plane, "config/samples");

    let (_operator, listen) = plane.operator_at("kubeconfig", "operator-a", &[]);
    let plans: Api<EquivalencePlan> = Api::namespaced(plane.client.clone(), "shop");
    let look = async || {
        let plans = plans.list(&Default::default()).await.ok()?.items;
        (plans.len() > SERVICES).then_some(plans)
    };
    let (plans, _) = eventually("all plans", Duration::from_secs(60), look).await;
    let reports = |regime: Regime| -> Vec<SetReport> {
        let report = |plan: &EquivalencePlan| SetReport {
            namespace: "shop".into(),
            set: plan.name_any(),
            service: plan.spec.service.name.clone(),
            port: plan.spec.port.label.clone(),
            plan_digest: plan.spec.digest.clone(),
            mode: Mode::Enforce,
            regime,
            offered_milli_per_second: 100_000,
            ..SetReport::default()
        };
        plans.iter().map(report).collect()
    };

    let begun = Instant::now();
    let mut sequence = 1;
    while passes(&listen).await * u64::try_from(SERVICES).unwrap() < RECONCILES {
        assert!(
            begun.elapsed() < Duration::from_secs(180),
            "only {} passes",
            passes(&listen).await
        );
        let regime = if sequence % 2 == 0 {
            Regime::Crisis
        } else {
            Regime::Laminar
        };
        tell(&plane, "node-1", sequence, reports(regime)).await;
        sequence += 1;
    }
    tell(&plane, "node-1", sequence, reports(Regime::Crisis)).await;
    for folder in ["config/default", "config/samples", "config/flow"] {
        unchanged(&plane, folder);
    }

    // Recorded from the server in the middle of a crisis.
    let look = async || {
        let set = sets(&plane).get_opt(&set_name("web-7", "http")).await.ok()??;
        (set.status.as_ref()?.regime == Regime::Crisis).then_some(set)
    };
    let (set, _) = eventually("the crisis", Duration::from_secs(60), look).await;
    let look = async || {
        let policy = policies(&plane).get("web-7").await.ok()?;
        (policy.status.as_ref()?.programmed == "1/1").then_some(policy)
    };
    let (policy, _) = eventually("a programmed policy", Duration::from_secs(60), look).await;
    for object in [
        serde_json::to_value(set).unwrap(),
        serde_json::to_value(policy).unwrap(),
    ] {
        assert_eq!(health::argo(&object).0, "Healthy", "{object:#}");
        assert_eq!(health::flux(&object), "Current", "{object:#}");
    }
    assert!(
        sets(&plane).get_opt(&name()).await.unwrap().is_some(),
        "the sample is followed"
    );
}
