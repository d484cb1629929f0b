//! `windtunnel`: a whole profile, judged: tables, JSON, pictures, and an exit code.

use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use continuity_harness::experiment::Cell;
use continuity_harness::gate::{Gate, gates};
use continuity_harness::output::{markdown, verdict};
use continuity_harness::profile::Profile;
use continuity_harness::scenario::ErrorCategory;
use continuity_harness::target::{Judgement, Targets};

use super::{CommandError, Progress, save};

/// Arguments of `windtunnel`.
#[derive(Debug, Args)]
pub(super) struct Windtunnel {
    /// How much is run.
    #[arg(long, value_enum, default_value_t = Profile::Full)]
    profile: Profile,
    /// How many seeds; default: as the profile says.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    seeds: Option<u64>,
    /// The first seed. The shipped constants were chosen with 11 to 20 in view.
    #[arg(long, default_value_t = 11)]
    first_seed: u64,
    /// Threads; default: one for each core.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: Option<u16>,
    /// A list of targets in place of the shipped one.
    #[arg(long)]
    targets: Option<PathBuf>,
    /// Folder for windtunnel.md, results.json and the pictures.
    #[arg(long, default_value = "target/windtunnel")]
    out: PathBuf,
}

impl Windtunnel {
    pub(super) fn run(self, out: &mut impl Write) -> Result<(), CommandError> {
        let targets = self.list()?;
        let count = self.seeds.unwrap_or(self.profile.seeds());
        let seeds: Vec<u64> = (self.first_seed..)
            .take(usize::try_from(count).unwrap_or(1))
            .collect();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let jobs = self.jobs.map_or(cores, usize::from);
        let start = Instant::now();
        let mut cells = Vec::new();
        let experiments = self.profile.experiments(&seeds)?;
        for (part, experiment) in experiments.iter().enumerate() {
            let progress = Progress::new(format!("part {} of {}: ", part + 1, experiments.len()));
            cells.extend(experiment.run(jobs, &|done, all, what| progress.tell(done, all, what))?);
            progress.end();
        }
        let judged = targets.judge(&cells);
        let gates = gates(&cells, &targets.gates);
        let spent = start.elapsed().as_secs_f64();
        let summary = summary(&cells, &judged, &gates, seeds.len(), spent);
        let text = format!("{summary}\n## Every row\n{}", markdown(&seeds, &cells));
        save(
            &self.out,
            "windtunnel.md",
            &seeds,
            &cells,
            &text,
            (&judged, &gates),
        )?;
        out.write_all(summary.as_bytes())?;
        let noise = self.profile == Profile::Ci;
        let short = judged.iter().filter(|one| one.fails(noise)).count()
            + gates.iter().filter(|gate| gate.fails(noise)).count();
        if short == 0 {
            Ok(())
        } else {
            Err(CommandError::Missed(short))
        }
    }

    fn list(&self) -> Result<Targets, CommandError> {
        let Some(path) = &self.targets else {
            return Ok(Targets::shipped()?);
        };
        let text = std::fs::read_to_string(path).map_err(|source| CommandError::File {
            path: path.clone(),
            category: ErrorCategory::Io,
            source,
        })?;
        Ok(Targets::parse(&text)?)
    }
}

fn summary(cells: &[Cell], judged: &[Judgement], gates: &[Gate], seeds: usize, spent: f64) -> String {
    let events: u64 = cells
        .iter()
        .flat_map(|cell| &cell.runs)
        .map(|run| run.events)
        .sum();
    let reached = judged.iter().filter(|one| one.reached).count();
    let open = gates.iter().filter(|gate| gate.reached).count();
    let at_bound = judged
        .iter()
        .filter(|one| !one.reached && !one.fails(false))
        .count();
    let known = gates
        .iter()
        .filter(|gate| !gate.reached && !gate.fails(false))
        .count();
    format!(
        "{} cases, {} runs of {seeds} seeds, {:.0} million events in {spent:.0} s.\n\n\
         ## Targets: {reached} of {} reached, {at_bound} answered by a bound\n\n{}\n## Gates: {open} of {} open, {known} answered by a bound\n\n{}",
        cells.chunk_by(|a, b| a.same_case(b)).count(),
        cells.iter().map(|cell| cell.runs.len()).sum::<usize>(),
        events as f64 / 1e6,
        judged.len(),
        verdict::targets(judged),
        gates.len(),
        verdict::gates(gates),
    )
}
