//! The API server breaks off, forgets, refuses: what is asked of it stays little, what to do is said, and nothing is lost.

use crate::plane::{Plane, Process, eventually};
use crate::watching::{
    CHECKOUT, counted, followed, name, plan, plans, policies, report, sets, status_when, tell,
};
use continuity_api::node::Regime;
use continuity_testkit::{Exchange, Fault, Proxy, Rule};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use serde_json::json;
use std::process::Command;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

/// What passed since `before`, the Lease left out.
fn since(proxy: &Proxy, before: usize) -> Vec<Exchange> {
    let all = proxy.exchanges().into_iter().skip(before);
    all.filter(|one| !one.path.contains("/leases/")).collect()
}

/// A control plane, a proxy before it with these rules, and an operator behind that.
async fn besieged(name: &str, rules: Vec<Rule>) -> (Plane, Proxy, Process) {
    let plane = Plane::start(name).await;
    let proxy = plane.proxy().await;
    proxy.set(rules);
    let (operator, _) = plane.operator_behind(&proxy, "operator-a", &[]);
    (plane, proxy, operator)
}

/// Every watch ends after so many seconds.
fn cut(seconds: u64) -> Vec<Rule> {
    vec![Rule::watches(Fault::Cut(Duration::from_secs(seconds)))]
}

fn log(plane: &Plane) -> String {
    std::fs::read_to_string(plane.directory.join("operator-a.log")).unwrap()
}

#[tokio::test]
#[ignore = "needs the kubernetes binary of e2e/cluster (CONTINUITY_KUBERNETES)"]
async fn watches_that_are_cut_every_second_resume_without_new_lists_and_status_still_follows() {
    let (plane, proxy, _operator) = besieged("cut", cut(1)).await;
    let digest = counted(&plane).await;
    let before = proxy.exchanges().len();
    for sequence in 2..6 {
        let regime = if sequence % 2 == 0 {
            Regime::Crisis
        } else {
            Regime::Laminar
        };
        tell(&plane, "node-1", sequence, vec![report(&digest, regime)]).await;
        let (_, took) = status_when(&plane, "the regime", PATIENCE, |status| status.regime == regime).await;
        assert!(took < Duration::from_secs(7), "{took:?}");
        tokio::time::sleep(Duration::from_secs(4).saturating_sub(took)).await;
    }
    let passed = since(&proxy, before);
    let watches = passed.iter().filter(|one| one.watch).count();
    let lists = passed
        .iter()
        .filter(|one| one.method == "GET" && !one.watch)
        .count();
    // Six watches of a second each, over 16 s and what the waits took.
    assert!(
        (20..=200).contains(&watches) && lists <= 12,
        "{watches} watches, {lists} lists"
    );
}

#[tokio::test]
#[ignore = "needs the kubernetes binary of e2e/cluster (CONTINUITY_KUBERNETES)"]
async fn what_went_while_history_was_compacted_and_the_server_restarted_is_found_by_a_new_list() {
    let (mut plane, proxy, _operator) = besieged("compacted", cut(2)).await;
    followed(&plane).await;
    // From now on the operator sees nothing.
    proxy.set(vec![Rule::watches(Fault::Status(503))]);
    tokio::time::sleep(Duration::from_secs(3)).await;
    policies(&plane)
        .delete("checkout", &DeleteParams::default())
        .await
        .unwrap();
    let list = plans(&plane).list_metadata(&ListParams::default()).await.unwrap();
    let revision = list.metadata.resource_version.unwrap();
    let url = format!("{}/v3/kv/compaction", plane.etcd_url());
    let body = format!("{{\"revision\": \"{revision}\", \"physical\": true}}");
    let asked = Command::new("curl")
        .args(["-sf", "--max-time", "10", "-X", "POST", "-d", &body, &url])
        .status();
    assert!(asked.unwrap().success(), "etcd does not compact");
    plane.stop_api();
    plane.start_api().await;
    let before = proxy.exchanges().len();
    proxy.set(Vec::new());
    let look = async || {
        let sets = sets(&plane)
            .list(&ListParams::default())
            .await
            .ok()?
            .items
            .is_empty();
        let plans = plans(&plane)
            .list(&ListParams::default())
            .await
            .ok()?
            .items
            .is_empty();
        (sets && plans).then_some(())
    };
    let (_, took) = eventually("sets and plans of the policy that is gone", PATIENCE, look).await;
    assert!(took < Duration::from_secs(20), "{took:?}");
    let passed = since(&proxy, before);
    let lists = passed
        .iter()
        .filter(|one| one.method == "GET" && !one.watch)
        .count();
    assert!(
        lists >= 1 && passed.len() <= 120,
        "{lists} lists of {} requests",
        passed.len()
    );
}

