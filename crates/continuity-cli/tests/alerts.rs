//! The alerts: what they ask for exists, each has its section and its cases, and promtool agrees with the cases.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test ends with the reason"
)]

use continuity_api::metrics::catalogue::{CATALOGUE, Kind};
use serde_yaml_ng::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn yaml(path: &str) -> Value {
    let text = fs::read_to_string(root().join(path)).expect(path);
    serde_yaml_ng::from_str(&text).expect(path)
}

fn rules() -> Value {
    yaml("config/monitoring/rules.yaml")["spec"].clone()
}

fn alerts(spec: &Value) -> Vec<Value> {
    let groups = spec["groups"].as_sequence().expect("groups");
    groups
        .iter()
        .flat_map(|group| group["rules"].as_sequence().expect("rules").clone())
        .collect()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// Words of a query that name a metric of ours.
fn named(query: &str) -> BTreeSet<&str> {
    query
        .split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'))
        .filter(|word| word.starts_with("continuity_"))
        .collect()
}

fn exists(word: &str) -> bool {
    CATALOGUE.iter().any(|entry| match entry.kind {
        Kind::Histogram => ["_bucket", "_sum", "_count"]
            .iter()
            .any(|end| word.strip_suffix(end) == Some(entry.name)),
        Kind::Gauge | Kind::Counter => word == entry.name,
    })
}

#[test]
fn alerts_and_example_queries_ask_for_metrics_that_exist() {
    let spec = rules();
    let asked = alerts(&spec)
        .iter()
        .map(|rule| text(rule, "expr").to_owned())
        .collect::<Vec<_>>();
    let examples = CATALOGUE.iter().map(|entry| entry.query.to_owned());
    for query in asked.into_iter().chain(examples) {
        for word in named(&query) {
            assert!(exists(word), "{word} of `{query}` is no metric");
        }
    }
    for entry in CATALOGUE {
        assert!(
            named(entry.query).iter().any(|word| word.starts_with(entry.name)),
            "the example of {} is about something else",
            entry.name
        );
    }
}

#[test]
fn every_alert_has_a_section_a_runbook_link_and_cases_that_fire_and_that_do_not() {
    let page = fs::read_to_string(root().join("operator-docs/alerts.md")).expect("the page");
    let cases = yaml("crates/continuity-cli/tests/alerts.yaml");
    let cases: Vec<&Value> = cases["tests"]
        .as_sequence()
        .expect("tests")
        .iter()
        .flat_map(|test| test["alert_rule_test"].as_sequence().expect("cases"))
        .collect();
    let spec = rules();
    let mut names = BTreeSet::new();
    for rule in alerts(&spec) {
        let name = text(&rule, "alert").to_owned();
        let anchor = name.to_lowercase();
        assert!(
            page.contains(&format!("<a id=\"{anchor}\"></a>\n## {name}\n")),
            "{name} has no section"
        );
        assert!(
            page.contains(&format!(
                "| [{name}](#{anchor}) | {} |",
                text(&rule["labels"], "severity")
            )),
            "{name} is not in the table with its severity"
        );
        assert_eq!(
            text(&rule["annotations"], "runbook"),
            format!("operator-docs/alerts.md#{anchor}")
        );
        let fires = |wanted: bool| {
            cases.iter().any(|case| {
                let expected = case["exp_alerts"].as_sequence().expect("exp_alerts");
                text(case, "alertname") == name && expected.is_empty() != wanted
            })
        };
        assert!(fires(true) && fires(false), "{name} lacks a case");
        names.insert(name);
    }
    assert_eq!(
        page.matches("<a id=").count(),
        names.len(),
        "a section without an alert"
    );
}

/// `xtask test` names promtool; by hand, one on the PATH will do.
fn promtool() -> Command {
    Command::new(env::var_os("CONTINUITY_PROMTOOL").unwrap_or_else(|| "promtool".into()))
}

fn passes(mut command: Command) {
    let output = command
        .output()
        .expect("promtool on the PATH, or CONTINUITY_PROMTOOL");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

#[test]
#[ignore = "needs promtool (CONTINUITY_PROMTOOL)"]
fn promtool_agrees_with_every_case_and_parses_every_example() {
    let folder = env::temp_dir().join(format!("continuity-alerts-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let file = |name: &str| folder.join(name);
    fs::write(file("rules.yaml"), serde_yaml_ng::to_string(&rules()).unwrap()).unwrap();
    fs::copy(
        root().join("crates/continuity-cli/tests/alerts.yaml"),
        file("alerts.yaml"),
    )
    .unwrap();
    let examples: String = CATALOGUE
        .iter()
        .map(|entry| {
            format!(
                "  - {{record: 'example:{}', expr: '{}'}}\n",
                entry.name, entry.query
            )
        })
        .collect();
    fs::write(
        file("examples.yaml"),
        format!("groups:\n- name: examples\n  rules:\n{examples}"),
    )
    .unwrap();
    for (verb, name) in [
        ("check", "rules.yaml"),
        ("check", "examples.yaml"),
        ("test", "alerts.yaml"),
    ] {
        let mut command = promtool();
        command.args([verb, "rules", name]).current_dir(&folder);
        passes(command);
    }
    fs::remove_dir_all(&folder).unwrap();
}
