//! The node agent: observe, decide, project, report.

use std::io;
use std::process::ExitCode;

use clap::Parser;
use continuity_agent::arguments::{Arguments, Command, Format};
use continuity_agent::command::{probe, run, uninstall};
use continuity_agent::{place, sense};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    log(arguments.place.log_format);
    let node = &arguments.running.node_name;
    let options = place::options(&arguments.place, node);
    let outcome = match arguments.command.unwrap_or(Command::Run) {
        Command::Run => {
            let sensors = sense::roots(&arguments.place.cgroup_mounts);
            run::run(&arguments.running, sensors, move || place::open(&options))
        }
        Command::Uninstall => uninstall::run(&options, node, &mut io::stdout()),
        Command::Probe { format } => probe::run(&options, format, &mut io::stdout()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(category = ?error.category(), %error, "failed");
            ExitCode::FAILURE
        }
    }
}

fn log(format: Format) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    match format {
        Format::Json => lines.json().init(),
        Format::Text => lines.init(),
    }
}
