//! Thousands of simulated nodes before a real API server and the real operator.
//!
//! etcd, kube-apiserver and the operator are the real binaries. The nodes are simulated: each keeps what an agent keeps,
//! composes its report and decides when to write it by the agent's own code, and writes it as an agent does; only what it
//! reports about is made up. Beside them run full network halves of agents with their watches. `cargo xtask bench cluster`
//! builds the parts and calls this; each size gets a control plane of its own, and nothing is left behind.

mod bench;
mod error;
mod figures;
mod lag;
mod meter;
mod node;
mod plot;
mod population;
mod stage;
mod swarm;
mod table;
mod watcher;

use clap::Parser;
use error::Error;
use figures::Figures;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// What is measured.
#[derive(Clone, Debug, Parser)]
#[command(name = "continuity-fleet")]
pub(crate) struct Args {
    /// Binary of etcd and kube-apiserver.
    #[arg(long)]
    kubernetes: PathBuf,
    /// Binary of the operator.
    #[arg(long)]
    operator: PathBuf,
    /// Folder of cluster.json, cluster.md and the pictures.
    #[arg(long)]
    out: PathBuf,
    /// Nodes of each run.
    #[arg(long, value_delimiter = ',', default_value = "100,300,1000")]
    nodes: Vec<usize>,
    /// Services for each 100 nodes: the largest cluster aimed at has 5,000 for 10,000.
    #[arg(long, default_value_t = 50)]
    services: usize,
    /// Endpoints of each Service.
    #[arg(long, default_value_t = 20)]
    endpoints: usize,
    /// Sets that each node reports.
    #[arg(long, default_value_t = 24)]
    sets: usize,
    /// Full network halves of agents, in three steps: a quarter, a half, all; 0 leaves them out.
    #[arg(long, default_value_t = 200)]
    watchers: usize,
    /// Nodes that flap in the storm, at most.
    #[arg(long, default_value_t = 100)]
    flapping: usize,
    /// Length of each measured stretch, in seconds.
    #[arg(long, default_value_t = 45)]
    seconds: u64,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    // Another provider can not have been chosen before; if it was, it is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match run(&Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &Args) -> Result<(), Error> {
    let mut runs = Vec::new();
    for nodes in &args.nodes {
        let begun = Instant::now();
        eprintln!("{nodes} nodes");
        runs.push(bench::run(args, *nodes).await?);
        eprintln!("{nodes} nodes: done after {} s", begun.elapsed().as_secs());
        // Written after each size, so that a run that is cut short leaves what it has.
        publish(&args.out, &Figures::of(&runs))?;
    }
    let missed = Figures::of(&runs).missed().len();
    if missed == 0 {
        Ok(())
    } else {
        Err(Error::Missed(missed))
    }
}

fn publish(out: &Path, figures: &Figures) -> Result<(), Error> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::File { path, source }
    };
    std::fs::create_dir_all(out).map_err(failed(out))?;
    let json = out.join("cluster.json");
    std::fs::write(&json, serde_json::to_vec_pretty(figures)?).map_err(failed(&json))?;
    let page = out.join("cluster.md");
    std::fs::write(&page, table::page(figures)).map_err(failed(&page))?;
    plot::draw(out, figures)
}
