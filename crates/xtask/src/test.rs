//! The tests, in tiers: static checks, unit, property and kernel tests, then tests on a real cluster.
//!
//! One command runs them all, and CI runs exactly it; `--all` adds what takes long. Every tier runs even when an earlier
//! one failed, so that one run shows everything; the task fails if any tier did. Nothing is skipped: what a tier needs, the
//! preflight installs.

use std::fs;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::thread::{self, ScopedJoinHandle};
use std::time::Instant;

use crate::check::{self, cargo};
use crate::cluster::Cluster;
use crate::conformance::{self, ConformanceArgs};
use crate::demo;
use crate::process::Run;
use crate::progress::Progress;
use crate::windtunnel::{self, WindtunnelArgs};
use crate::{Error, paths, preflight, promtool};

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
/// In a run of everything the operator's API tests run beside the first two tiers: they wait more than they compute. The
/// cluster tier has the machine to itself.
///
/// # Errors
/// What the machine lacks, or [`Error::Findings`] with the tiers that failed.
pub fn run(args: &TestArgs) -> Result<(), Error> {
    let progress = Progress::new();
    preflight::run(&progress)?;
    let failed = if everything(args) {
        match built(&progress) {
            Ok(()) => thread::scope(|scope| {
                let beside = scope.spawn(|| api_server(&progress));
                tiers(args, Some(beside), &progress)
            }),
            Err(error) => {
                let mut failed = vec![format!("building the tests: {error}")];
                failed.extend(tiers(args, None, &progress));
                failed
            }
        }
    } else {
        tiers(args, None, &progress)
    };
    if failed.is_empty() {
        Ok(())
    } else {
        Err(Error::Findings {
            summary: failed.join("\n"),
        })
    }
}

/// Whether no tier and no test is named.
const fn everything(args: &TestArgs) -> bool {
    args.tier.is_none() && args.filter.is_none()
}

/// The API tests while they run.
type Beside<'scope> = ScopedJoinHandle<'scope, Result<(), Error>>;

/// What failed, a line a tier.
fn tiers(args: &TestArgs, mut beside: Option<Beside<'_>>, progress: &Progress) -> Vec<String> {
    let mut failed = Vec::new();
    for tier in TIERS
        .into_iter()
        .filter(|tier| args.tier.is_none_or(|only| only == *tier))
    {
        let begun = Instant::now();
        let result = match tier {
            Tier::Check => check::run(),
            Tier::Crates => crates(args, beside.take()),
            Tier::Cluster => on_cluster(args, progress),
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
    failed
}

/// Builds the tests and what they need, so that those that run beside others find it there.
fn built(progress: &Progress) -> Result<(), Error> {
    let step = progress.step("building the tests");
    let log = paths::target().join("build-tests.log");
    cargo()
        .args(["test", "--workspace", "--no-run"])
        .run_shown(&step, log)?;
    step.done();
    Cluster::build(progress)
}

/// The tests of the crates, and the end of what runs beside them.
fn crates(args: &TestArgs, beside: Option<Beside<'_>>) -> Result<(), Error> {
    let filter = args.filter.as_deref();
    let run = cargo()
        .args(["test", "--workspace", "--no-fail-fast"])
        .args(filter);
    let tests = passed("cargo test", run.interactive()?);
    if filter.is_some() {
        return tests;
    }
    let rest = alerts().and(tunnel());
    let walk = if args.all { walk() } else { Ok(()) };
    let server = match beside {
        Some(beside) => {
            let ran = beside.join().unwrap_or_else(|panic| resume_unwind(panic));
            shown(ran)
        }
        None => Ok(()),
    };
    tests.and(rest).and(walk).and(server)
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
    let run = ignored_tests("alerts");
    let run = run.env("CONTINUITY_PROMTOOL", promtool::path()?);
    passed("the alerts' unit tests", run.interactive()?)
}

/// The ignored tests of this target. Of the whole workspace, because one package alone would be built again, with the
/// features that it alone asks for.
fn ignored_tests(target: &str) -> Run {
    cargo().args(["test", "--workspace", "--test", target, "--", "--ignored"])
}

fn passed(what: &str, status: ExitStatus) -> Result<(), Error> {
    if status.success() {
        return Ok(());
    }
    Err(Error::Findings {
        summary: format!("{what} ended with {status}"),
    })
}

/// The faults on the cluster; alone, also what runs beside the other tiers in a run of everything.
fn on_cluster(args: &TestArgs, progress: &Progress) -> Result<(), Error> {
    Cluster::build(progress)?;
    let server = if everything(args) {
        Ok(())
    } else {
        shown(api_server(progress))
    };
    faults(args, progress)?;
    if args.all {
        conformance::run(&ConformanceArgs::default())?;
    }
    server
}

/// Tests that start etcd and kube-apiserver themselves; they are ignored where the cluster parts are not built. What they
/// print is in their log, so that it can be shown in one piece.
fn api_server(progress: &Progress) -> Result<(), Error> {
    let step = progress.step("the operator on a real API server");
    ignored_tests("api")
        .arg("--test-threads=4")
        .run_shown(&step, api_log())?;
    step.done();
    Ok(())
}

/// Shows what the API tests printed.
fn shown(ran: Result<(), Error>) -> Result<(), Error> {
    println!("{}", fs::read_to_string(api_log()).unwrap_or_default());
    ran
}

fn api_log() -> PathBuf {
    paths::target().join("api-tests.log")
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
