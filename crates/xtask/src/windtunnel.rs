//! The wind tunnel: builds its program in release mode and runs it with the same arguments.

use crate::Error;
use crate::check::cargo;

/// Arguments of `cargo xtask windtunnel`.
#[derive(Debug, Clone, clap::Args)]
pub struct WindtunnelArgs {
    /// Given to `continuity-harness windtunnel`, such as `--profile ci` or `--seeds 20`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub rest: Vec<String>,
}

/// Runs a profile and judges it.
///
/// # Errors
/// The build fails, or a target or gate falls short.
pub fn run(args: &WindtunnelArgs) -> Result<(), Error> {
    let run = cargo().args([
        "run",
        "--release",
        "--package",
        "continuity-harness",
        "--",
        "windtunnel",
    ]);
    let status = run.args(&args.rest).interactive()?;
    if status.success() {
        return Ok(());
    }
    Err(Error::Findings {
        summary: format!("the wind tunnel ended with {status}"),
    })
}
