//! The tests, in tiers: static checks, unit, property and kernel tests, then tests on a real cluster.
//!
//! One command runs them all, and CI runs exactly it; `--all` adds what takes long. Every tier runs even when an earlier
//! one failed, so that one run shows everything; the task fails if any tier did. Nothing is skipped: what a tier needs, the
//! preflight installs.

use std::process::ExitStatus;
use std::time::Instant;

use crate::Error;
use crate::check::{self, cargo};
use crate::cluster::Cluster;
use crate::conformance::{self, ConformanceArgs};
use crate::demo;
use crate::preflight;
use crate::progress::Progress;
use crate::promtool;
use crate::windtunnel::{self, WindtunnelArgs};

/// Arguments of `cargo xtask test`.
#[derive(Debug, Clone, clap::Args)]
pub struct TestArgs {
    /// Run only the tests of the crates and the faults whose name contains this.
    pub filter: Option<String>,
    /// Also what takes long: a million ticks of the law's invariants, and Kubernetes' own tests of Services, with and
    /// without policies.
    #[arg(long)]
    pub all: bool,
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
            Tier::Crates => crates(args),
            Tier::Cluster => on_cluster(args, &progress),
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

fn crates(args: &TestArgs) -> Result<(), Error> {
    let filter = args.filter.as_deref();
    let run = cargo()
        .args(["test", "--workspace", "--no-fail-fast"])
        .args(filter);
    let tests = passed("cargo test", run.interactive()?);
    if filter.is_some() {
        return tests;
    }
    let (alerts, tunnel) = (alerts(), tunnel());
    let walk = if args.all { walk() } else { Ok(()) };
    tests.and(alerts).and(tunnel).and(walk)
}

/// A million random ticks of the law under its invariants.
fn walk() -> Result<(), Error> {
    let run = cargo().args([
        "test",
        "--package",
        "continuity-field",
        "--test",
        "invariants",
        "--",
    ]);
    passed("the law's long walk", run.arg("--ignored").interactive()?)
}

/// The short profile of the wind tunnel, judged by its targets and gates.
fn tunnel() -> Result<(), Error> {
    windtunnel::run(&WindtunnelArgs {
        rest: vec!["--profile".to_owned(), "ci".to_owned()],
    })
}

/// The unit tests of the alert rules, with the tool that evaluates them in a cluster.
fn alerts() -> Result<(), Error> {
    let run = cargo().args(["test", "--package", "continuity-cli", "--test", "alerts", "--"]);
    let run = run.env("CONTINUITY_PROMTOOL", promtool::path()?);
    passed("the alerts' unit tests", run.arg("--ignored").interactive()?)
}

fn passed(what: &str, status: ExitStatus) -> Result<(), Error> {
    if status.success() {
        return Ok(());
    }
    Err(Error::Findings {
        summary: format!("{what} ended with {status}"),
    })
}

/// The operator against a real API server of its own, then the faults on the cluster.
fn on_cluster(args: &TestArgs, progress: &Progress) -> Result<(), Error> {
    Cluster::build(progress)?;
    let begun = Instant::now();
    let server = api_server();
    progress.note(&format!(
        "operator on a real API server: {} s",
        begun.elapsed().as_secs()
    ));
    faults(args, progress)?;
    if args.all {
        conformance::run(&ConformanceArgs::default())?;
    }
    server
}

/// Tests that start etcd and kube-apiserver themselves; they are ignored where the cluster parts are not built.
fn api_server() -> Result<(), Error> {
    let run = cargo().args(["test", "--package", "continuity-operator", "--test", "api", "--"]);
    passed(
        "the operator's API tests",
        run.args(["--ignored", "--test-threads=4"]).interactive()?,
    )
}

/// One line a check, as test runners print them, and the count that closes the run.
fn faults(args: &TestArgs, progress: &Progress) -> Result<(), Error> {
    let part = args.filter.as_deref().unwrap_or_default();
    let all: Vec<&str> = demo::engine::names();
    let chosen: Vec<&str> = all.into_iter().filter(|name| name.contains(part)).collect();
    if chosen.is_empty() {
        return Ok(());
    }
    let results = demo::engine::test_on_cluster(&chosen, progress)?;
    let failed = results.iter().filter(|check| !check.passed).count();
    for check in &results {
        println!(
            "test {} ... {}",
            check.line(),
            if check.passed { "ok" } else { "FAILED" }
        );
    }
    println!("{} passed, {failed} failed", results.len() - failed);
    if failed == 0 && !results.is_empty() {
        return Ok(());
    }
    Err(Error::Findings {
        summary: format!("{failed} of {} cluster checks failed", results.len()),
    })
}
