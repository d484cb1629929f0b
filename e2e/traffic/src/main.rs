//! `continuity-traffic server | client`: what runs in the pods of the workload.

use clap::{Args, Parser, Subcommand};
use continuity_traffic::{client, server};
use std::time::Duration;

#[derive(Parser)]
#[command(about = "Servers with faults on demand and open-loop clients, both driven over a control port")]
struct Cli {
    #[command(subcommand)]
    role: Role,
}

#[derive(Subcommand)]
enum Role {
    /// Serve, and break on request.
    Server(ServerArgs),
    /// Send what the driver asks for, and keep the log.
    Client {
        /// Name of the node, said in every answer.
        #[arg(long, env = "NODE_NAME", default_value = "")]
        node: String,
    },
}

#[derive(Args)]
struct ServerArgs {
    /// Name that every answer carries.
    #[arg(long, env = "POD_NAME", default_value = "server")]
    name: String,
    /// Requests served at once on each port.
    #[arg(long, default_value_t = 8)]
    workers: usize,
    /// Mean service time, ms.
    #[arg(long, default_value_t = 30.0)]
    mean_ms: f64,
    /// Shape of the log-normal service time; 0 makes it constant.
    #[arg(long, default_value_t = 0.5)]
    sigma: f64,
    /// Seconds to keep serving after SIGTERM.
    #[arg(long, default_value_t = 5)]
    drain_seconds: u64,
}

fn main() -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    match Cli::parse().role {
        Role::Client { node } => runtime.block_on(client::run(node)),
        Role::Server(args) => runtime.block_on(server::run(server::Profile {
            name: args.name,
            workers: args.workers,
            mean_ms: args.mean_ms,
            sigma: args.sigma,
            drain: Duration::from_secs(args.drain_seconds),
        })),
    }
}
