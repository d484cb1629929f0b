//! `cargo xtask …`: reads the command line, runs the task, turns its error into an exit status.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use xtask::cluster::{self, ClusterCommand};
use xtask::{
    Error, bench, check, conformance, demo, generate, image, interrupt, mutants, preflight,
    progress::Progress, test, windtunnel,
};

#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    about,
    disable_help_subcommand = true
)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// The main job on a cluster of its own: install, load, break things, measure, uninstall.
    Demo(demo::DemoArgs),
    /// The tests; CI calls exactly this.
    Test(test::TestArgs),
    /// The law beside published balancers and limiters, in simulation; fails if a target falls short.
    Windtunnel(windtunnel::WindtunnelArgs),
    /// Mutation testing of the law's decisions, all of it or a part.
    Mutants(mutants::MutantsArgs),
    /// Benches that need more than one process.
    Bench {
        #[command(subcommand)]
        command: bench::BenchCommand,
    },
    /// Formatting, lints, drift, dependency direction, sizes and names.
    Check,
    /// Generate `crds/` from the types.
    Crds,
    /// Generate the API reference from the schemas.
    Docs,
    /// Kubernetes' own tests of Services: with kube-proxy alone, then with a policy on every Service.
    Conformance(conformance::ConformanceArgs),
    /// A real Kubernetes cluster on this machine.
    Cluster {
        #[command(subcommand)]
        command: ClusterCommand,
    },
    /// Build the images of agent, operator and traffic, and load them if a cluster is up.
    Image,
    /// Check this machine, and install what is missing where that is possible.
    Preflight,
    /// Enter the namespaces of a cluster part and become its program (the cluster starts its parts with this).
    #[command(hide = true)]
    Enter(cluster::enter::EnterArgs),
}

fn main() -> ExitCode {
    let result = run(Arguments::parse().task);
    interrupt::settle();
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            error.exit_code()
        }
    }
}

fn run(task: Task) -> Result<ExitCode, Error> {
    match task {
        Task::Demo(args) => demo::run(&args)?,
        Task::Test(args) => test::run(&args)?,
        Task::Windtunnel(args) => windtunnel::run(&args)?,
        Task::Mutants(args) => mutants::run(&args)?,
        Task::Bench { command } => bench::run(&command)?,
        Task::Check => check::run()?,
        Task::Crds => generate::crds()?,
        Task::Docs => generate::docs()?,
        Task::Conformance(args) => conformance::run(&args)?,
        Task::Cluster { command } => return cluster::command::run(command),
        Task::Image => image::run(&Progress::new())?,
        Task::Preflight => preflight::run(&Progress::new())?,
        Task::Enter(args) => cluster::enter::run(&args)?,
    }
    Ok(ExitCode::SUCCESS)
}
