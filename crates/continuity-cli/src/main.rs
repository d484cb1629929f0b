//! The binary `kubectl-continuity`: `kubectl continuity` finds it on the PATH.

use clap::Parser as _;
use continuity_cli::args::Cli;
use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match continuity_cli::command::run(Cli::parse()).await {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            continuity_cli::command::tell(&mut std::io::stderr(), format_args!("error: {error}"));
            ExitCode::from(error.category().code())
        }
    }
}
