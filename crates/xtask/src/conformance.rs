//! Kubernetes' own tests of Services on our cluster, run twice: kube-proxy alone, then with a policy on every Service
//! that the suite makes.
//!
//! The suite was not written by us and knows nothing of us, so it cannot be tuned to. A test that passes with kube-proxy
//! alone must pass with a policy; one that fails with kube-proxy alone says something about the cluster, not about us, and
//! is listed. Left out: suites other than sig-network's.

mod follow;
mod program;
mod verdict;

use std::path::{Path, PathBuf};

use crate::cluster::{Cluster, layout};
use crate::demo::install;
use crate::image::{self, Image};
use crate::progress::Progress;
use crate::{Error, paths, preflight};
use follow::Follower;
use program::Programs;

/// The conformance tests of Services: 15 of them, 3 to 4 minutes a run.
const FOCUS: &str = r"\[sig-network\] Services.*\[Conformance\]";
const SKIP: &str = r"\[Slow\]|\[Serial\]|\[Disruptive\]";

/// Arguments of `cargo xtask conformance`.
#[derive(Debug, Clone, clap::Args)]
pub struct ConformanceArgs {
    /// Which tests, as ginkgo's regular expression.
    #[arg(long, default_value = FOCUS)]
    pub focus: String,
    /// Which of these not.
    #[arg(long, default_value = SKIP)]
    pub skip: String,
}

impl Default for ConformanceArgs {
    fn default() -> Self {
        Self {
            focus: FOCUS.to_owned(),
            skip: SKIP.to_owned(),
        }
    }
}

/// Runs the suite twice and compares.
///
/// # Errors
/// A step that could not be taken, or [`Error::Findings`] with the tests that pass with kube-proxy alone only.
pub fn run(args: &ConformanceArgs) -> Result<(), Error> {
    let progress = Progress::new();
    preflight::conformance(&progress)?;
    let programs = program::build(&progress)?;
    let images = image::build_all(&progress)?;
    let _guard = Cluster::down_on_interrupt(&progress);
    let cluster = Cluster::up(&progress)?;
    let compared = both(&cluster, &programs, &images, args, &progress);
    Cluster::down(&progress)?;
    println!("{}", compared?);
    Ok(())
}

/// The suite with kube-proxy alone, then with policies; gives what that says.
fn both(
    cluster: &Cluster,
    programs: &Programs,
    images: &[Image],
    args: &ConformanceArgs,
    progress: &Progress,
) -> Result<String, Error> {
    cluster.load_images(std::slice::from_ref(&programs.image), progress)?;
    cluster.load_images(images, progress)?;
    let alone = suite(cluster, &programs.suite, args, "kube-proxy alone", progress)?;
    install::install(cluster, progress)?;
    let follower = Follower::start(cluster);
    let ours = suite(
        cluster,
        &programs.suite,
        args,
        "a policy on every Service",
        progress,
    );
    let followed = follower.stop();
    verdict::compare(&alone, &ours?, &followed)
}

/// One run of the suite; gives how each test ended.
fn suite(
    cluster: &Cluster,
    program: &Path,
    args: &ConformanceArgs,
    about: &str,
    progress: &Progress,
) -> Result<verdict::Outcomes, Error> {
    let step = progress.step(format!("Kubernetes' tests of Services: {about}"));
    let report = folder()?.join(format!("{}.json", about.replace(' ', "-")));
    let run = cluster
        .on_control([program])
        .arg(format!("--kubeconfig={}", layout::admin_kubeconfig().display()))
        .args(["--provider=skeleton", "--ginkgo.no-color", "--ginkgo.succinct"])
        .arg(format!("--ginkgo.focus={}", args.focus))
        .arg(format!("--ginkgo.skip={}", args.skip))
        .arg(format!("--ginkgo.json-report={}", report.display()));
    let ran = run.run_shown(&step, report.with_extension("log"));
    let outcomes = verdict::read(&report);
    // A run with failed tests ends with an error of its own; what it said of each test is what counts.
    match (ran, outcomes) {
        (_, Ok(outcomes)) => {
            step.done();
            Ok(outcomes)
        }
        (Err(error), Err(_)) => Err(error),
        (Ok(()), Err(error)) => Err(error),
    }
}

fn folder() -> Result<PathBuf, Error> {
    let dir = paths::root().join("target/conformance");
    std::fs::create_dir_all(&dir).map_err(Error::file("create", &dir))?;
    Ok(dir)
}
