//! The demo: Continuity installed as a user installs it, on a cluster of its own, broken on purpose, measured beside
//! kube-proxy, and removed again.
//!
//! The same engine serves the cluster tests ([`engine::test_on_cluster`]). Analysis is pure and knows no cluster; everything
//! that touches the cluster goes through `kubectl` or a pod's control connection, as a user's tools would.
//!
//! Left out: the cluster itself and the images (`cluster`, `image`).

mod agent;
mod calm;
mod contract;
mod control;
pub mod engine;
pub mod fault;
pub mod goal;
pub(crate) mod install;
mod kernel;
mod latency;
mod log;
mod paired;
mod plot;
mod refusal;
mod report;
mod residue;
mod scene;
mod share;
mod stage;
mod status;
mod steal;
mod surge;
mod table;
mod trial;
mod wire;
mod workload;

pub use goal::Check;

use crate::Error;
use crate::cluster::Cluster;
use crate::image;
use crate::preflight;
use crate::progress::Progress;

/// Arguments of `cargo xtask demo`.
#[derive(Debug, Clone, clap::Args)]
pub struct DemoArgs {
    /// Leave the cluster up, with everything installed, and say how to use it.
    #[arg(long)]
    pub keep: bool,
    /// Run this fault alone, or `none`, `observe` or `contract`; may be given several times.
    #[arg(long, value_name = "FAULT")]
    pub only: Vec<String>,
    /// Use the images as they were last built, whatever has changed since.
    #[arg(long)]
    pub as_built: bool,
    /// List the faults and what must hold, and do nothing.
    #[arg(long)]
    pub list: bool,
}

/// Builds, starts, installs, measures and reports.
///
/// # Errors
/// A step that could not be taken, or [`Error::Findings`] with the goals that fell short.
pub fn run(args: &DemoArgs) -> Result<(), Error> {
    if args.list {
        list();
        return Ok(());
    }
    let names: Vec<&str> = args.only.iter().map(String::as_str).collect();
    // A name that does not exist is said before anything is built.
    engine::chosen(&names)?;
    let progress = Progress::new();
    preflight::run(&progress)?;
    let images = if args.as_built {
        image::last_built()?
    } else {
        image::build_all(&progress)?
    };
    let _guard = Cluster::down_on_interrupt(&progress);
    let result = stage::play(&names, &images, args.keep, &progress);
    if args.keep {
        println!("{KEPT}");
    } else {
        Cluster::down(&progress)?;
    }
    result
}

const KEPT: &str = "
The cluster is up, with Continuity installed and the workload deployed:
    cargo xtask cluster kubectl get equivalencesets -n shop
    cargo xtask cluster kubectl get continuitynodes
    cargo xtask cluster status
    cargo xtask demo --only gray --keep      # the next fault, on the same cluster
    cargo xtask cluster down";

fn list() {
    for fault in fault::FAULTS {
        println!("{:<15} {} ({} s)", fault.name, fault.about, fault.seconds);
        for goal in fault.goals {
            println!("{:<15}   {goal:?}", "");
        }
    }
}