#[tokio::test]
#[ignore = "needs the kubernetes binary of e2e/cluster (CONTINUITY_KUBERNETES)"]
async fn an_expired_token_is_said_with_its_remedy_asked_for_seldom_and_caught_up_after() {
    let (plane, proxy, _operator) = besieged("expired", cut(1)).await;
    let digest = counted(&plane).await;
    proxy.set(vec![Rule::path("", Fault::Status(401))]);
    let before = proxy.exchanges().len();
    tokio::time::sleep(Duration::from_secs(12)).await;
    let asked = proxy.exchanges().len() - before;
    // Six watches every 1.5 s to 1.9 s, and the Lease.
    assert!(asked <= 12 * 8, "{asked} requests in 12 s");
    assert!(log(&plane).contains("unauthorized") && log(&plane).contains("the token is refused"));
    proxy.set(Vec::new());
    tell(&plane, "node-1", 2, vec![report(&digest, Regime::Crisis)]).await;
    status_when(&plane, "the crisis", PATIENCE, |status| {
        status.regime == Regime::Crisis
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the kubernetes binary of e2e/cluster (CONTINUITY_KUBERNETES)"]
async fn a_revoked_right_is_said_with_its_remedy_and_what_is_still_allowed_goes_on() {
    let (plane, proxy, _operator) = besieged("revoked", Vec::new()).await;
    let digest = counted(&plane).await;
    // The right to write plans is gone; sets and policies are still ours.
    let writes = Rule {
        path: "/equivalenceplans".into(),
        ..Rule::writes(Fault::Status(403))
    };
    proxy.set(vec![writes]);
    let before = proxy.exchanges().len();
    let hold = json!({"spec": {"isolation": {"holdSeconds": 90}}});
    policies(&plane)
        .patch("checkout", &PatchParams::default(), &Patch::Merge(&hold))
        .await
        .unwrap();
    tell(&plane, "node-1", 2, vec![report(&digest, Regime::Crisis)]).await;
    let (_, took) = status_when(&plane, "the crisis", PATIENCE, |status| {
        status.regime == Regime::Crisis
    })
    .await;
    assert!(took < Duration::from_secs(7), "{took:?}");
    tokio::time::sleep(Duration::from_secs(10)).await;
    let refused = since(&proxy, before)
        .into_iter()
        .filter(|one| one.status == 403)
        .count();
    assert!((1..=12).contains(&refused), "{refused} refused writes in 10 s");
    assert!(
        log(&plane).contains("forbidden") && log(&plane).contains("apply the role and its binding again")
    );
    proxy.set(Vec::new());
    let look = async || (plan(&plane).await.spec.stable.isolation.hold_millis == 90_000).then_some(());
    eventually("the changed plan", Duration::from_secs(60), look).await;
}

#[tokio::test]
#[ignore = "needs the kubernetes binary of e2e/cluster (CONTINUITY_KUBERNETES)"]
async fn a_namespace_that_hangs_in_its_deletion_costs_little_and_holds_nobody_up() {
    let (plane, proxy, _operator) = besieged("doomed", Vec::new()).await;
    plane.apply(CHECKOUT).await;
    let doomed = CHECKOUT.replace("namespace: shop", "namespace: doomed");
    plane
        .apply("{apiVersion: v1, kind: Namespace, metadata: {name: doomed}}")
        .await;
    plane.apply(&doomed).await;
    plan(&plane).await;
    let theirs: Api<continuity_api::EquivalencePlan> = Api::namespaced(plane.client.clone(), "doomed");
    let look = async || theirs.get_opt(&name()).await.ok().flatten();
    eventually("a plan there too", PATIENCE, look).await;

    // Nothing empties it here, as when a finalizer holds it. A renamed port asks for a set that can not be made.
    let spaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(plane.client.clone());
    spaces.delete("doomed", &DeleteParams::default()).await.unwrap();
    let before = proxy.exchanges().len();
    plane
        .apply(&doomed.replace("{name: http, port: 80}", "{name: web, port: 80}"))
        .await;
    tokio::time::sleep(Duration::from_secs(15)).await;
    let refused = since(&proxy, before)
        .into_iter()
        .filter(|one| one.status == 403)
        .count();
    assert!((1..=12).contains(&refused), "{refused} refused writes in 15 s");
    let hold = json!({"spec": {"isolation": {"holdSeconds": 90}}});
    policies(&plane)
        .patch("checkout", &PatchParams::default(), &Patch::Merge(&hold))
        .await
        .unwrap();
    let look = async || (plan(&plane).await.spec.stable.isolation.hold_millis == 90_000).then_some(());
    let (_, took) = eventually("the changed plan of the other namespace", PATIENCE, look).await;
    assert!(took < Duration::from_secs(7), "{took:?}");

    // It goes in the end, and nothing is asked about it any more.
    empty(&plane).await;
    let mut space = spaces.get("doomed").await.unwrap();
    space.spec = Some(Default::default());
    let body = serde_json::to_vec(&space).unwrap();
    let request = axum::http::Request::put("/api/v1/namespaces/doomed/finalize")
        .header("content-type", "application/json");
    plane
        .client
        .request_text(request.body(body).unwrap())
        .await
        .unwrap();
    // Each of its three timelines is tried once more, after a pause of 10 s.
    tokio::time::sleep(Duration::from_secs(14)).await;
    let before = proxy.exchanges().len();
    tokio::time::sleep(Duration::from_secs(12)).await;
    let asked: Vec<_> = since(&proxy, before)
        .into_iter()
        .filter(|one| one.path.contains("/doomed/"))
        .collect();
    assert!(asked.len() <= 2, "{asked:?}");
}

/// Deletes what is in the namespace, as its controller does.
async fn empty(plane: &Plane) {
    let everything = ListParams::default();
    let client = || plane.client.clone();
    let services: Api<k8s_openapi::api::core::v1::Service> = Api::namespaced(client(), "doomed");
    for service in services.list(&everything).await.unwrap() {
        services
            .delete(&service.name_any(), &DeleteParams::default())
            .await
            .unwrap();
    }
    let slices: Api<k8s_openapi::api::discovery::v1::EndpointSlice> = Api::namespaced(client(), "doomed");
    slices
        .delete_collection(&DeleteParams::default(), &everything)
        .await
        .unwrap();
    let policies: Api<continuity_api::ContinuityPolicy> = Api::namespaced(client(), "doomed");
    policies
        .delete_collection(&DeleteParams::default(), &everything)
        .await
        .unwrap();
    let sets: Api<continuity_api::EquivalenceSet> = Api::namespaced(client(), "doomed");
    sets.delete_collection(&DeleteParams::default(), &everything)
        .await
        .unwrap();
    let plans: Api<continuity_api::EquivalencePlan> = Api::namespaced(client(), "doomed");
    plans
        .delete_collection(&DeleteParams::default(), &everything)
        .await
        .unwrap();
}
