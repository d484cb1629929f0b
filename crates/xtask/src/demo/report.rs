//! The report: everything that was measured, as JSON for programs and as Markdown for people.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::calm::Calm;
use super::goal::Check;
use super::trial::Trial;
use super::{plot, table};
use crate::{Error, paths};

/// A whole demo.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(super) struct Report {
    /// Command that made it.
    pub(super) command: String,
    /// Kernel and cores of the machine.
    pub(super) machine: String,
    /// Time of the parts, s.
    pub(super) spent: Vec<(String, f64)>,
    /// Healthy blocks, without policy and in Enforce.
    pub(super) calm: Vec<Calm>,
    /// What Observe said about a gray backend.
    pub(super) observed: Option<Trial>,
    /// The faults.
    pub(super) trials: Vec<Trial>,
    /// Every check.
    pub(super) checks: Vec<Check>,
    /// `kubectl get continuitynodes` after the run.
    pub(super) nodes: Option<String>,
}

/// Where reports are.
pub(super) fn dir() -> PathBuf {
    paths::root().join("target/demo")
}

impl Report {
    /// The checks that fell short.
    pub(super) fn short(&self) -> Vec<&Check> {
        self.checks.iter().filter(|check| !check.passed).collect()
    }

    /// Writes report.json, report.md and the pictures into a folder.
    pub(super) fn write(&self, dir: &Path) -> Result<(), Error> {
        std::fs::create_dir_all(dir).map_err(Error::file("create", dir))?;
        let json = serde_json::to_string_pretty(self).map_err(|source| Error::Json {
            what: "the report".to_owned(),
            source,
        })?;
        let put = |name: &str, text: &str| {
            let path = dir.join(name);
            std::fs::write(&path, text).map_err(Error::file("write", &path))
        };
        put("report.json", &json)?;
        for trial in self.trials.iter().chain(&self.observed) {
            plot::write(trial, dir)?;
        }
        put("report.md", &self.markdown())
    }

    /// The report for people.
    pub(super) fn markdown(&self) -> String {
        let mut out = format!(
            "# Continuity beside kube-proxy\n\n`{}` on {}\n\n",
            self.command, self.machine
        );
        out.push_str(METHOD);
        out.push_str(
            "\n## Checks\n\n| | fault | measured | figure | goal |\n| --- | --- | --- | --- | --- |\n",
        );
        for check in &self.checks {
            let mark = if check.passed { "held" } else { "**short**" };
            let cell = |text: &str| text.replace('|', "\\|").replace('\n', " ");
            let _ = writeln!(
                out,
                "| {mark} | {} | {} | {} | {} |",
                check.fault,
                check.name,
                cell(&check.measured),
                check.goal
            );
        }
        out.push_str("\n## Nothing broken\n\n");
        self.calm.iter().for_each(|calm| calm_table(&mut out, calm));
        out.push_str("\n## Faults\n\n");
        out.push_str(&table::markdown(&self.trials));
        for trial in self.observed.iter().chain(&self.trials) {
            section(&mut out, trial);
        }
        if let Some(nodes) = &self.nodes {
            let _ = write!(out, "\n## Nodes after the run\n\n```\n{}```\n", fenced(nodes));
        }
        out.push_str("\n## Time spent\n\n| part | s |\n| --- | --- |\n");
        for (part, seconds) in &self.spent {
            let _ = writeln!(out, "| {part} | {seconds:.0} |");
        }
        out
    }
}

const METHOD: &str = "\
Two identical Services of five pods on three nodes: one under a ContinuityPolicy, the other served by kube-proxy \
(nftables) alone. Both get the same requests at the same times (open loop, 500 new connections a second each, one \
client a node, Poisson arrivals, log-normal service of 30 ms on average, 8 workers a pod: 38 % busy), and the same \
fault at the same time. Both run at once, so what disturbs the machine disturbs both. Latency counts from the time a \
request was due; a failed attempt counts as the client's time-out of 2 s and, in shares, as one on the sick backend. \
The table is over connections opened while the fault was on; `share late` begins 5 s after it did. `kept` are \
keep-alive connections, which a balancer at connect(2) cannot move.
";

fn calm_table(out: &mut String, calm: &Calm) {
    let ratio = |figure: fn(&super::latency::Summary) -> f64| {
        calm.ratio(figure)
            .map_or_else(|| "–".to_owned(), |r| format!("{:.3} (≤ {:.3})", r.mean, r.upper))
    };
    let _ = writeln!(
        out,
        "Policy: {}. {} blocks{}; ratio to kube-proxy, geometric mean (upper 95 % bound): p50 {}, p99 {}, connection \
         set-up p50 {}.\n",
        calm.policy,
        calm.blocks.len(),
        if calm.exchanged {
            ", half of them with the Services exchanged"
        } else {
            ""
        },
        ratio(|s| s.p50_ms),
        ratio(|s| s.p99_ms),
        ratio(|s| s.connect_p50_us)
    );
}

fn section(out: &mut String, trial: &Trial) {
    let _ = write!(out, "\n### {}\n\n{}.", trial.fault, trial.about);
    if !trial.victims.is_empty() {
        let _ = write!(out, " Sick: {}.", trial.victims.join(", "));
    }
    let _ = write!(out, "\n\n![{0}]({0}.svg)\n", trial.fault);
    for (command, text) in [
        ("kubectl get equivalencesets -n shop", &trial.sets),
        ("kubectl continuity explain svc/… -n shop", &trial.explained),
    ] {
        if let Some(text) = text {
            let _ = write!(out, "\n```\n$ {command}\n{}```\n", fenced(text));
        }
    }
}

/// Text that ends with a line break and cannot end the fence it stands in.
fn fenced(text: &str) -> String {
    format!("{}\n", text.trim_end().replace("```", "'''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fell_short_is_marked() {
        let check = |held| Check::that("gray", "share", held, "0.1 %", "≤ 0.2 %");
        let report = Report {
            checks: vec![check(true), check(false)],
            ..Report::default()
        };
        assert_eq!(report.short().len(), 1);
        let text = report.markdown();
        assert!(text.contains("| held | gray") && text.contains("| **short** | gray"));
    }

    #[test]
    fn a_report_can_be_read_back() {
        let report = Report {
            trials: vec![Trial::default()],
            ..Report::default()
        };
        let text = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
    }
}
