//! One look at the whole installation, for `status` and `check`.
//!
//! A part that may not be read does not spoil the rest: it is carried as the sentence that says why, and the answer
//! names it. Only an API server that does not answer at all ends the command.

use crate::error::Error;
use crate::install;
use crate::session::Session;
use continuity_api::node::{CapabilityReport, DataplaneReport, Regime};
use continuity_api::{ContinuityNode, ContinuityPolicy, EquivalenceSet};
use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use kube::api::ListParams;
use kube::{Api, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use std::fmt::Debug;

/// Objects in one page: ContinuityNodes have at most 64 kB each, so a page stays below 7 MB.
const PAGE: u32 = 100;

/// Something that was read, or the reason why not.
pub type Seen<T> = Result<T, String>;

/// One node's report without its sets, which a fleet's worth of would not fit into memory.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NodeLine {
    /// Name of the node.
    pub name: String,
    /// Version of its agent.
    pub version: String,
    /// Its kernel.
    pub kernel: String,
    /// State of its kernel side.
    pub dataplane: DataplaneReport,
    /// Features that it lacks.
    pub missing: Vec<CapabilityReport>,
    /// Worst regime of any set.
    pub regime: Regime,
    /// Sets that it carries.
    pub sets: i32,
    /// `namespace/set: why` of each plan that it refuses.
    pub refusals: Vec<String>,
}

/// Replicas of a Deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replicas {
    /// As many as there should be.
    pub wanted: i32,
    /// Of those, ready.
    pub ready: i32,
}

impl Replicas {
    /// As the object says: one is wanted where it names no number.
    #[must_use]
    pub fn of(deployment: &Deployment) -> Self {
        let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas);
        let ready = deployment
            .status
            .as_ref()
            .and_then(|status| status.ready_replicas);
        Self {
            wanted: wanted.unwrap_or(1),
            ready: ready.unwrap_or(0),
        }
    }
}

/// Everything that is looked at.
#[derive(Debug, Clone)]
pub struct Survey {
    /// Kubernetes version, major and minor.
    pub server: (u32, u32),
    /// Our CRDs.
    pub crds: Seen<Vec<CustomResourceDefinition>>,
    /// The operator.
    pub operator: Seen<Option<Deployment>>,
    /// Its Lease.
    pub lease: Seen<Option<Lease>>,
    /// The agents.
    pub agents: Seen<Option<DaemonSet>>,
    /// Their pods.
    pub pods: Seen<Vec<Pod>>,
    /// What the agents report.
    pub nodes: Seen<Vec<NodeLine>>,
    /// The policies.
    pub policies: Seen<Vec<ContinuityPolicy>>,
    /// The sets.
    pub sets: Seen<Vec<EquivalenceSet>>,
    /// The admission policy that ties an agent to its node.
    pub admission: Seen<Option<ValidatingAdmissionPolicy>>,
    /// Its binding.
    pub binding: Seen<Option<ValidatingAdmissionPolicyBinding>>,
    /// Owner of the external metrics API.
    pub external: Seen<Option<APIService>>,
}

/// Looks at everything; `namespace` limits policies and sets.
///
/// # Errors
/// The API server does not answer, or not with its version.
pub async fn survey(session: &Session, namespace: Option<&str>) -> Result<Survey, Error> {
    let client = &session.client;
    let info = client
        .apiserver_version()
        .await
        .map_err(Error::api("ask the version of", "the API server"))?;
    let system = session.system.as_str();
    let within = |session: &Session| -> (Api<ContinuityPolicy>, Api<EquivalenceSet>) {
        let client = session.client.clone();
        match namespace {
            Some(name) => (
                Api::namespaced(client.clone(), name),
                Api::namespaced(client, name),
            ),
            None => (Api::all(client.clone()), Api::all(client)),
        }
    };
    let (policies, sets) = within(session);
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), system);
    let leases: Api<Lease> = Api::namespaced(client.clone(), system);
    let daemons: Api<DaemonSet> = Api::namespaced(client.clone(), system);
    let admissions: Api<ValidatingAdmissionPolicy> = Api::all(client.clone());
    let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(client.clone());
    let services: Api<APIService> = Api::all(client.clone());
    Ok(Survey {
        server: (digits(&info.major), digits(&info.minor)),
        crds: crds(session).await,
        operator: one(&deployments, install::OPERATOR).await,
        lease: one(&leases, install::LEASE).await,
        agents: one(&daemons, install::AGENT).await,
        pods: pods(session).await,
        nodes: pages(&Api::<ContinuityNode>::all(client.clone()), |node| line(&node)).await,
        policies: pages(&policies, |policy| policy).await,
        sets: pages(&sets, |set| set).await,
        admission: one(&admissions, install::NODE_WRITER).await,
        binding: one(&bindings, install::NODE_WRITER).await,
        external: one(&services, install::EXTERNAL_METRICS).await,
    })
}

/// `36+` is 36.
fn digits(text: &str) -> u32 {
    text.chars()
        .take_while(char::is_ascii_digit)
        .collect::<String>()
        .parse()
        .unwrap_or_default()
}

async fn one<K>(api: &Api<K>, name: &str) -> Seen<Option<K>>
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    api.get_opt(name).await.map_err(|error| sentence(&error))
}

/// All objects, page by page; a kind that is not served has none.
async fn pages<K, T>(api: &Api<K>, keep: impl Fn(K) -> T) -> Seen<Vec<T>>
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    let mut kept = Vec::new();
    let mut page = ListParams::default().limit(PAGE);
    loop {
        let list = match api.list(&page).await {
            Ok(list) => list,
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(kept),
            Err(error) => return Err(sentence(&error)),
        };
        let next = list.metadata.continue_.clone().filter(|token| !token.is_empty());
        kept.extend(list.items.into_iter().map(&keep));
        match next {
            Some(token) => page = page.continue_token(&token),
            None => return Ok(kept),
        }
    }
}

async fn crds(session: &Session) -> Seen<Vec<CustomResourceDefinition>> {
    let api: Api<CustomResourceDefinition> = Api::all(session.client.clone());
    let mut found = Vec::new();
    for name in install::CRDS {
        found.extend(one(&api, name).await?);
    }
    Ok(found)
}

async fn pods(session: &Session) -> Seen<Vec<Pod>> {
    let api: Api<Pod> = Api::namespaced(session.client.clone(), &session.system);
    let agents = ListParams::default().labels(&format!("app.kubernetes.io/name={}", install::AGENT));
    api.list(&agents)
        .await
        .map(|list| list.items)
        .map_err(|error| sentence(&error))
}

/// The API server's own words.
pub(crate) fn sentence(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}

fn line(node: &ContinuityNode) -> NodeLine {
    let status = node.status.clone().unwrap_or_default();
    let refusals = status.sets.iter().filter(|set| !set.refusal.is_empty());
    NodeLine {
        name: node.name_any(),
        version: status.agent_version.clone(),
        kernel: status.kernel.clone(),
        refusals: refusals
            .map(|set| format!("{}/{}: {}", set.namespace, set.set, set.refusal))
            .collect(),
        dataplane: status.dataplane,
        missing: status
            .capabilities
            .into_iter()
            .filter(|capability| !capability.met)
            .collect(),
        regime: status.regime,
        sets: status.sets_total,
    }
}
