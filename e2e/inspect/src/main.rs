//! `continuity-inspect objects | maps FOLDER`: prints JSON.

use clap::Parser;
use continuity_inspect::{Error, maps, objects};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Parser)]
#[command(about = "Reads BPF objects and the pinned maps of Continuity; writes nothing")]
enum Cli {
    /// Every BPF program and map of this machine.
    Objects,
    /// The maps pinned in a folder.
    Maps {
        /// Folder of one schema, such as /sys/fs/bpf/continuity/v4.
        pins: PathBuf,
    },
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<(), Error> {
    let out = std::io::stdout();
    match cli {
        Cli::Objects => serde_json::to_writer(out, &objects::list()?)?,
        Cli::Maps { pins } => serde_json::to_writer(out, &maps::read(pins)?)?,
    }
    Ok(())
}
