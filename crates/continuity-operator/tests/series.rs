//! What the operator's metrics cost: every series is catalogued, and their number is bounded whatever happens.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that can not go on says so by a panic"
)]

use continuity_api::metrics::catalogue::{CATALOGUE, Entry, Source};
use continuity_api::set::{EquivalenceSetSpec, HintStatus};
use continuity_api::{EquivalenceSet, EquivalenceSetStatus};
use continuity_operator::Category;
use continuity_operator::decide::Aspect;
use continuity_operator::telemetry::Metrics;
use std::collections::BTreeMap;

const SETS: usize = 500;

fn set(index: usize) -> EquivalenceSet {
    let mut spec = EquivalenceSetSpec::default();
    spec.service.name = format!("web-{index}");
    spec.port.label = "http".into();
    let mut set = EquivalenceSet::new(&format!("web-{index}-http"), spec);
    set.metadata.namespace = Some(format!("team-{}", index % 20));
    set.status = Some(EquivalenceSetStatus {
        pressure: "1.07".into(),
        scale_hint: Some(HintStatus {
            desired_replicas: 3,
            ..HintStatus::default()
        }),
        ..EquivalenceSetStatus::default()
    });
    set
}

/// The catalogue's entry of a series, by the name that Prometheus gives it.
fn entry(series: &str) -> &'static Entry {
    let plain = |end: &str| series.strip_suffix(end);
    let names = [Some(series), plain("_bucket"), plain("_sum"), plain("_count")];
    CATALOGUE
        .iter()
        .find(|entry| names.contains(&Some(entry.name)))
        .unwrap_or_else(|| panic!("{series} is not in the catalogue"))
}

/// Metrics after everything that can have a label has happened.
fn worst() -> String {
    let metrics = Metrics::new().unwrap();
    let sets: Vec<EquivalenceSet> = (0..SETS).map(set).collect();
    metrics.sets(sets.iter());
    let aspects = [
        Aspect::Set,
        Aspect::SetStatus,
        Aspect::Plan,
        Aspect::PolicyStatus,
        Aspect::NodeTrust,
    ];
    let aspects: Vec<&str> = aspects
        .iter()
        .map(|aspect| aspect.as_str())
        .chain(["timeline"])
        .collect();
    for category in Category::ALL {
        metrics.error(category);
        for aspect in &aspects {
            metrics
                .writes
                .with_label_values(&[aspect, category.as_str()])
                .inc();
            metrics.writes.with_label_values(&[aspect, "written"]).inc();
        }
    }
    String::from_utf8(metrics.text().unwrap()).unwrap()
}

#[test]
fn every_series_is_catalogued_with_its_labels_and_five_hundred_sets_stay_within_the_bound() {
    let text = worst();
    let mut counted: BTreeMap<&str, usize> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap();
        let found = entry(name);
        assert_ne!(found.source, Source::Agent, "{name} is an agent's");
        let labels = line
            .split_once('{')
            .map_or("", |(_, rest)| rest.split('}').next().unwrap());
        let mut labels: Vec<&str> = labels
            .split(',')
            .filter_map(|pair| pair.split_once('='))
            .map(|(key, _)| key)
            .collect();
        labels.retain(|label| *label != "le");
        let mut wanted = found.labels.to_vec();
        labels.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(labels, wanted, "{line}");
        *counted.entry(found.name).or_default() += 1;
    }
    for (name, count) in &counted {
        let bound = entry(name).series.bound(SETS);
        assert!(*count <= bound, "{name} has {count} series, more than {bound}");
    }
    let bound: usize = CATALOGUE
        .iter()
        .filter(|entry| entry.source != Source::Agent)
        .map(|entry| entry.series.bound(SETS))
        .sum();
    let total: usize = counted.values().sum();
    assert!(total <= bound && bound < 3_000, "{total} series, bound {bound}");
    assert!(counted.len() > 12, "only {} metrics were seen", counted.len());
}
