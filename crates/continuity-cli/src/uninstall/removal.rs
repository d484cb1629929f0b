//! The API side of an uninstall: what is there, and taking it away by name. Nothing is deleted by label alone; an
//! object must also bear one of our names, and the APIService must point at our Service.

use super::Wish;
use crate::error::Error;
use crate::install;
use crate::number::count;
use crate::session::Session;
use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::{Namespace, Node, Pod, Secret};
use k8s_openapi::api::flowcontrol::v1::{FlowSchema, PriorityLevelConfiguration};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use kube::api::{DeleteParams, ListParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind, NamespaceResourceScope};
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::time::{Duration, Instant};

/// Pause between two looks at something that is going away.
const LOOK: Duration = Duration::from_millis(500);

/// What the cluster holds before anything is changed.
#[derive(Debug, Clone, Default)]
pub(super) struct Scene {
    /// The installation's namespace.
    pub(super) namespace: Option<Namespace>,
    /// Nodes that are Ready.
    pub(super) ready: Vec<String>,
    /// Nodes that are not.
    pub(super) unready: Vec<String>,
    /// How many policies exist, in all namespaces.
    pub(super) policies: usize,
    system: String,
}

impl Scene {
    /// `3 nodes`.
    pub(super) fn nodes(&self) -> String {
        count(self.ready.len() + self.unready.len(), "node", "nodes")
    }

    /// What the person is asked.
    pub(super) fn question(&self, keep_crds: bool) -> String {
        let policies = count(self.policies, "ContinuityPolicy", "ContinuityPolicies");
        let policies = if keep_crds {
            format!("The CRDs and {policies} stay.")
        } else {
            format!("The CRDs go, and with them {policies}.")
        };
        format!(
            "This removes Continuity from {}, and the namespace {}. {policies}\n\
             Connections stay up; kube-proxy serves every Service from then on.\n",
            self.nodes(),
            self.system
        )
    }
}

/// Reads the scene.
pub(super) async fn look(session: &Session) -> Result<Scene, Error> {
    let client = &session.client;
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespace = namespaces
        .get_opt(&session.system)
        .await
        .map_err(Error::api("get", format!("Namespace {}", session.system)))?;
    let nodes: Api<Node> = Api::all(client.clone());
    let nodes = nodes
        .list(&ListParams::default())
        .await
        .map_err(Error::api("list", "Nodes"))?;
    let linux = |node: &&Node| {
        node.labels()
            .get("kubernetes.io/os")
            .is_none_or(|os| os == "linux")
    };
    let (ready, unready): (Vec<&Node>, Vec<&Node>) =
        nodes.iter().filter(linux).partition(|node| is_ready(node));
    let policies = match custom(client, "ContinuityPolicy", "continuitypolicies")
        .list(&ListParams::default())
        .await
    {
        Ok(list) => list.items.len(),
        Err(kube::Error::Api(status)) if status.code == 404 => 0,
        Err(error) => return Err(Error::api("list", "ContinuityPolicies")(error)),
    };
    Ok(Scene {
        namespace,
        ready: ready.iter().map(|node| node.name_any()).collect(),
        unready: unready.iter().map(|node| node.name_any()).collect(),
        policies,
        system: session.system.clone(),
    })
}

fn is_ready(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.is_some_and(|list| list.iter().any(|c| c.type_ == "Ready" && c.status == "True"))
}

/// Takes the operator away and waits until none of its pods runs.
pub(super) async fn operator(session: &Session, timeout: Duration) -> Result<(), Error> {
    let api: Api<Deployment> = Api::namespaced(session.client.clone(), &session.system);
    delete(&api, "Deployment", install::OPERATOR).await?;
    gone_pods(session, install::OPERATOR, None, timeout).await
}

/// Takes the agents away and waits until none runs on a node that is Ready; a pod on a dead node never ends.
pub(super) async fn agents(session: &Session, ready: &[String], timeout: Duration) -> Result<(), Error> {
    let api: Api<DaemonSet> = Api::namespaced(session.client.clone(), &session.system);
    delete(&api, "DaemonSet", install::AGENT).await?;
    gone_pods(session, install::AGENT, Some(ready), timeout).await
}

