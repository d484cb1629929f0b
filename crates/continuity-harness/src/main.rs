//! `continuity-harness`: runs scenarios against laws and writes what came out.
//!
//! Exit codes: 0 done, 1 the machine refused (files), 2 the input is wrong (the message says what would
//! be right), 3 a target was missed.

mod command;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match command::Command::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("continuity-harness: {error}");
            error.code()
        }
    }
}
