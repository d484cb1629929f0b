//! Agents as Kubernetes sees them, and what the objects of their nodes say about trust.

use super::World;
use continuity_api::{ContinuityNode, conditions};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::runtime::watcher::Event;
use std::collections::BTreeSet;

/// An agent's pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentFacts {
    /// Its name.
    pub pod: String,
    /// Whether kubelet finds it ready.
    pub ready: bool,
    /// Whether it is on its way out: its successor counts.
    pub leaving: bool,
}

impl AgentFacts {
    fn of(pod: &Pod) -> Self {
        let status = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
        Self {
            pod: pod.name_any(),
            ready: status
                .into_iter()
                .flatten()
                .any(|condition| condition.type_ == "Ready" && condition.status == "True"),
            leaving: pod.metadata.deletion_timestamp.is_some(),
        }
    }
}

impl World {
    /// Takes an agent's pod in. It weighs with the next report of its node, or the next look.
    pub(super) fn absorb_agent(&mut self, event: Event<Pod>) {
        // One that leaves says nothing about the node once its successor is there.
        let late = match &event {
            Event::Delete(pod) => self.replaced(pod),
            Event::Apply(pod) | Event::InitApply(pod) => {
                pod.metadata.deletion_timestamp.is_some() && self.replaced(pod)
            }
            Event::Init | Event::InitDone => false,
        };
        if !late {
            self.agents.absorb(event, node_of, |pod, _| AgentFacts::of(&pod));
        }
    }

    fn replaced(&self, pod: &Pod) -> bool {
        let known = self.agents.get(&node_of(pod));
        known.is_some_and(|known| known.pod != pod.name_any())
    }

    /// Whether the agent of a node is ready; none where no pod of one is known.
    #[must_use]
    pub fn agent_ready(&self, node: &str) -> Option<bool> {
        let agent = self.agents.get(&node.to_owned())?;
        (!agent.leaving).then_some(agent.ready)
    }

    /// Nodes whose agent is there and not ready.
    pub(super) fn unready_agents(&self) -> impl Iterator<Item = String> {
        let unready = self.agents.iter().filter(|(_, pod)| !pod.ready && !pod.leaving);
        unready.map(|(node, _)| node.clone())
    }

    /// Nodes of which their object says something else about trust than is so, and whether they are believed.
    pub fn misshown(&self) -> Vec<(String, bool)> {
        let doubted: BTreeSet<&String> = self.trust.quarantined().map(|(node, _)| node).collect();
        let known = |node: &&String| self.nodes.get(*node).is_some();
        let fresh = doubted.iter().copied().filter(|node| !self.shown.contains(*node));
        let over = self.shown.iter().filter(|node| !doubted.contains(node));
        let fresh = fresh.filter(known).map(|node| (node.clone(), false));
        fresh
            .chain(over.filter(known).map(|node| (node.clone(), true)))
            .collect()
    }
}

/// Node that a pod runs on; empty before it has one.
fn node_of(pod: &Pod) -> String {
    let spec = pod.spec.as_ref();
    spec.and_then(|spec| spec.node_name.clone()).unwrap_or_default()
}

/// Remembers whether the object says that its node is not believed.
pub(super) fn note_shown(shown: &mut BTreeSet<String>, node: &ContinuityNode) {
    let conditions = node.status.as_ref().map(|status| &status.conditions);
    let doubted = conditions
        .into_iter()
        .flatten()
        .any(|condition| condition.type_ == conditions::TRUSTED && condition.status == conditions::FALSE);
    if doubted {
        shown.insert(node.name_any());
    } else {
        shown.remove(&node.name_any());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::{PodCondition, PodSpec, PodStatus};

    fn pod(name: &str, node: &str, ready: bool) -> Event<Pod> {
        let mut pod = Pod::default();
        pod.metadata.name = Some(name.into());
        pod.spec = Some(PodSpec {
            node_name: Some(node.into()),
            ..PodSpec::default()
        });
        pod.status = Some(PodStatus {
            conditions: Some(vec![PodCondition {
                type_: "Ready".into(),
                status: if ready { "True" } else { "False" }.into(),
                ..PodCondition::default()
            }]),
            ..PodStatus::default()
        });
        Event::Apply(pod)
    }

    #[test]
    fn a_node_whose_agent_nobody_knows_is_not_called_unready() {
        let mut world = World::default();
        assert_eq!(world.agent_ready("a"), None);
        world.absorb_agent(pod("agent-1", "a", false));
        assert_eq!(world.agent_ready("a"), Some(false));
        world.absorb_agent(pod("agent-1", "a", true));
        assert_eq!(world.agent_ready("a"), Some(true));
        assert_eq!(world.agent_ready("b"), None);
        world.absorb_agent(pod("agent-2", "a", true));
        let Event::Apply(old) = pod("agent-1", "a", false) else {
            panic!("it is one");
        };
        world.absorb_agent(Event::Delete(old));
        assert_eq!(world.agent_ready("a"), Some(true), "its successor is there");
    }
}
