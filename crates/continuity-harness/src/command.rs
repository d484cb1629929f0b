//! The command line.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::{Args, Parser, Subcommand};
use continuity_harness::experiment::{Cell, Experiment};
use continuity_harness::output::{OutputError, json, markdown, plots};
use continuity_harness::peer::{self, ALL};
use continuity_harness::scenario::{ErrorCategory, Scenario, ScenarioError, names, shipped};
use continuity_harness::target::{TARGETS, misses};

/// The wind tunnel of Continuity: simulated clusters, real law, named peers.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Command {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run scenarios and write tables, figures and pictures.
    Run(Run),
    /// List the shipped scenarios and the rows.
    List,
    /// Print the JSON schema of scenario files.
    Schema,
}

#[derive(Debug, Args)]
struct Run {
    /// Scenarios: shipped names or paths of files, separated by commas; `all` for every shipped S-scenario.
    #[arg(long, value_delimiter = ',', required = true)]
    scenario: Vec<String>,
    /// Rows, separated by commas, or `all`.
    #[arg(long, value_delimiter = ',', default_value = "all")]
    peers: Vec<String>,
    /// How many seeds.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 11)]
    first_seed: u64,
    /// Numbers of nodes, separated by commas; default: as each scenario says.
    #[arg(long, value_delimiter = ',')]
    nodes: Vec<u32>,
    /// Numbers of backends, separated by commas; default: as each scenario says.
    #[arg(long, value_delimiter = ',')]
    backends: Vec<u32>,
    /// Threads.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: u16,
    /// Judge the cells by the targets; a miss ends in exit code 3.
    #[arg(long)]
    gate: bool,
    /// Folder for results.json, results.md and the pictures.
    #[arg(long)]
    out: Option<PathBuf>,
}

/// Why the program ends early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    #[error(transparent)]
    Output(#[from] OutputError),
    #[error("no row {0:?}: `continuity-harness list` names them")]
    Peer(String),
    #[error("{path}: {source}", path = path.display())]
    Folder { path: PathBuf, source: std::io::Error },
    #[error("standard output: {0}")]
    Print(#[from] std::io::Error),
    #[error("{0} targets missed")]
    Missed(usize),
    #[error("schema: {0}")]
    Schema(#[from] serde_json::Error),
}

impl CommandError {
    pub(crate) fn code(&self) -> ExitCode {
        if matches!(self, Self::Missed(_)) {
            return ExitCode::from(3);
        }
        let input = match self {
            Self::Scenario(error) => error.category() == ErrorCategory::Input,
            Self::Output(error) => error.category() == ErrorCategory::Input,
            Self::Peer(_) => true,
            Self::Folder { .. } | Self::Print(_) | Self::Schema(_) | Self::Missed(_) => false,
        };
        ExitCode::from(if input { 2 } else { 1 })
    }
}

impl Command {
    pub(crate) fn run(self) -> Result<(), CommandError> {
        let mut out = std::io::stdout().lock();
        match self.verb {
            Verb::Run(run) => run.run(&mut out),
            Verb::List => {
                for name in names() {
                    writeln!(out, "scenario  {name:18} {}", shipped(name)?.title)?;
                }
                for peer in ALL {
                    writeln!(out, "row       {:18} {}", peer.name, peer.about)?;
                }
                Ok(())
            }
            Verb::Schema => {
                let schema = schemars::schema_for!(Scenario);
                Ok(writeln!(out, "{}", serde_json::to_string_pretty(&schema)?)?)
            }
        }
    }
}

impl Run {
    fn scenarios(&self) -> Result<Vec<Scenario>, ScenarioError> {
        let all = || names().into_iter().filter(|name| name.starts_with('S'));
        let mut scenarios = Vec::new();
        for name in &self.scenario {
            if name == "all" {
                for name in all() {
                    scenarios.push(shipped(name)?);
                }
            } else {
                scenarios.push(shipped(name)?);
            }
        }
        Ok(scenarios)
    }

    fn run(self, out: &mut impl Write) -> Result<(), CommandError> {
        let experiment = Experiment {
            scenarios: self.scenarios()?,
            peers: peer::named(&self.peers).map_err(CommandError::Peer)?,
            nodes: self.nodes.clone(),
            backends: self.backends.clone(),
            seeds: (self.first_seed..)
                .take(usize::try_from(self.seeds).unwrap_or(1))
                .collect(),
        };
        let start = Instant::now();
        let live = std::io::stderr().is_terminal();
        let cells = experiment.run(usize::from(self.jobs), &|done, all, what| {
            let spent = start.elapsed().as_secs_f64();
            if live {
                eprint!("\r{done}/{all}  {spent:.0} s  {what:40}");
            } else if done * 10 / all != (done - 1) * 10 / all {
                eprintln!("{done}/{all}  {spent:.0} s  {what}");
            }
        })?;
        let events: u64 = cells
            .iter()
            .flat_map(|cell| &cell.runs)
            .map(|run| run.events)
            .sum();
        let spent = start.elapsed().as_secs_f64().max(1e-9);
        eprintln!(
            "\r{events} events in {spent:.1} s: {:.2} million a second {:30}",
            events as f64 / spent / 1e6,
            ""
        );
        let table = markdown(&experiment.seeds, &cells);
        out.write_all(table.as_bytes())?;
        let missed = if self.gate {
            misses(TARGETS, &cells)
        } else {
            Vec::new()
        };
        for miss in &missed {
            writeln!(
                out,
                "missed  {}: {:.3}, at most {}",
                miss.target, miss.found, miss.most
            )?;
        }
        if let Some(folder) = &self.out {
            save(folder, &experiment.seeds, &cells, &table)?;
        }
        if missed.is_empty() {
            Ok(())
        } else {
            Err(CommandError::Missed(missed.len()))
        }
    }
}

fn save(folder: &Path, seeds: &[u64], cells: &[Cell], table: &str) -> Result<(), CommandError> {
    std::fs::create_dir_all(folder).map_err(|source| CommandError::Folder {
        path: folder.to_owned(),
        source,
    })?;
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).map_err(|source| OutputError::Write { path, source })
    };
    write("results.json", &json(seeds, cells)?)?;
    write("results.md", table)?;
    plots(folder, cells)?;
    Ok(())
}
