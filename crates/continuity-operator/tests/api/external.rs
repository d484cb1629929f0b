//! The external metric, through the API server's aggregation layer as an HPA reads it.

use crate::plane::{Plane, Process, eventually, free_port, outer_address};
use crate::watching::{followed, status_when, told};
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::{APIService, APIServiceSpec};
use kube::api::Api;
use serde_json::Value;
use std::time::Duration;

const PATH: &str = "/apis/external.metrics.k8s.io/v1beta1/namespaces/shop/continuity_desired_replicas\
                    ?labelSelector=service%3Dcheckout%2Cport%3Dhttp";

fn served_by(service: &str, port: u16) -> String {
    format!(
        "
apiVersion: v1
kind: Service
metadata: {{name: {service}, namespace: continuity-system}}
spec: {{ports: [{{name: https, port: {port}}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: {service}-a, namespace: continuity-system, labels: {{kubernetes.io/service-name: {service}}}}}
addressType: IPv4
ports: [{{name: https, port: {port}, protocol: TCP}}]
endpoints: [{{addresses: [{}], conditions: {{ready: true}}}}]
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {{name: v1beta1.external.metrics.k8s.io}}
spec:
  group: external.metrics.k8s.io
  version: v1beta1
  groupPriorityMinimum: 100
  versionPriority: 100
  service: {{name: {service}, namespace: continuity-system, port: {port}}}
",
        outer_address()
    )
}

/// An operator that serves the metric at the port.
fn operator(plane: &Plane, port: u16) -> Process {
    let listen = format!("0.0.0.0:{port}");
    plane.operator(
        "operator-a",
        &["--external-metrics", "--external-metrics-listen", &listen],
    )
}

async fn get(plane: &Plane, path: &str) -> Option<Value> {
    let request = axum::http::Request::get(path).body(Vec::new()).unwrap();
    plane.client.request::<Value>(request).await.ok()
}

/// The APIService as it is stored.
async fn stored(plane: &Plane) -> APIServiceSpec {
    let services: Api<APIService> = Api::all(plane.client.clone());
    let found = services.get("v1beta1.external.metrics.k8s.io").await.unwrap();
    found.spec.unwrap()
}

/// The metric once it has items as wanted.
async fn metric_when(plane: &Plane, what: &str, wanted: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let look = async || {
        let list = get(plane, PATH).await?;
        let items = list["items"].as_array()?;
        wanted(items).then(|| items.clone())
    };
    eventually(what, Duration::from_secs(60), look).await.0
}

#[tokio::test]
#[ignore = "needs the kubernetes binary of e2e/cluster (CONTINUITY_KUBERNETES)"]
async fn an_autoscaler_reads_one_item_a_set_through_the_api_server_and_strangers_get_nothing() {
    let mut plane = Plane::alone("metric").await;
    let port = free_port();
    let _operator = operator(&plane, port);
    plane.apply(&served_by("continuity-external-metrics", port)).await;
    told(&plane).await;
    status_when(&plane, "a hint", Duration::from_secs(20), |status| {
        status.scale_hint.is_some()
    })
    .await;

    let items = metric_when(&plane, "the metric", |items| !items.is_empty()).await;
    assert_eq!(items.len(), 1);
    assert_eq!(
        (
            items[0]["value"].as_str(),
            items[0]["metricLabels"]["port"].as_str()
        ),
        (Some("4"), Some("http"))
    );

    let stored = stored(&plane).await;
    assert!(stored.ca_bundle.is_some() && stored.insecure_skip_tls_verify != Some(true));

    // Straight to the server, headers and all, without the front proxy's certificate.
    let address = format!("https://{}:{port}{PATH}", outer_address());
    let curl = std::process::Command::new("curl")
        .args([
            "-sk",
            "-H",
            "X-Remote-User: admin",
            "-H",
            "X-Remote-Group: system:masters",
        ])
        .args(["-o", "/dev/null", "-w", "%{http_code}", &address])
        .output()
        .expect("curl");
    assert_eq!(String::from_utf8_lossy(&curl.stdout), "401");

    // Silence of the only node, and of the API server, takes no value away.
    plane.stop_api();
    tokio::time::sleep(Duration::from_secs(8)).await;
    plane.start_api().await;
    metric_when(&plane, "the metric after an outage", |items| items.len() == 1).await;
}

#[tokio::test]
#[ignore = "needs the kubernetes binary of e2e/cluster (CONTINUITY_KUBERNETES)"]
async fn an_api_service_of_somebody_else_is_left_alone() {
    let plane = Plane::alone("foreign").await;
    let port = free_port();
    plane.apply(&served_by("keda-operator-metrics", port)).await;
    let _operator = operator(&plane, port);
    followed(&plane).await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    let stored = stored(&plane).await;
    assert_eq!(stored.ca_bundle, None);
    assert!(
        std::net::TcpStream::connect(("127.0.0.1", port)).is_err(),
        "it serves all the same"
    );
    let log = std::fs::read_to_string(plane.directory.join("operator-a.log")).unwrap();
    assert!(log.contains("belongs to somebody else"), "{log}");
}
