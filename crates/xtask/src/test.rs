//! The tests, in tiers: static checks, unit, property and kernel tests, then tests on a real cluster.
//!
//! One command runs them all, and CI runs exactly it. Every tier runs even when an earlier one failed, so that one run
//! shows everything; the task fails if any tier did. Nothing is skipped: what a tier needs, the preflight installs.

use std::process::ExitStatus;
use std::time::Instant;

use crate::Error;
use crate::check::{self, cargo};
use crate::demo;
use crate::preflight;
use crate::progress::Progress;

/// Arguments of `cargo xtask test`.
#[derive(Debug, Clone, clap::Args)]
pub struct TestArgs {
    /// Run only the tests of the crates and the faults whose name contains this.
    pub filter: Option<String>,
    /// Run one tier alone.
    #[arg(long, value_enum)]
    pub tier: Option<Tier>,
}

/// What the tests are run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Tier {
    /// Formatting, lints, drift, dependency direction, sizes, names.
    Check,
    /// Unit and property tests, and tests on the real kernel (as root, in namespaces of their own).
    Crates,
    /// Tests on a real cluster of three nodes.
    Cluster,
}

const TIERS: [Tier; 3] = [Tier::Check, Tier::Crates, Tier::Cluster];

/// Runs every tier.
///
/// # Errors
/// What the machine lacks, or [`Error::Findings`] with the tiers that failed.
pub fn run(args: &TestArgs) -> Result<(), Error> {
    let progress = Progress::new();
    preflight::run(&progress)?;
    let mut failed = Vec::new();
    for tier in TIERS
        .into_iter()
        .filter(|tier| args.tier.is_none_or(|only| only == *tier))
    {
        let begun = Instant::now();
        let result = match tier {
            Tier::Check => check::run(),
            Tier::Crates => crates(args.filter.as_deref()),
            Tier::Cluster => cluster(args.filter.as_deref(), &progress),
        };
        let verdict = if result.is_ok() { "passed" } else { "FAILED" };
        progress.note(&format!(
            "tier {tier:?} {verdict} after {} s",
            begun.elapsed().as_secs()
        ));
        if let Err(error) = result {
            failed.push(format!("tier {tier:?}: {error}"));
        }
    }
    if failed.is_empty() {
        Ok(())
    } else {
        Err(Error::Findings {
            summary: failed.join("\n"),
        })
    }
}

fn crates(filter: Option<&str>) -> Result<(), Error> {
    let run = cargo()
        .args(["test", "--workspace", "--no-fail-fast"])
        .args(filter);
    passed("cargo test", run.interactive()?)
}

fn passed(what: &str, status: ExitStatus) -> Result<(), Error> {
    if status.success() {
        return Ok(());
    }
    Err(Error::Findings {
        summary: format!("{what} ended with {status}"),
    })
}

/// One line a check, as test runners print them, and the count that closes the run.
fn cluster(filter: Option<&str>, progress: &Progress) -> Result<(), Error> {
    let results = demo::engine::test_on_cluster(filter, progress)?;
    let failed: Vec<_> = results.iter().filter(|check| !check.passed).collect();
    for check in &results {
        println!(
            "test {} ... {}",
            check.line(),
            if check.passed { "ok" } else { "FAILED" }
        );
    }
    println!("{} passed, {} failed", results.len() - failed.len(), failed.len());
    if failed.is_empty() && !results.is_empty() {
        return Ok(());
    }
    Err(Error::Findings {
        summary: format!("{} of {} cluster checks failed", failed.len(), results.len()),
    })
}
