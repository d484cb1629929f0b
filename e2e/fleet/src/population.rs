//! What the cluster holds: namespaces with Services, their slices, and one policy each that selects them all.

use crate::error::Error;
use crate::stage::Stage;
use continuity_api::{ContinuityPolicy, EquivalencePlan, EquivalenceSet, labels};
use futures::stream::{self, StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{Namespace, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Client;
use kube::api::{Api, ListParams, PostParams};
use serde_json::json;
use std::time::{Duration, Instant};

/// Services of a namespace.
const PER_NAMESPACE: usize = 50;
/// Requests on their way at once.
const AT_ONCE: usize = 16;
/// Longest time for the operator to make what follows.
const PATIENCE: Duration = Duration::from_secs(900);

fn namespace(service: usize) -> String {
    format!("team-{:03}", service / PER_NAMESPACE)
}

fn name(service: usize) -> String {
    format!("web-{service:04}")
}

/// Makes everything but the policies.
pub(crate) async fn make(client: &Client, services: usize, endpoints: usize) -> Result<(), Error> {
    let namespaces = services.div_ceil(PER_NAMESPACE);
    let spaces: Api<Namespace> = Api::all(client.clone());
    let names = (0..namespaces).map(|index| namespace(index * PER_NAMESPACE));
    let own = std::iter::once("continuity-system".to_owned());
    for name in names.chain(own) {
        let body = serde_json::from_value(json!({"metadata": {"name": name}}))?;
        spaces.create(&PostParams::default(), &body).await?;
    }
    stream::iter(0..services)
        .map(|index| service(client, index, endpoints))
        .buffer_unordered(AT_ONCE)
        .try_collect::<Vec<()>>()
        .await?;
    Ok(())
}

async fn service(client: &Client, index: usize, endpoints: usize) -> Result<(), Error> {
    let (namespace, name) = (namespace(index), name(index));
    let body: Service = serde_json::from_value(json!({
        "metadata": {"name": name, "labels": {"bench": "fleet"}},
        "spec": {"ports": [{"name": "http", "port": 80}]},
    }))?;
    let made: Api<Service> = Api::namespaced(client.clone(), &namespace);
    made.create(&PostParams::default(), &body).await?;
    let endpoint = |place: usize| {
        let number = index * endpoints + place;
        json!({
            "addresses": [format!("10.{}.{}.{}", 64 + number / 62_500, number / 250 % 250, 1 + number % 250)],
            "conditions": {"ready": true},
            "nodeName": format!("node-{:05}", number % 10_000),
            "targetRef": {"kind": "Pod", "namespace": namespace, "name": format!("{name}-{place:02}")},
        })
    };
    let body: EndpointSlice = serde_json::from_value(json!({
        "metadata": {"name": format!("{name}-a"), "labels": {labels::SERVICE_NAME: name}},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": (0..endpoints).map(endpoint).collect::<Vec<_>>(),
    }))?;
    let made: Api<EndpointSlice> = Api::namespaced(client.clone(), &namespace);
    made.create(&PostParams::default(), &body).await?;
    Ok(())
}

/// Puts a policy into every namespace; gives the time until every Service had its set and its plan.
pub(crate) async fn follow(stage: &Stage, services: usize) -> Result<Duration, Error> {
    let begun = Instant::now();
    for index in 0..services.div_ceil(PER_NAMESPACE) {
        policy(&stage.client, index * PER_NAMESPACE).await?;
    }
    let least = ListParams::default().limit(1);
    let sets: Api<EquivalenceSet> = Api::all(stage.client.clone());
    let plans: Api<EquivalencePlan> = Api::all(stage.client.clone());
    stage
        .until("a set and a plan for every Service", PATIENCE, async || {
            let total =
                |left: Option<i64>, here: usize| usize::try_from(left.unwrap_or(0)).unwrap_or(0) + here;
            let found = sets.list_metadata(&least).await.ok()?;
            let sets = total(found.metadata.remaining_item_count, found.items.len());
            let found = plans.list_metadata(&least).await.ok()?;
            let plans = total(found.metadata.remaining_item_count, found.items.len());
            (sets >= services && plans >= services).then_some(())
        })
        .await?;
    Ok(begun.elapsed())
}

/// The policy of the namespace that Service `index` is in.
async fn policy(client: &Client, index: usize) -> Result<(), Error> {
    let body = serde_json::from_value(json!({
        "apiVersion": continuity_api::API_VERSION, "kind": "ContinuityPolicy",
        "metadata": {"name": "all"},
        "spec": {"targetSelector": {"matchLabels": {"bench": "fleet"}}, "mode": "Enforce"},
    }))?;
    let api: Api<ContinuityPolicy> = Api::namespaced(client.clone(), &namespace(index));
    api.create(&PostParams::default(), &body).await?;
    Ok(())
}
