//! `config/` installs what the commands look for, with no more rights than said.

#![allow(clippy::expect_used, reason = "a test ends with the reason")]

use continuity_cli::install;
use serde::Deserialize as _;
use serde_yaml_ng::{Deserializer, Value};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every object of every manifest below a folder, kustomize's own files aside.
fn objects(folder: &str) -> Vec<Value> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "yaml")
                && !path.ends_with("kustomization.yaml")
            {
                let text = fs::read_to_string(&path).expect("a file");
                found.extend(
                    Deserializer::from_str(&text).map(|document| Value::deserialize(document).expect("YAML")),
                );
            }
        }
    }
    found
}

fn text<'a>(value: &'a Value, path: &[&str]) -> &'a str {
    path.iter()
        .fold(value, |value, key| &value[*key])
        .as_str()
        .unwrap_or_default()
}

fn has(objects: &[Value], kind: &str, name: &str) -> bool {
    objects
        .iter()
        .any(|object| text(object, &["kind"]) == kind && text(object, &["metadata", "name"]) == name)
}

#[test]
fn the_names_that_the_commands_look_for_are_installed() {
    let objects = objects("config");
    for (kind, name) in [
        ("Namespace", install::NAMESPACE),
        ("DaemonSet", install::AGENT),
        ("Deployment", install::OPERATOR),
        ("ValidatingAdmissionPolicy", install::NODE_WRITER),
        ("ValidatingAdmissionPolicyBinding", install::NODE_WRITER),
        ("APIService", install::EXTERNAL_METRICS),
        ("Service", install::EXTERNAL_METRICS_SERVICE),
        ("ClusterTriggerAuthentication", install::SCALER),
    ] {
        assert!(has(&objects, kind, name), "config/ has no {kind} {name}");
    }
    let leases = format!("{objects:?}");
    assert!(leases.contains(install::LEASE));
    let crds: BTreeSet<String> = self::objects("crds")
        .iter()
        .map(|crd| text(crd, &["metadata", "name"]).to_owned())
        .collect();
    assert_eq!(
        crds,
        install::CRDS.iter().map(|name| (*name).to_owned()).collect()
    );
}

#[test]
fn whatever_is_cluster_wide_bears_our_prefix_so_that_uninstall_finds_it() {
    for object in objects("config") {
        let kind = text(&object, &["kind"]);
        if ["ClusterRole", "ClusterRoleBinding"].contains(&kind) {
            let name = text(&object, &["metadata", "name"]);
            assert!(name.starts_with(install::PREFIX), "{kind} {name}");
        }
    }
}

#[test]
fn no_container_is_privileged_and_each_drops_every_capability_first() {
    for object in objects("config") {
        let containers = &object["spec"]["template"]["spec"]["containers"];
        for container in containers
            .as_sequence()
            .into_iter()
            .flatten()
            .filter(|one| one["image"].is_string())
        {
            let context = &container["securityContext"];
            let name = text(container, &["name"]);
            assert_ne!(context["privileged"], Value::Bool(true), "{name}");
            assert_eq!(context["allowPrivilegeEscalation"], Value::Bool(false), "{name}");
            assert_eq!(context["readOnlyRootFilesystem"], Value::Bool(true), "{name}");
            assert_eq!(context["capabilities"]["drop"][0].as_str(), Some("ALL"), "{name}");
            assert!(container["resources"]["requests"].is_mapping(), "{name}");
            assert_eq!(text(container, &["imagePullPolicy"]), "IfNotPresent", "{name}");
        }
    }
}

#[test]
fn no_role_grants_a_wildcard_nor_a_write_to_workloads_services_nodes_or_foreign_secrets() {
    let writes = ["create", "update", "patch", "delete", "deletecollection", "*"];
    for object in objects("config")
        .iter()
        .filter(|object| text(object, &["kind"]).ends_with("Role"))
    {
        let name = text(object, &["metadata", "name"]);
        for rule in object["rules"].as_sequence().into_iter().flatten() {
            let list = |key: &str| -> Vec<&str> {
                rule[key]
                    .as_sequence()
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_str)
                    .collect()
            };
            for key in ["apiGroups", "resources", "verbs"] {
                assert!(!list(key).contains(&"*"), "{name} grants * in {key}");
            }
            let writes = list("verbs").iter().any(|verb| writes.contains(verb));
            for resource in list("resources") {
                let foreign = [
                    "services",
                    "endpointslices",
                    "nodes",
                    "pods",
                    "deployments",
                    "daemonsets",
                    "statefulsets",
                ];
                assert!(
                    !(writes && foreign.contains(&resource)),
                    "{name} writes {resource}"
                );
                let scoped = text(object, &["kind"]) == "Role";
                assert!(resource != "secrets" || scoped, "{name} reads every Secret");
                assert_ne!(resource, "pods/exec", "{name}");
            }
        }
    }
}

/// What every account may do after an installation of this folder and those that it builds on, one line for each
/// account, place, resource and name: `ACCOUNT PLACE GROUP/RESOURCE[NAMES] VERBS`.
fn rights(objects: &[Value]) -> BTreeSet<String> {
    let list = |value: &Value| -> Vec<String> {
        let items = value.as_sequence().into_iter().flatten();
        items.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let mut lines = BTreeSet::new();
    for binding in objects
        .iter()
        .filter(|one| text(one, &["kind"]).ends_with("RoleBinding"))
    {
        let place = match text(binding, &["metadata", "namespace"]) {
            "" => "cluster".to_owned(),
            namespace => format!("namespace {namespace}"),
        };
        let (kind, role) = (
            text(binding, &["roleRef", "kind"]),
            text(binding, &["roleRef", "name"]),
        );
        let named = |one: &&Value| text(one, &["kind"]) == kind && text(one, &["metadata", "name"]) == role;
        for subject in binding["subjects"].as_sequence().into_iter().flatten() {
            let account = text(subject, &["name"]);
            let Some(role) = objects.iter().find(named) else {
                lines.insert(format!("{account}: {place}: {kind} {role} of the cluster"));
                continue;
            };
            for rule in role["rules"].as_sequence().into_iter().flatten() {
                let verbs = list(&rule["verbs"]).join(",");
                let names = list(&rule["resourceNames"]).join(",");
                let names = if names.is_empty() {
                    names
                } else {
                    format!("[{names}]")
                };
                for path in list(&rule["nonResourceURLs"]) {
                    lines.insert(format!("{account}: {place}: {path}: {verbs}"));
                }
                for group in list(&rule["apiGroups"]) {
                    for resource in list(&rule["resources"]) {
                        lines.insert(format!("{account}: {place}: {group}/{resource}{names}: {verbs}"));
                    }
                }
            }
        }
    }
    lines
}

#[test]
fn every_right_of_every_account_is_one_that_was_approved() {
    let found = rights(&objects("config"));
    let approved: BTreeSet<String> = include_str!("rights.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(str::to_owned)
        .collect();
    let added: Vec<_> = found.difference(&approved).collect();
    let gone: Vec<_> = approved.difference(&found).collect();
    assert!(
        added.is_empty() && gone.is_empty(),
        "config/ grants what tests/rights.txt does not approve: {added:#?}; approved and not granted: {gone:#?}"
    );
}
