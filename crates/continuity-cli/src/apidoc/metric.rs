//! The metrics page, from the catalogue of continuity-api.

use continuity_api::metrics::catalogue::{CATALOGUE, Entry, Series, Source};

/// Sets that the arithmetic of the page is done for.
const EXAMPLE: usize = 500;

const HEAD: &str = "\
# Metrics

Operator: `http://POD:8080/metrics`, every replica. Agent: `http://NODE:9464/metrics`. Base units; counters end in `_total`. Labels come from closed sets; object names stand
only on the operator's gauges of a set and on one counter of the agents. The column `series` is the bound at one target; N is the number of sets, at most 2,000 at the operator
and 256 at an agent, the busiest first.

`kubectl apply -k config/monitoring` has Prometheus collect all of it and installs the alerts of [alerts.md](alerts.md). It needs the CRDs of the Prometheus Operator.

This page is written by `cargo xtask docs` from `crates/continuity-api/src/metrics/catalogue.rs`.
";

const TAIL: &str = "
## The external metric

`config/external-metrics` serves `continuity_desired_replicas` at `external.metrics.k8s.io/v1beta1`, labels `service` and `port`, one item for each set. Use `AverageValue: 1`
(`config/samples/hpa.yaml`). KEDA gets the same value by its own protocol; [hints.md](hints.md) has both.
";

/// The page.
#[must_use]
pub fn page() -> String {
    let mut page = HEAD.to_owned();
    for (source, title) in [
        (Source::Sets, "Sets (operator)"),
        (Source::Operator, "Operator"),
        (Source::Agent, "Agent"),
    ] {
        let entries: Vec<&Entry> = CATALOGUE.iter().filter(|entry| entry.source == source).collect();
        page.push_str(&section(title, &entries));
    }
    page.push_str(&budget());
    page.push_str(TAIL);
    page
}

fn section(title: &str, entries: &[&Entry]) -> String {
    let mut text = format!(
        "\n## {title}\n\n| metric | type | labels | series | meaning |\n| --- | --- | --- | --- | --- |\n"
    );
    for entry in entries {
        let series = match entry.series {
            Series::Fixed(number) => number.to_string(),
            Series::PerSet(1) => "N".to_owned(),
            Series::PerSet(number) => format!("{number} N"),
        };
        let labels = entry.labels.join(", ");
        let (name, kind) = (entry.name, entry.kind.as_str());
        text.push_str(&format!(
            "| `{name}` | {kind} | {labels} | {series} | {} |\n",
            entry.meaning
        ));
    }
    text.push_str("\nTo ask:\n\n");
    for entry in entries {
        text.push_str(&format!("    {}\n", entry.query));
    }
    text
}

/// What a cluster costs in series.
fn budget() -> String {
    let of = |sources: &[Source], sets: usize| -> usize {
        let counted = CATALOGUE.iter().filter(|entry| sources.contains(&entry.source));
        counted.map(|entry| entry.series.bound(sets)).sum()
    };
    let operator = of(&[Source::Sets, Source::Operator], EXAMPLE);
    let carried = 20;
    let agent = of(&[Source::Agent], carried);
    format!(
        "\n## How many series\n\nWith {EXAMPLE} sets a replica of the operator has at most {operator} series, and the agent of a node that carries {carried} sets at most {agent}.\n"
    )
}
