//! Writes the API reference: `apidoc [FOLDER OF CRDS] [PAGE] [PAGE OF METRICS]`, by default `crds` and standard output; and
//! the page of metrics, where it is asked for.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let folder = arguments.next().unwrap_or_else(|| PathBuf::from("crds"));
    let page = match continuity_cli::apidoc::from_folder(&folder) {
        Ok(page) => page,
        Err(error) => {
            eprintln!("apidoc: {error}");
            return ExitCode::FAILURE;
        }
    };
    let written = match arguments.next() {
        Some(file) => std::fs::write(file, page).and_then(|()| match arguments.next() {
            Some(file) => std::fs::write(file, continuity_cli::apidoc::metrics()),
            None => Ok(()),
        }),
        None => std::io::stdout().write_all(page.as_bytes()),
    };
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("apidoc: {error}");
            ExitCode::FAILURE
        }
    }
}
