//! Writes the CRDs, one file each, into the directory given, or prints them all.

use continuity_api::schema::{definitions, file_name, to_yaml};
use std::path::PathBuf;
use std::process::ExitCode;
use std::{env, fs, io};

fn main() -> ExitCode {
    let directory = env::args_os().nth(1).map(PathBuf::from);
    match run(directory) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("crdgen: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(directory: Option<PathBuf>) -> io::Result<()> {
    if let Some(directory) = &directory {
        fs::create_dir_all(directory)?;
    }
    for definition in definitions() {
        let text = to_yaml(&definition).map_err(io::Error::other)?;
        match &directory {
            Some(directory) => fs::write(directory.join(file_name(&definition)), text)?,
            None => print!("---\n{text}"),
        }
    }
    Ok(())
}
