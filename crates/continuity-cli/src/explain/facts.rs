//! Reading what the account is made of. Reports are read page by page and only the target's part is kept, so that the
//! memory needed does not grow with the fleet.

use super::Absence;
use super::story::history;
use crate::error::Error;
use crate::session::Session;
use crate::snapshot::Snapshot;
use continuity_api::conditions::ACCEPTED;
use continuity_api::node::{DataplaneState, FailsafeState, SetReport};
use continuity_api::{
    ContinuityNode, ContinuityPolicy, EquivalencePlan, EquivalenceSet, EquivalenceTimelineSpec,
};
use k8s_openapi::api::core::v1::Service;
use kube::api::{ListParams, ObjectMeta};
use kube::{Api, ResourceExt as _};
use std::collections::BTreeMap;
use std::str::FromStr;

/// ContinuityNodes in one page: at most 64 kB each, so a page stays below 7 MB.
const PAGE: u32 = 100;

/// What the person named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// `svc/NAME` or `svc/NAME:PORT`.
    Service {
        /// The Service.
        name: String,
        /// Only this port, by name or number.
        port: Option<String>,
    },
    /// An EquivalenceSet.
    Set(String),
    /// A ContinuityPolicy.
    Policy(String),
    /// A node.
    Node(String),
}

impl FromStr for Target {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = || Error::Target(text.to_owned());
        let Some((kind, name)) = text.split_once('/') else {
            return if text.is_empty() {
                Err(wrong())
            } else {
                Ok(Self::Set(text.to_owned()))
            };
        };
        if name.is_empty() || name.contains('/') {
            return Err(wrong());
        }
        match kind {
            "svc" | "service" | "services" => {
                let (name, port) = match name.split_once(':') {
                    Some((name, port)) => (name, Some(port.to_owned())),
                    None => (name, None),
                };
                Ok(Self::Service {
                    name: name.to_owned(),
                    port,
                })
            }
            "eqs" | "equivalenceset" | "equivalencesets" => Ok(Self::Set(name.to_owned())),
            "policy" | "ctpol" | "continuitypolicy" | "continuitypolicies" => {
                Ok(Self::Policy(name.to_owned()))
            }
            "node" | "nodes" | "cnode" | "continuitynode" | "continuitynodes" => {
                Ok(Self::Node(name.to_owned()))
            }
            _ => Err(wrong()),
        }
    }
}

impl Target {
    /// That it is neither a Service nor a set, where only these will do.
    fn unfit(name: &str) -> Error {
        Error::Unknown(format!(
            "{name} is a policy or a node and has no set of its own: name svc/NAME:PORT, or a set"
        ))
    }
}

/// One node, as far as the set is concerned.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NodeView {
    /// Name of the node.
    pub name: String,
    /// State of its kernel side.
    pub dataplane: DataplaneState,
    /// What its kernel says of the agent's heartbeat.
    pub failsafe: FailsafeState,
    /// Its report on the set; none if the set is not in its report.
    pub report: Option<SetReport>,
}

/// Everything that is known about one set.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The set itself.
    pub set: EquivalenceSet,
    /// What agents run for it.
    pub plan: Option<EquivalencePlan>,
    /// The policy that it follows.
    pub policy: Option<ContinuityPolicy>,
    /// What happened to it; none where it can not be read or nothing has been written.
    pub timeline: Option<EquivalenceTimelineSpec>,
    /// Nodes, by name.
    pub nodes: Vec<NodeView>,
    /// Why the reports could not be read, if they could not.
    pub blind: Option<String>,
}

