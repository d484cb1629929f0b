//! Benches that need more than one process: builds the parts as the images do, runs `continuity-fleet`, and leaves its
//! figures under `target/bench`.

use crate::cluster::Cluster;
use crate::process::Run;
use crate::progress::Progress;
use crate::{Error, image, paths, preflight};

/// A bench.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum BenchCommand {
    /// The operator before thousands of simulated nodes, with a real API server: memory, processors, requests, lag.
    Cluster(ClusterBenchArgs),
}

/// Arguments of `cargo xtask bench cluster`.
#[derive(Debug, Clone, clap::Args)]
pub struct ClusterBenchArgs {
    /// Given to `continuity-fleet`, such as `--nodes 100,1000` or `--seconds 60`; `--help` names all.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub rest: Vec<String>,
}

/// Runs a bench.
///
/// # Errors
/// A part does not build, or a figure falls short of what is promised.
pub fn run(command: &BenchCommand) -> Result<(), Error> {
    let BenchCommand::Cluster(args) = command;
    let progress = Progress::new();
    preflight::run(&progress)?;
    Cluster::build(&progress)?;
    image::build_with(&["continuity-fleet"], None, &progress)?;
    let out = paths::target().join("bench");
    let status = Run::new(image::binary_path("continuity-fleet"))
        .arg("--kubernetes")
        .arg(paths::cluster().join("bin/kubernetes"))
        .arg("--operator")
        .arg(image::binary_path("continuity-operator"))
        .arg("--out")
        .arg(&out)
        .args(&args.rest)
        .interactive()?;
    progress.note(&format!("figures: {}", out.join("cluster.md").display()));
    if status.success() {
        return Ok(());
    }
    Err(Error::Findings {
        summary: format!("the bench of the cluster side ended with {status}"),
    })
}
