//! Static checks of the repository: formatting, lints, drift of generated files, dependency direction, sizes, names.
//!
//! Every check reports all it finds; the task fails at the end, so one run shows everything there is to mend.

mod direction;
mod names;
mod size;

use std::fs;

use crate::Error;
use crate::generate;
use crate::paths;
use crate::process::Run;
use crate::progress::Progress;

/// One thing to mend.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    /// File or crate.
    place: String,
    /// What is wrong, and what to do.
    what: String,
}

impl Finding {
    fn new(place: &str, what: String) -> Self {
        Self {
            place: place.to_owned(),
            what,
        }
    }
}

/// Runs every check and reports all findings at once.
///
/// # Errors
/// [`Error::Findings`] with one line each, or what kept a check from running.
pub fn run() -> Result<(), Error> {
    let progress = Progress::new();
    let mut found = Vec::new();
    let mut step = |title: &str, check: &dyn Fn() -> Result<Vec<Finding>, Error>| -> Result<(), Error> {
        let step = progress.step(title);
        let new = check()?;
        if new.is_empty() {
            step.done();
        }
        found.extend(new);
        Ok(())
    };
    step("sizes and names", &|| {
        let files = sources()?;
        let paths: Vec<String> = files.iter().map(|(path, _)| path.clone()).collect();
        Ok([size::findings(&files), names::findings(&paths)].concat())
    })?;
    step("dependency direction", &dependency_direction)?;
    step("formatting", &|| {
        failing("formatting", cargo().args(["fmt", "--all", "--check"]))
    })?;
    step("lints", &|| {
        failing(
            "lints",
            cargo().args([
                "clippy",
                "--quiet",
                "--workspace",
                "--all-targets",
                "--",
                "-D",
                "warnings",
            ]),
        )
    })?;
    step("generated files", &generated_drift)?;
    if found.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = found
        .iter()
        .map(|finding| format!("{}: {}", finding.place, finding.what))
        .collect();
    Err(Error::Findings {
        summary: lines.join("\n"),
    })
}

/// The cargo that runs this task, in the root of the repository.
pub(crate) fn cargo() -> Run {
    Run::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())).dir(paths::root())
}

/// Tracked and new source files with their text; deleted ones are skipped.
fn sources() -> Result<Vec<(String, String)>, Error> {
    let listing = Run::new("git")
        .dir(paths::root())
        .args([
            "ls-files",
            "--cached",
            "--others",
            "--exclude-standard",
            "*.rs",
            "*.c",
            "*.h",
        ])
        .output()?;
    let names = String::from_utf8_lossy(&listing.stdout).into_owned();
    let read = |name: &str| {
        fs::read_to_string(paths::root().join(name))
            .ok()
            .map(|text| (name.to_owned(), text))
    };
    Ok(names.lines().filter_map(read).collect())
}

fn dependency_direction() -> Result<Vec<Finding>, Error> {
    let output = cargo()
        .args(["metadata", "--format-version", "1", "--locked"])
        .output()?;
    direction::findings(&String::from_utf8_lossy(&output.stdout)).map_err(|source| Error::Json {
        what: "the answer of cargo metadata".to_owned(),
        source,
    })
}

/// A program whose failure is a finding and not an error of the task.
fn failing(place: &str, run: Run) -> Result<Vec<Finding>, Error> {
    match run.output() {
        Ok(_) => Ok(Vec::new()),
        Err(error @ Error::Failed { .. }) => Ok(vec![Finding::new(place, error.to_string())]),
        Err(error) => Err(error),
    }
}

fn generated_drift() -> Result<Vec<Finding>, Error> {
    let stale = generate::stale()?;
    let what =
        "differs from what the code generates: run `cargo xtask crds` and `cargo xtask docs`, then commit";
    Ok(stale
        .iter()
        .map(|path| Finding::new(path, what.to_owned()))
        .collect())
}