/// Reads the facts of every set of the target.
pub(super) async fn gather(session: &Session, target: &Target) -> Result<Vec<Facts>, Error> {
    let sets = find(session, target).await?;
    let namespace = &session.namespace;
    let plans: Api<EquivalencePlan> = Api::namespaced(session.client.clone(), namespace);
    let policies: Api<ContinuityPolicy> = Api::namespaced(session.client.clone(), namespace);
    let mut all = Vec::new();
    for set in sets {
        let name = set.name_any();
        let plan = plans
            .get_opt(&name)
            .await
            .map_err(Error::api("get", format!("EquivalencePlan {name}")))?;
        let policy = &set.spec.policy.name;
        let policy = policies
            .get_opt(policy)
            .await
            .map_err(Error::api("get", format!("ContinuityPolicy {policy}")))?;
        let timeline = history(session, namespace, &name).await?;
        all.push(Facts {
            set,
            plan,
            policy,
            timeline,
            nodes: Vec::new(),
            blind: None,
        });
    }
    reports(session, &mut all).await?;
    Ok(all)
}

/// The facts of every set of the target that a snapshot holds.
pub(super) fn of_snapshot(snapshot: Snapshot, namespace: &str, target: &Target) -> Result<Vec<Facts>, Error> {
    let here = |metadata: &ObjectMeta| metadata.namespace.as_deref() == Some(namespace);
    let named = |metadata: &ObjectMeta, name: &str| here(metadata) && metadata.name.as_deref() == Some(name);
    let wanted = |set: &EquivalenceSet| match target {
        Target::Set(name) => set.name_any() == *name,
        Target::Service { name, .. } => set.spec.service.name == *name,
        Target::Policy(_) | Target::Node(_) => false,
    };
    let Snapshot {
        sets,
        plans,
        policies,
        timelines,
        nodes,
        ..
    } = snapshot;
    let mut sets: Vec<EquivalenceSet> = sets
        .into_iter()
        .filter(|set| here(&set.metadata) && wanted(set))
        .collect();
    if let Target::Service { name, port } = target
        && !sets.is_empty()
    {
        sets = choose(sets, name, port.as_deref())?;
    }
    if sets.is_empty() {
        let what = match target {
            Target::Set(name) | Target::Service { name, .. } | Target::Policy(name) | Target::Node(name) => {
                name
            }
        };
        return Err(Error::Snapshot(format!(
            "the snapshot has no set of {what} in namespace {namespace}: pass -n NAMESPACE"
        )));
    }
    let facts = |set: EquivalenceSet| {
        let name = set.name_any();
        Facts {
            plan: plans.iter().find(|plan| named(&plan.metadata, &name)).cloned(),
            policy: policies
                .iter()
                .find(|policy| named(&policy.metadata, &set.spec.policy.name))
                .cloned(),
            timeline: timelines
                .iter()
                .find(|timeline| named(&timeline.metadata, &name))
                .map(|timeline| timeline.spec.clone()),
            nodes: nodes.iter().map(|node| view(node, &set)).collect(),
            blind: None,
            set,
        }
    };
    Ok(sets.into_iter().map(facts).collect())
}

/// Adds each node's view of each set. Without the right to read ContinuityNodes the set's own status has to do.
async fn reports(session: &Session, all: &mut [Facts]) -> Result<(), Error> {
    let nodes: Api<ContinuityNode> = Api::all(session.client.clone());
    let mut page = ListParams::default().limit(PAGE);
    loop {
        let list = match nodes.list(&page).await {
            Ok(list) => list,
            Err(kube::Error::Api(status)) if status.code == 403 => {
                for facts in all.iter_mut() {
                    facts.blind =
                        Some("you may not read continuitynodes; figures per node are missing".to_owned());
                }
                return Ok(());
            }
            Err(error) => return Err(Error::api("list", "ContinuityNodes")(error)),
        };
        let next = list.metadata.continue_.clone().filter(|token| !token.is_empty());
        for node in list.items {
            for facts in all.iter_mut() {
                facts.nodes.push(view(&node, &facts.set));
            }
        }
        match next {
            Some(token) => page = page.continue_token(&token),
            None => return Ok(()),
        }
    }
}

fn view(node: &ContinuityNode, set: &EquivalenceSet) -> NodeView {
    let status = node.status.clone().unwrap_or_default();
    let (name, namespace) = (set.name_any(), set.namespace().unwrap_or_default());
    let report = status
        .sets
        .into_iter()
        .find(|report| report.set == name && report.namespace == namespace);
    NodeView {
        name: node.name_any(),
        dataplane: status.dataplane.state,
        failsafe: status.dataplane.failsafe,
        report,
    }
}

