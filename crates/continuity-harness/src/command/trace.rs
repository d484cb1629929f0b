//! `record`, `replay` and `explain`: traces of one node.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use continuity_harness::plant::Reports;
use continuity_harness::scenario::{ErrorCategory, shipped};
use continuity_harness::trace::{self, Header, Tick};

use super::CommandError;

/// Arguments of `record`.
#[derive(Debug, Args)]
pub(super) struct Record {
    /// A shipped scenario, or the path of a file.
    #[arg(long)]
    scenario: String,
    /// Seed.
    #[arg(long, default_value_t = 11)]
    seed: u64,
    /// Which node, from 0.
    #[arg(long, default_value_t = 0)]
    node: u32,
    /// Without in-band reports.
    #[arg(long)]
    without_reports: bool,
    /// Where to.
    #[arg(long)]
    out: PathBuf,
}

/// Arguments of `replay`.
#[derive(Debug, Args)]
pub(super) struct Replay {
    /// The trace.
    trace: PathBuf,
}

/// Arguments of `explain`.
#[derive(Debug, Args)]
pub(super) struct Explain {
    /// The trace.
    trace: PathBuf,
    /// Which tick; without it every tick at which slots moved or the law gave a reason.
    #[arg(long)]
    tick: Option<u64>,
}

fn file(path: &Path, category: ErrorCategory) -> impl FnOnce(std::io::Error) -> CommandError {
    let path = path.to_owned();
    move |source| CommandError::File {
        path,
        category,
        source,
    }
}

fn open(path: &Path) -> Result<(Header, Vec<Tick>), CommandError> {
    let opened = File::open(path).map_err(file(path, ErrorCategory::Input))?;
    Ok(trace::read(opened)?)
}

impl Record {
    pub(super) fn run(self, out: &mut impl Write) -> Result<(), CommandError> {
        let scenario = shipped(&self.scenario)?;
        let reports = if self.without_reports {
            Reports::None
        } else {
            Reports::Live
        };
        let (header, ticks) = trace::record(&scenario, self.seed, reports, self.node);
        let refused = || file(&self.out, ErrorCategory::Io);
        let made = File::create(&self.out).map_err(refused())?;
        let mut writer = BufWriter::new(made);
        trace::write(&mut writer, &header, &ticks).map_err(refused())?;
        writer.flush().map_err(refused())?;
        Ok(writeln!(out, "{} ticks of {}", ticks.len(), header.source)?)
    }
}

impl Replay {
    pub(super) fn run(self, out: &mut impl Write) -> Result<(), CommandError> {
        let (header, ticks) = open(&self.trace)?;
        let found = trace::replay(&header, &ticks)?;
        for (before, after) in &found.gaps {
            writeln!(
                out,
                "gap: tick {after} follows {before}; unless its line holds the state, what comes after was decided from another one"
            )?;
        }
        if found.dropped > 0 {
            writeln!(out, "the recorder could not keep {} ticks", found.dropped)?;
        }
        for one in &found.differences {
            writeln!(
                out,
                "tick {}: recorded {:016x}, decided {:016x}",
                one.tick, one.recorded, one.decided
            )?;
        }
        let (same, gaps) = (found.ticks - found.differences.len() as u64, found.gaps.len());
        writeln!(
            out,
            "{}: {same} of {} ticks decided the same, {gaps} gaps",
            header.source, found.ticks
        )?;
        match found.differences.len() {
            0 => Ok(()),
            some => Err(CommandError::Differs(some)),
        }
    }
}

impl Explain {
    pub(super) fn run(self, out: &mut impl Write) -> Result<(), CommandError> {
        let (header, ticks) = open(&self.trace)?;
        let told = match self.tick {
            Some(tick) => vec![trace::explain(&header, &ticks, tick)?],
            None => trace::moves(&header, &ticks)?,
        };
        for one in told {
            writeln!(out, "tick {}", one.tick)?;
            for (backend, before, now) in one.slots.iter().filter(|(_, before, now)| before != now) {
                writeln!(out, "  slots of backend {backend}: {before} -> {now}")?;
            }
            let backends = one.backends.iter().filter(|_| self.tick.is_some());
            for line in one.reasons.iter().chain(backends) {
                writeln!(out, "  {line}")?;
            }
        }
        Ok(())
    }
}