async fn gone_pods(
    session: &Session,
    app: &str,
    on: Option<&[String]>,
    timeout: Duration,
) -> Result<(), Error> {
    let pods: Api<Pod> = Api::namespaced(session.client.clone(), &session.system);
    let ours = ListParams::default().labels(&format!("app.kubernetes.io/name={app}"));
    let start = Instant::now();
    loop {
        let list = pods.list(&ours).await.map_err(Error::api("list", "Pods"))?;
        let counts = |pod: &Pod| match (on, pod.spec.as_ref().and_then(|spec| spec.node_name.as_ref())) {
            (Some(nodes), Some(node)) => nodes.contains(node),
            _ => true,
        };
        if !list.iter().any(counts) {
            return Ok(());
        }
        if start.elapsed() > timeout {
            return Err(Error::Timeout {
                what: format!("the end of the last {app} pod"),
                seconds: timeout.as_secs(),
                remedy: "See `kubectl get pods -n continuity-system -o wide`, then run this again.",
            });
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Removes the API side; returns what went and what was kept, as `Kind/name`.
pub(super) async fn objects(session: &Session, wish: &Wish) -> Result<(Vec<String>, Vec<String>), Error> {
    let client = &session.client;
    let mut gone = Vec::new();
    let mut kept = Vec::new();
    external_metrics(session, &mut gone).await?;
    with_keda(client, &mut gone).await?;
    if wish.keep_crds {
        for (kind, plural) in [
            ("EquivalenceSet", "equivalencesets"),
            ("EquivalencePlan", "equivalenceplans"),
            ("EquivalenceTimeline", "equivalencetimelines"),
            ("ContinuityNode", "continuitynodes"),
        ] {
            every(client, kind, plural, &mut gone).await?;
        }
        kept.extend(
            install::CRDS
                .iter()
                .map(|name| format!("CustomResourceDefinition/{name}")),
        );
    } else {
        let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
        for name in install::CRDS {
            named(&crds, "CustomResourceDefinition", name, wish.timeout, &mut gone).await?;
        }
    }
    let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(client.clone());
    named(
        &bindings,
        "ValidatingAdmissionPolicyBinding",
        install::NODE_WRITER,
        wish.timeout,
        &mut gone,
    )
    .await?;
    let policies: Api<ValidatingAdmissionPolicy> = Api::all(client.clone());
    named(
        &policies,
        "ValidatingAdmissionPolicy",
        install::NODE_WRITER,
        wish.timeout,
        &mut gone,
    )
    .await?;
    labelled::<ClusterRoleBinding>(Api::all(client.clone()), "ClusterRoleBinding", &mut gone).await?;
    labelled::<ClusterRole>(Api::all(client.clone()), "ClusterRole", &mut gone).await?;
    labelled::<FlowSchema>(Api::all(client.clone()), "FlowSchema", &mut gone).await?;
    labelled::<PriorityLevelConfiguration>(Api::all(client.clone()), "PriorityLevelConfiguration", &mut gone)
        .await?;
    let namespaces: Api<Namespace> = Api::all(client.clone());
    named(&namespaces, "Namespace", &session.system, wish.timeout, &mut gone).await?;
    Ok((gone, kept))
}

/// The APIService, only if it points at our Service: another owner's is none of our business.
async fn external_metrics(session: &Session, gone: &mut Vec<String>) -> Result<(), Error> {
    let api: Api<APIService> = Api::all(session.client.clone());
    let found = api
        .get_opt(install::EXTERNAL_METRICS)
        .await
        .map_err(Error::api("get", "APIService"))?;
    let ours = found
        .and_then(|object| object.spec)
        .and_then(|spec| spec.service)
        .is_some_and(|service| {
            service.namespace.as_deref() == Some(session.system.as_str())
                && service.name.as_deref() == Some(install::EXTERNAL_METRICS_SERVICE)
        });
    if ours && delete(&api, "APIService", install::EXTERNAL_METRICS).await? {
        gone.push(format!("APIService/{}", install::EXTERNAL_METRICS));
    }
    Ok(())
}

/// What KEDA's namespace got from us, wherever that is, and the ClusterTriggerAuthentication that names it.
async fn with_keda(client: &Client, gone: &mut Vec<String>) -> Result<(), Error> {
    let kind = GroupVersionKind::gvk("keda.sh", "v1alpha1", "ClusterTriggerAuthentication");
    let resource = ApiResource::from_gvk_with_plural(&kind, "clustertriggerauthentications");
    let shown: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    match shown.delete(install::SCALER, &DeleteParams::background()).await {
        Ok(_) => gone.push(format!("ClusterTriggerAuthentication/{}", install::SCALER)),
        Err(kube::Error::Api(status)) if status.code == 404 => {}
        Err(error) => return Err(Error::api("delete", "ClusterTriggerAuthentication")(error)),
    }
    spread::<RoleBinding>(client, "RoleBinding", gone).await?;
    spread::<Role>(client, "Role", gone).await?;
    spread::<Secret>(client, "Secret", gone).await
}

/// Deletes what bears our label and one of our names in namespaces that are not ours.
async fn spread<K>(client: &Client, kind: &str, gone: &mut Vec<String>) -> Result<(), Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
{
    let ours = ListParams::default().labels(install::PART_OF);
    let all: Api<K> = Api::all(client.clone());
    let list = all.list_metadata(&ours).await.map_err(Error::api("list", kind))?;
    let mut namespaces: Vec<String> = list.items.iter().filter_map(|one| one.namespace()).collect();
    namespaces.sort_unstable();
    namespaces.dedup();
    for namespace in namespaces {
        labelled::<K>(Api::namespaced(client.clone(), &namespace), kind, gone).await?;
    }
    Ok(())
}

/// Deletes one object and waits until it is gone.
async fn named<K>(
    api: &Api<K>,
    kind: &str,
    name: &str,
    timeout: Duration,
    gone: &mut Vec<String>,
) -> Result<(), Error>
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    if !delete(api, kind, name).await? {
        return Ok(());
    }
    let start = Instant::now();
    while api
        .get_metadata_opt(name)
        .await
        .map_err(Error::api("get", format!("{kind} {name}")))?
        .is_some()
    {
        if start.elapsed() > timeout {
            return Err(Error::Timeout {
                what: format!("the end of {kind} {name}"),
                seconds: timeout.as_secs(),
                remedy: "Its status.conditions name what holds it; run this again when that is gone.",
            });
        }
        tokio::time::sleep(LOOK).await;
    }
    gone.push(format!("{kind}/{name}"));
    Ok(())
}

async fn labelled<K>(api: Api<K>, kind: &str, gone: &mut Vec<String>) -> Result<(), Error>
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    let ours = ListParams::default().labels(install::PART_OF);
    let list = api.list(&ours).await.map_err(Error::api("list", kind))?;
    for object in list.items {
        let name = object.name_any();
        if name.starts_with(install::PREFIX) && delete(&api, kind, &name).await? {
            gone.push(format!("{kind}/{name}"));
        }
    }
    Ok(())
}

/// Deletes every object of one of our kinds.
async fn every(client: &Client, kind: &str, plural: &str, gone: &mut Vec<String>) -> Result<(), Error> {
    let list = match custom(client, kind, plural).list(&ListParams::default()).await {
        Ok(list) => list,
        Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
        Err(error) => return Err(Error::api("list", kind)(error)),
    };
    let resource = resource(kind, plural);
    for object in list.items {
        let name = object.name_any();
        let api: Api<DynamicObject> = match object.namespace() {
            Some(namespace) => Api::namespaced_with(client.clone(), &namespace, &resource),
            None => Api::all_with(client.clone(), &resource),
        };
        let removed = api.delete(&name, &DeleteParams::background()).await;
        match removed {
            Ok(_) => gone.push(format!("{kind}/{name}")),
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => return Err(Error::api("delete", format!("{kind} {name}"))(error)),
        }
    }
    Ok(())
}

fn resource(kind: &str, plural: &str) -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(install::GROUP, "v1alpha1", kind), plural)
}

fn custom(client: &Client, kind: &str, plural: &str) -> Api<DynamicObject> {
    Api::all_with(client.clone(), &resource(kind, plural))
}

/// Deletes; `false` if there was nothing to delete.
async fn delete<K>(api: &Api<K>, kind: &str, name: &str) -> Result<bool, Error>
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    match api.delete(name, &DeleteParams::background()).await {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
        Err(error) => Err(Error::api("delete", format!("{kind} {name}"))(error)),
    }
}
