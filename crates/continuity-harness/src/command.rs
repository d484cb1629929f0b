//! The command line.

mod trace;
mod unseen;
mod windtunnel;

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::{Args, Parser, Subcommand};
use continuity_harness::experiment::{Cell, Experiment};
use continuity_harness::gate::Gate;
use continuity_harness::output::{OutputError, json, markdown, plots, verdict};
use continuity_harness::peer;
use continuity_harness::profile::ProfileError;
use continuity_harness::scenario::{ErrorCategory, Scenario, ScenarioError, names, shipped};
use continuity_harness::target::{Judgement, TargetError, Targets};
use continuity_harness::trace::TraceError;

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
    /// Run a whole profile, judge it by targets and gates, and write everything down.
    Windtunnel(windtunnel::Windtunnel),
    /// Draw scenarios that are in no file, and gate the law against its peers in them.
    Unseen(unseen::Unseen),
    /// Record what one node of a run is asked and decides.
    Record(trace::Record),
    /// Decide a trace again; differences and gaps are said.
    Replay(trace::Replay),
    /// Say why the slots of a tick of a trace are what they are.
    Explain(trace::Explain),
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
    #[error(transparent)]
    Profile(#[from] ProfileError),
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error("{path}: {source}", path = path.display())]
    File {
        path: PathBuf,
        category: ErrorCategory,
        source: std::io::Error,
    },
    #[error(transparent)]
    Trace(#[from] TraceError),
    #[error("{0} decisions differ from the trace")]
    Differs(usize),
    #[error("{0} targets and gates fall short")]
    Missed(usize),
    #[error("schema: {0}")]
    Schema(#[from] serde_json::Error),
    #[error("scenario file: {0}")]
    Yaml(serde_yaml_ng::Error),
}

impl CommandError {
    pub(crate) fn code(&self) -> ExitCode {
        if matches!(self, Self::Missed(_) | Self::Differs(_)) {
            return ExitCode::from(3);
        }
        let input = match self {
            Self::Scenario(error) => error.category() == ErrorCategory::Input,
            Self::Output(error) => error.category() == ErrorCategory::Input,
            Self::File { category, .. } => *category == ErrorCategory::Input,
            Self::Peer(_) | Self::Profile(_) | Self::Target(_) | Self::Trace(_) => true,
            Self::Folder { .. }
            | Self::Print(_)
            | Self::Schema(_)
            | Self::Yaml(_)
            | Self::Missed(_)
            | Self::Differs(_) => false,
        };
        ExitCode::from(if input { 2 } else { 1 })
    }
}

impl Command {
    pub(crate) fn run(self) -> Result<(), CommandError> {
        let mut out = std::io::stdout().lock();
        match self.verb {
            Verb::Run(run) => run.run(&mut out),
            Verb::Windtunnel(windtunnel) => windtunnel.run(&mut out),
            Verb::Unseen(unseen) => unseen.run(&mut out),
            Verb::Record(record) => record.run(&mut out),
            Verb::Replay(replay) => replay.run(&mut out),
            Verb::Explain(explain) => explain.run(&mut out),
            Verb::List => {
                for name in names() {
                    writeln!(out, "scenario  {name:18} {}", shipped(name)?.title)?;
                }
                for peer in peer::all() {
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
        let progress = Progress::new(String::new());
        let cells = experiment.run(usize::from(self.jobs), &|done, all, what| {
            progress.tell(done, all, what);
        })?;
        progress.rate(&cells);
        let table = markdown(&experiment.seeds, &cells);
        out.write_all(table.as_bytes())?;
        let judged = if self.gate {
            Targets::shipped()?.judge(&cells)
        } else {
            Vec::new()
        };
        if self.gate {
            write!(out, "\n{}", verdict::targets(&judged))?;
        }
        if let Some(folder) = &self.out {
            save(
                folder,
                "results.md",
                &experiment.seeds,
                &cells,
                &table,
                (&judged, &[]),
            )?;
        }
        match judged.iter().filter(|one| !one.reached).count() {
            0 => Ok(()),
            short => Err(CommandError::Missed(short)),
        }
    }
}

/// What is said while it runs: a line that renews itself, or one for each tenth where nobody watches.
struct Progress {
    start: Instant,
    live: bool,
    prefix: String,
}

impl Progress {
    fn new(prefix: String) -> Self {
        Self {
            start: Instant::now(),
            live: std::io::stderr().is_terminal(),
            prefix,
        }
    }

    fn tell(&self, done: usize, all: usize, what: &str) {
        let (spent, prefix) = (self.start.elapsed().as_secs_f64(), &self.prefix);
        if self.live {
            eprint!("\r{prefix}{done}/{all}  {spent:.0} s  {what:40}");
        } else if done * 10 / all != (done - 1) * 10 / all {
            eprintln!("{prefix}{done}/{all}  {spent:.0} s  {what}");
        }
    }

    fn end(&self) {
        if self.live {
            eprintln!();
        }
    }

    fn rate(&self, cells: &[Cell]) {
        self.end();
        let runs = cells.iter().flat_map(|cell| &cell.runs);
        let events: u64 = runs.map(|run| run.events).sum();
        let spent = self.start.elapsed().as_secs_f64().max(1e-9);
        eprintln!(
            "{events} events in {spent:.1} s: {:.2} million a second",
            events as f64 / spent / 1e6
        );
    }
}

fn save(
    folder: &Path,
    table: &str,
    seeds: &[u64],
    cells: &[Cell],
    text: &str,
    judged: (&[Judgement], &[Gate]),
) -> Result<(), CommandError> {
    std::fs::create_dir_all(folder).map_err(|source| CommandError::Folder {
        path: folder.to_owned(),
        source,
    })?;
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).map_err(|source| OutputError::Write { path, source })
    };
    write("results.json", &json(seeds, cells, judged)?)?;
    write(table, text)?;
    plots(folder, cells)?;
    Ok(())
}
