//! The pages for operators name exactly what the code knows, no more and no less.

#![allow(clippy::expect_used, reason = "a test ends with the reason")]

use continuity_api::metrics::catalogue::CATALOGUE;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).expect(path)
}

/// Values of the string constants of a vocabulary module of continuity-api.
fn constants(module: &str) -> BTreeSet<String> {
    let source = read(&format!("crates/continuity-api/src/{module}.rs"));
    let declared = source
        .lines()
        .filter(|line| line.starts_with("pub const ") && line.contains(": &str"));
    declared
        .map(|line| line.split('"').nth(1).expect("a string").to_owned())
        .collect()
}

/// What stands in code quotes and starts with `prefix`.
fn quoted(page: &str, prefix: &str) -> BTreeSet<String> {
    let parts = page.split('`').skip(1).step_by(2);
    parts
        .filter(|part| part.starts_with(prefix))
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_catalogue_and_the_code_name_the_same_metrics_and_the_page_is_made_of_it() {
    let listed: BTreeSet<String> = CATALOGUE.iter().map(|entry| entry.name.to_owned()).collect();
    assert_eq!(listed, constants("metrics"));
    assert_eq!(listed.len(), CATALOGUE.len(), "a metric is listed twice");
    assert!(
        continuity_cli::apidoc::metrics() == read("operator-docs/metrics.md"),
        "run `cargo xtask docs` and commit the page"
    );
}

#[test]
fn every_condition_reason_and_event_is_explained() {
    let page = quoted(&read("operator-docs/conditions.md"), "");
    for module in ["conditions", "reasons", "events"] {
        let plain = |word: &String| !["True", "False", "Unknown"].contains(&word.as_str());
        let missing: Vec<String> = constants(module)
            .into_iter()
            .filter(plain)
            .filter(|word| !page.contains(word))
            .collect();
        assert!(
            missing.is_empty(),
            "operator-docs/conditions.md lacks {missing:?} of {module}"
        );
    }
}

#[test]
fn every_link_between_the_pages_leads_somewhere() {
    for entry in fs::read_dir(root().join("operator-docs")).expect("the folder") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "md") {
            continue;
        }
        let page = fs::read_to_string(&path).expect("a page");
        for link in page.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            if file.starts_with("http") {
                continue;
            }
            let target = if file.is_empty() {
                path.clone()
            } else {
                path.with_file_name(file)
            };
            assert!(
                target.exists(),
                "{} links to {file}, which does not exist",
                path.display()
            );
            if !anchor.is_empty() {
                let text = fs::read_to_string(&target).expect("a page").to_lowercase();
                let there =
                    text.contains(&format!("<a id=\"{anchor}\">")) || text.contains(&format!("# {anchor}"));
                assert!(there, "{} has no {anchor}", target.display());
            }
        }
    }
}

#[test]
fn the_reference_is_what_the_schemas_say() {
    let fresh = continuity_cli::apidoc::from_folder(&root().join("crds")).expect("a page");
    assert!(
        fresh == read("operator-docs/api-reference.md"),
        "run `cargo xtask docs` and commit the page"
    );
}