async fn find(session: &Session, target: &Target) -> Result<Vec<EquivalenceSet>, Error> {
    let api: Api<EquivalenceSet> = Api::namespaced(session.client.clone(), &session.namespace);
    match target {
        Target::Set(name) => match api.get_opt(name).await.map_err(served)? {
            Some(set) => Ok(vec![set]),
            None => Err(Error::NoSet(Absence::Set {
                namespace: session.namespace.clone(),
                name: name.clone(),
            })),
        },
        Target::Service { name, port } => {
            let ours = ListParams::default().fields(&format!("spec.service.name={name}"));
            let sets = api.list(&ours).await.map_err(served)?.items;
            if sets.is_empty() {
                return Err(Error::NoSet(absence(session, name).await?));
            }
            choose(sets, name, port.as_deref())
        }
        Target::Policy(name) | Target::Node(name) => Err(Target::unfit(name)),
    }
}

/// A list that is answered with 404 is a kind that the cluster does not serve.
fn served(error: kube::Error) -> Error {
    match error {
        kube::Error::Api(status) if status.code == 404 => Error::NotInstalled("EquivalenceSet"),
        other => Error::api("read", "EquivalenceSets")(other),
    }
}

fn choose(
    sets: Vec<EquivalenceSet>,
    service: &str,
    port: Option<&str>,
) -> Result<Vec<EquivalenceSet>, Error> {
    let Some(port) = port else { return Ok(sets) };
    let known = sets.iter().map(|set| set.spec.port.label.clone()).collect();
    let chosen: Vec<EquivalenceSet> = sets
        .into_iter()
        .filter(|set| set.spec.port.label == port || set.spec.port.number.to_string() == port)
        .collect();
    if chosen.is_empty() {
        return Err(Error::NoSet(Absence::Port {
            service: service.to_owned(),
            port: port.to_owned(),
            known,
        }));
    }
    Ok(chosen)
}

/// Why the Service has no set.
async fn absence(session: &Session, name: &str) -> Result<Absence, Error> {
    let services: Api<Service> = Api::namespaced(session.client.clone(), &session.namespace);
    let namespace = session.namespace.clone();
    let service = services
        .get_opt(name)
        .await
        .map_err(Error::api("get", format!("Service {name}")))?;
    let Some(service) = service else {
        return Ok(Absence::Service {
            namespace,
            name: name.to_owned(),
        });
    };
    let policies: Api<ContinuityPolicy> = Api::namespaced(session.client.clone(), &namespace);
    let policies = policies
        .list(&ListParams::default())
        .await
        .map_err(Error::api("list", "ContinuityPolicies"))?;
    let about = policies
        .iter()
        .find(|policy| concerns(policy, name, service.labels()));
    Ok(match about {
        Some(policy) => verdict(policy, name),
        None => Absence::Policy {
            namespace,
            name: name.to_owned(),
        },
    })
}

fn concerns(policy: &ContinuityPolicy, service: &str, labels: &BTreeMap<String, String>) -> bool {
    policy
        .spec
        .target_refs
        .iter()
        .any(|target| target.name == service)
        || policy
            .spec
            .target_selector
            .as_ref()
            .is_some_and(|selector| selector.matches(labels))
}

fn verdict(policy: &ContinuityPolicy, service: &str) -> Absence {
    let status = policy.status.clone().unwrap_or_default();
    let own = status
        .targets
        .iter()
        .filter(|target| target.target_ref.name == service)
        .flat_map(|t| &t.conditions);
    let refused = own
        .chain(&status.conditions)
        .find(|c| c.type_ == ACCEPTED && c.status == "False");
    match refused {
        Some(condition) => Absence::Refused {
            policy: policy.name_any(),
            reason: condition.reason.clone(),
            message: condition.message.trim_end_matches('.').to_owned(),
        },
        None => Absence::Pending {
            policy: policy.name_any(),
        },
    }
}
