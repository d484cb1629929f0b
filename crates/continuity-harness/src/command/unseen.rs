//! `unseen`: scenarios that are in no file, drawn from seeds, with the law gated against its peers.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use continuity_harness::experiment::{Cell, Experiment};
use continuity_harness::gate::{Gate, gates};
use continuity_harness::output::{OutputError, markdown, verdict};
use continuity_harness::peer;
use continuity_harness::profile::FEW;
use continuity_harness::scenario::{Scenario, unseen};

use super::{CommandError, Progress, save};

/// Arguments of `unseen`.
#[derive(Debug, Args)]
pub(super) struct Unseen {
    /// How many scenarios.
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    count: u64,
    /// The first of them.
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// Seeds of each.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 101)]
    first_seed: u64,
    /// Up to 12,000 requests a second instead of 2,000: large fleets too.
    #[arg(long)]
    heavy: bool,
    /// Rows, separated by commas; default: those of the full table's smaller part.
    #[arg(long, value_delimiter = ',')]
    peers: Vec<String>,
    /// Threads; default: one for each core.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: Option<u16>,
    /// Folder for unseen.md, results.json, pictures, and a file of every scenario in which a gate is short.
    #[arg(long)]
    out: Option<PathBuf>,
}

impl Unseen {
    pub(super) fn run(self, out: &mut impl Write) -> Result<(), CommandError> {
        let rows = if self.peers.is_empty() {
            FEW.iter().map(|&row| row.to_owned()).collect()
        } else {
            self.peers.clone()
        };
        let seeds: Vec<u64> = (self.first_seed..)
            .take(usize::try_from(self.seeds).unwrap_or(1))
            .collect();
        let scenarios = (self.first..).take(usize::try_from(self.count).unwrap_or(1));
        let experiment = Experiment {
            scenarios: scenarios.map(|seed| unseen(seed, self.heavy)).collect(),
            peers: peer::named(&rows).map_err(CommandError::Peer)?,
            nodes: Vec::new(),
            backends: Vec::new(),
            seeds: seeds.clone(),
        };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let progress = Progress::new(String::new());
        let cells = experiment.run(self.jobs.map_or(cores, usize::from), &|done, all, what| {
            progress.tell(done, all, what);
        })?;
        progress.rate(&cells);
        let gates = gates(&cells, &[]);
        let summary = summary(&experiment.scenarios, &cells, &gates);
        out.write_all(summary.as_bytes())?;
        if let Some(folder) = &self.out {
            let text = format!("{summary}\n## Every row\n{}", markdown(&seeds, &cells));
            save(folder, "unseen.md", &seeds, &cells, &text, (&[], &gates))?;
            for scenario in short(&experiment.scenarios, &gates) {
                let path = folder.join(format!("{}.yaml", scenario.name));
                let text = serde_yaml_ng::to_string(scenario).map_err(CommandError::Yaml)?;
                std::fs::write(&path, text).map_err(|source| OutputError::Write { path, source })?;
            }
        }
        match gates.iter().filter(|gate| gate.fails(true)).count() {
            0 => Ok(()),
            short => Err(CommandError::Missed(short)),
        }
    }
}

fn short<'a>(scenarios: &'a [Scenario], gates: &'a [Gate]) -> impl Iterator<Item = &'a Scenario> {
    let short = |scenario: &&Scenario| {
        let mut own = gates.iter().filter(|gate| gate.scenario == scenario.name);
        own.any(|gate| !gate.reached)
    };
    scenarios.iter().filter(short)
}

/// Geometric mean of the ratios of a gate; 1 without any.
fn typical(gates: &[Gate], kind: &str) -> f64 {
    let ratios = gates.iter().filter(|gate| gate.gate == kind);
    let logs: Vec<f64> = ratios.map(|gate| gate.found.mean.max(1e-9).ln()).collect();
    (logs.iter().sum::<f64>() / (logs.len() as f64).max(1.0)).exp()
}

fn summary(scenarios: &[Scenario], cells: &[Cell], gates: &[Gate]) -> String {
    let judged = cells
        .chunk_by(|a, b| a.same_case(b))
        .filter(|case| {
            case.first()
                .is_some_and(|cell| gates.iter().any(|gate| gate.scenario == cell.scenario))
        })
        .count();
    let mut text = format!("{} scenarios drawn, {judged} judged.\n\n", scenarios.len());
    text.push_str("| gate | open | of | short without doubt | law beside the rival, typically |\n");
    text.push_str("| --- | --- | --- | --- | --- |\n");
    for kind in ["deployable", "best", "random", "rates"] {
        let own = || gates.iter().filter(|gate| gate.gate == kind);
        let open = own().filter(|gate| gate.reached).count();
        let sure = own().filter(|gate| gate.fails(true)).count();
        let beside = if kind == "rates" {
            "–".to_owned()
        } else {
            format!("{:.3} ×", typical(gates, kind))
        };
        text.push_str(&format!(
            "| {kind} | {open} | {} | {sure} | {beside} |\n",
            own().count()
        ));
    }
    text.push_str("\n| scenario | |\n| --- | --- |\n");
    for scenario in short(scenarios, gates) {
        text.push_str(&format!("| {} | {} |\n", scenario.name, scenario.title));
    }
    let closed: Vec<Gate> = gates.iter().filter(|gate| !gate.reached).cloned().collect();
    format!("{text}\n{}", verdict::gates(&closed))
}
