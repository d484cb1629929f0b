//! Direction of dependencies between the crates, from `cargo metadata`.
//!
//! The design draws arrows that must not turn: the operator never compiles aya, the law never sees
//! Kubernetes, tokio or a clock. A table here names, per crate, which of our crates it may use and which
//! foreign ones it must never reach, directly or through others. Dev-dependencies are exempt.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::Finding;

/// What one crate may and must not depend on.
struct Rule {
    name: &'static str,
    /// Crates of this workspace it may use directly.
    ours: &'static [&'static str],
    /// Crates it must not reach, however far.
    never: &'static [&'static str],
}

const PURE: &[&str] = &["tokio", "kube", "k8s-openapi", "aya", "libc", "nix", "axum"];

const RULES: &[Rule] = &[
    Rule {
        name: "continuity-field",
        ours: &[],
        never: PURE,
    },
    Rule {
        name: "continuity-wire",
        ours: &[],
        never: PURE,
    },
    Rule {
        name: "continuity-api",
        ours: &[],
        never: &["tokio", "aya", "axum"],
    },
    Rule {
        name: "continuity-dataplane",
        ours: &["continuity-wire"],
        never: &["kube", "k8s-openapi"],
    },
    Rule {
        name: "continuity-sensors",
        ours: &["continuity-wire"],
        never: PURE,
    },
    Rule {
        name: "continuity-agent",
        ours: &[
            "continuity-api",
            "continuity-field",
            "continuity-sensors",
            "continuity-trace",
            "continuity-wire",
            "continuity-dataplane",
            "continuity-debug",
        ],
        never: &[],
    },
    Rule {
        name: "continuity-debug",
        ours: &[],
        never: &["aya"],
    },
    Rule {
        name: "continuity-operator",
        ours: &["continuity-api", "continuity-debug", "continuity-field"],
        never: &["aya"],
    },
    Rule {
        name: "continuity-harness",
        ours: &["continuity-field", "continuity-trace", "continuity-wire"],
        never: &["kube", "aya"],
    },
    Rule {
        name: "continuity-trace",
        ours: &["continuity-field"],
        never: PURE,
    },
    Rule {
        name: "continuity-cli",
        ours: &["continuity-api", "continuity-field", "continuity-trace"],
        never: &["aya"],
    },
    Rule {
        name: "continuity-testkit",
        ours: &["continuity-api"],
        never: &["aya"],
    },
    Rule {
        name: "continuity-traffic",
        ours: &[],
        never: &["kube", "aya"],
    },
    Rule {
        name: "continuity-fleet",
        ours: &[
            "continuity-agent",
            "continuity-api",
            "continuity-dataplane",
            "continuity-field",
            "continuity-sensors",
            "continuity-testkit",
        ],
        never: &[],
    },
    Rule {
        name: "continuity-inspect",
        ours: &["continuity-wire"],
        never: &["kube", "tokio"],
    },
    Rule {
        name: "xtask",
        ours: &["continuity-traffic"],
        never: &["kube", "aya"],
    },
];

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
    workspace_members: Vec<String>,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<Kind>,
}

#[derive(Deserialize)]
struct Kind {
    kind: Option<String>,
}

/// Findings for the JSON that `cargo metadata --format-version 1` prints.
///
/// # Errors
/// When the text is not such JSON.
pub(super) fn findings(metadata: &str) -> Result<Vec<Finding>, serde_json::Error> {
    let metadata: Metadata = serde_json::from_str(metadata)?;
    let graph = Graph::new(&metadata);
    let mut found = Vec::new();
    for member in &metadata.workspace_members {
        let Some(name) = graph.names.get(member.as_str()) else {
            continue;
        };
        match RULES.iter().find(|rule| rule.name == *name) {
            Some(rule) => found.extend(graph.broken(rule, member)),
            None => found.push(Finding::new(
                name,
                "has no rule in check/direction.rs: add one".to_owned(),
            )),
        }
    }
    Ok(found)
}

