//! How the tests ended, and what that says of us. Pure but for reading the report.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde::Deserialize;

use super::follow::Followed;
use crate::Error;

/// Tests that were run, and whether each passed.
pub(super) type Outcomes = BTreeMap<String, bool>;

/// Ginkgo's report, as far as it is used.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Report {
    #[serde(default)]
    spec_reports: Option<Vec<Spec>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Spec {
    #[serde(default)]
    container_hierarchy_texts: Option<Vec<String>>,
    #[serde(default)]
    leaf_node_type: String,
    #[serde(default)]
    leaf_node_text: String,
    #[serde(default)]
    state: String,
}

/// Reads a report.
pub(super) fn read(path: &Path) -> Result<Outcomes, Error> {
    let text = fs::read(path).map_err(Error::file("read", path))?;
    parse(&text)
}

fn parse(text: &[u8]) -> Result<Outcomes, Error> {
    let reports: Vec<Report> = serde_json::from_slice(text).map_err(|source| Error::Json {
        what: "ginkgo's report".to_owned(),
        source,
    })?;
    let specs = reports
        .into_iter()
        .flat_map(|report| report.spec_reports.unwrap_or_default());
    let ran = specs
        .filter(|spec| spec.leaf_node_type == "It" && !matches!(spec.state.as_str(), "skipped" | "pending"));
    Ok(ran
        .map(|spec| {
            let mut name = spec.container_hierarchy_texts.unwrap_or_default();
            name.push(spec.leaf_node_text);
            (name.join(" "), spec.state == "passed")
        })
        .collect())
}

/// The summary for people.
///
/// # Errors
/// [`Error::Findings`] if a test passes with kube-proxy alone only, if nothing was run, or if a policy was refused.
pub(super) fn compare(alone: &Outcomes, ours: &Outcomes, followed: &Followed) -> Result<String, Error> {
    let mut text = String::new();
    let passed = |outcomes: &Outcomes| outcomes.values().filter(|passed| **passed).count();
    let lost: Vec<&String> = alone
        .iter()
        .filter(|(name, passed)| **passed && ours.get(*name) != Some(&true))
        .map(|(name, _)| name)
        .collect();
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "kube-proxy alone: {} of {} passed",
        passed(alone),
        alone.len()
    );
    let _ = writeln!(
        text,
        "with policies:    {} of {} passed",
        passed(ours),
        ours.len()
    );
    let _ = writeln!(
        text,
        "policies in {} namespaces; {} of {} connections that their backends accepted were decided by us",
        followed.namespaces.len(),
        followed.steered,
        followed.accepted
    );
    for (name, _) in alone.iter().filter(|(_, passed)| !**passed) {
        let _ = writeln!(text, "fails with kube-proxy alone: {name}");
    }
    for name in &lost {
        let _ = writeln!(text, "passes with kube-proxy alone only: {name}");
    }
    for refused in &followed.refused {
        let _ = writeln!(text, "policy refused: {refused}");
    }
    if lost.is_empty() && passed(alone) > 0 && followed.refused.is_empty() {
        return Ok(text);
    }
    Err(Error::Findings { summary: text })
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = r#"[{"SpecReports":[
        {"ContainerHierarchyTexts":null,"LeafNodeType":"SynchronizedBeforeSuite","LeafNodeText":"","State":"passed"},
        {"ContainerHierarchyTexts":["[sig-network] Services"],"LeafNodeType":"It","LeafNodeText":"one","State":"passed"},
        {"ContainerHierarchyTexts":["[sig-network] Services"],"LeafNodeType":"It","LeafNodeText":"two","State":"failed"},
        {"ContainerHierarchyTexts":["[sig-network] Services"],"LeafNodeType":"It","LeafNodeText":"three","State":"skipped"}]}]"#;

    fn outcomes(all: &[(&str, bool)]) -> Outcomes {
        all.iter()
            .map(|(name, passed)| ((*name).to_owned(), *passed))
            .collect()
    }

    #[test]
    fn only_tests_that_ran_count() {
        let read = parse(REPORT.as_bytes()).unwrap();
        let one = "[sig-network] Services one";
        let two = "[sig-network] Services two";
        assert_eq!(read, outcomes(&[(one, true), (two, false)]));
    }

    #[test]
    fn what_passes_with_kube_proxy_alone_must_pass_with_policies() {
        let followed = Followed::default();
        let alone = outcomes(&[("one", true), ("two", false)]);
        assert!(compare(&alone, &outcomes(&[("one", true), ("two", false)]), &followed).is_ok());
        assert!(compare(&alone, &outcomes(&[("one", false)]), &followed).is_err());
        assert!(compare(&alone, &outcomes(&[]), &followed).is_err());
        assert!(compare(&outcomes(&[]), &outcomes(&[]), &followed).is_err());
    }

    #[test]
    fn a_refused_policy_is_a_finding() {
        let followed = Followed {
            refused: vec!["services-1: no".to_owned()],
            ..Followed::default()
        };
        let all = outcomes(&[("one", true)]);
        assert!(compare(&all, &all, &followed).is_err());
    }
}
