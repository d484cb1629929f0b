//! `continuity-operator`: the Deployment's binary.

use clap::Parser;
use continuity_operator::{Args, pilot, telemetry};
use std::process::ExitCode;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let args = Args::parse();
    telemetry::logging(&args);
    match pilot::run(args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(category = error.category().as_str(), %error, "the operator stops");
            ExitCode::FAILURE
        }
    }
}