struct Graph<'a> {
    names: BTreeMap<&'a str, &'a str>,
    edges: BTreeMap<&'a str, Vec<&'a str>>,
}

impl<'a> Graph<'a> {
    fn new(metadata: &'a Metadata) -> Self {
        let names = metadata
            .packages
            .iter()
            .map(|p| (p.id.as_str(), p.name.as_str()))
            .collect();
        let edges = metadata
            .resolve
            .nodes
            .iter()
            .map(|node| (node.id.as_str(), normal(node)))
            .collect();
        Self { names, edges }
    }

    fn broken(&self, rule: &Rule, member: &str) -> Vec<Finding> {
        let direct = self
            .edges
            .get(member)
            .into_iter()
            .flatten()
            .filter_map(|id| self.names.get(id));
        let wrong = direct
            .filter(|name| name.starts_with("continuity-") && !rule.ours.contains(name))
            .map(|name| {
                Finding::new(
                    rule.name,
                    format!("depends on {name}: the arrow points the other way"),
                )
            });
        let reached = self.reach(member);
        let never = rule.never.iter().filter(|name| reached.contains(**name));
        let never =
            never.map(|name| Finding::new(rule.name, format!("reaches {name}, which it must never compile")));
        wrong.chain(never).collect()
    }

    fn reach(&self, from: &str) -> BTreeSet<&'a str> {
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        let mut open: Vec<&str> = self.edges.get(from).cloned().unwrap_or_default();
        while let Some(id) = open.pop() {
            if seen.insert(id) {
                open.extend(self.edges.get(id).into_iter().flatten());
            }
        }
        seen.into_iter()
            .filter_map(|id| self.names.get(id).copied())
            .collect()
    }
}

fn normal(node: &Node) -> Vec<&str> {
    let is_normal = |dependency: &&Dependency| dependency.dep_kinds.iter().any(|kind| kind.kind.is_none());
    node.deps
        .iter()
        .filter(is_normal)
        .map(|dependency| dependency.pkg.as_str())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(member: &str, edges: &[(&str, &str, Option<&str>)]) -> String {
        let names: BTreeSet<&str> = edges
            .iter()
            .flat_map(|(a, b, _)| [*a, *b])
            .chain([member])
            .collect();
        let packages: Vec<_> = names
            .iter()
            .map(|n| serde_json::json!({"id": n, "name": n}))
            .collect();
        let nodes: Vec<_> = names
            .iter()
            .map(|n| {
                let deps = edges.iter().filter(|(a, ..)| a == n);
                let deps: Vec<_> = deps
                    .map(|(_, b, kind)| serde_json::json!({"pkg": b, "dep_kinds": [{"kind": kind}]}))
                    .collect();
                serde_json::json!({"id": n, "deps": deps})
            })
            .collect();
        serde_json::json!({"packages": packages, "resolve": {"nodes": nodes}, "workspace_members": [member]})
            .to_string()
    }

    #[test]
    fn a_forbidden_crate_is_found_through_others() {
        let text = metadata(
            "continuity-field",
            &[("continuity-field", "x", None), ("x", "tokio", None)],
        );
        assert!(findings(&text).unwrap()[0].what.contains("reaches tokio"));
    }

    #[test]
    fn an_arrow_that_turns_is_found() {
        let text = metadata("continuity-api", &[("continuity-api", "continuity-agent", None)]);
        assert!(findings(&text).unwrap()[0].what.contains("other way"));
    }

    #[test]
    fn dev_dependencies_are_exempt() {
        let text = metadata("continuity-field", &[("continuity-field", "tokio", Some("dev"))]);
        assert!(findings(&text).unwrap().is_empty());
    }

    #[test]
    fn a_crate_without_a_rule_is_a_finding() {
        assert_eq!(findings(&metadata("stranger", &[])).unwrap().len(), 1);
    }
}
