//! Mutation testing of the law's decision modules: does a test notice when a decision is made otherwise?
//!
//! cargo-mutants changes one expression at a time in a copy of the tree and runs the law's own unit and property tests,
//! the fast ones. All of it takes hours; `--shard 3/40` is every fortieth mutant from the third on, so a sample of every
//! module. Invariant: the task fails below [`LEAST_KILLED`] or on a survivor that `crates/continuity-field/survivors.md`
//! does not explain. Left out: the slow tests (the wind tunnel's golden digests kill more), and what only stores or shows.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Error;
use crate::check::cargo;
use crate::paths;
use crate::process::Run;

/// The version whose mutants the published figures count.
const VERSION: &str = "27.1.0";
/// Part of the viable mutants that tests must notice, percent.
const LEAST_KILLED: usize = 90;
/// Longest run of the tests of one mutant, s: thirty times what they take.
const TIMEOUT: &str = "90";
/// Modules that decide.
const MODULES: [&str; 25] = [
    "admission/estimate",
    "admission/learn",
    "admission/level",
    "admission/limit",
    "admission/machine",
    "admission/rule",
    "admission/state",
    "admission/storm",
    "admission/thin",
    "admission/word",
    "alarm",
    "baseline",
    "caller/book",
    "caller/fair",
    "caller/live",
    "drip",
    "evidence",
    "isolation",
    "look",
    "pressure",
    "regime",
    "share",
    "slot",
    "spill",
    "trust",
];
/// Explained survivors.
const EXPLAINED: &str = "crates/continuity-field/survivors.md";

/// Arguments of `cargo xtask mutants`.
#[derive(Debug, Clone, clap::Args)]
pub struct MutantsArgs {
    /// A part of the mutants, such as 3/40; without it all of them, for hours.
    #[arg(long)]
    pub shard: Option<String>,
    /// Only modules whose path contains this, such as `isolation`.
    #[arg(long, default_value = "")]
    pub module: String,
}

/// Counts of one run.
struct Tally {
    killed: usize,
    unviable: usize,
    missed: Vec<String>,
}

/// Runs the mutants and judges what survived.
///
/// # Errors
/// The tool cannot be installed or fails, too few mutants are noticed, or a survivor is not explained.
pub fn run(args: &MutantsArgs) -> Result<(), Error> {
    let tool = tool()?;
    let output = paths::target().join("mutants");
    fs::create_dir_all(&output).map_err(Error::file("create", &output))?;
    let mut call = Run::new(&tool)
        .dir(paths::root())
        .env("CARGO_TARGET_DIR", output.join("build"))
        .args(["mutants", "--package", "continuity-field", "--profile", "mutants"])
        .args([
            "--baseline",
            "skip",
            "--timeout",
            TIMEOUT,
            "--no-times",
            "--output",
        ])
        .arg(&output);
    for module in MODULES.iter().filter(|module| module.contains(&args.module)) {
        call = call.args([
            "--file".to_owned(),
            format!("crates/continuity-field/src/{module}.rs"),
        ]);
    }
    if let Some(shard) = &args.shard {
        call = call.args(["--sharding", "round-robin", "--shard", shard]);
    }
    let status = call.args(["--", "--lib", "--test", "invariants"]).interactive()?;
    // 0: all noticed; 2: some survived; 3: some ran into the time limit. The rest are failures of the tool.
    if !matches!(status.code(), Some(0 | 2 | 3)) {
        return Err(Error::Findings {
            summary: format!("cargo-mutants ended with {status}"),
        });
    }
    judge(&tally(&output.join("mutants.out"))?)
}

/// The program, installed below the target folder on first use.
fn tool() -> Result<PathBuf, Error> {
    let root = paths::root()
        .join("target/tools")
        .join(format!("cargo-mutants-{VERSION}"));
    let program = root.join("bin/cargo-mutants");
    if !program.is_file() {
        cargo()
            .args([
                "install",
                "cargo-mutants",
                "--locked",
                "--debug",
                "--version",
                VERSION,
                "--root",
            ])
            .arg(&root)
            .run()?;
    }
    Ok(program)
}

fn lines(folder: &Path, name: &str) -> Result<Vec<String>, Error> {
    let path = folder.join(name);
    let text = fs::read_to_string(&path).map_err(Error::file("read", &path))?;
    Ok(text.lines().map(str::to_owned).collect())
}

fn tally(folder: &Path) -> Result<Tally, Error> {
    let killed = lines(folder, "caught.txt")?.len() + lines(folder, "timeout.txt")?.len();
    Ok(Tally {
        killed,
        unviable: lines(folder, "unviable.txt")?.len(),
        missed: lines(folder, "missed.txt")?,
    })
}

/// `crates/continuity-field/src/look.rs:12:34: replace > with >= in close` without its place, which moves with every edit.
fn named(mutant: &str) -> String {
    let mut parts = mutant.splitn(4, ':');
    let file = parts.next().unwrap_or_default();
    let what = parts.nth(2).unwrap_or_default();
    let module = file.trim_start_matches("crates/continuity-field/src/");
    format!("{module}:{what}")
}

fn judge(tally: &Tally) -> Result<(), Error> {
    let viable = tally.killed + tally.missed.len();
    println!(
        "{} of {viable} viable mutants noticed ({} did not compile), {} survived",
        tally.killed,
        tally.unviable,
        tally.missed.len()
    );
    let path = paths::root().join(EXPLAINED);
    let explained = fs::read_to_string(&path).map_err(Error::file("read", &path))?;
    let mut findings: Vec<String> = unexplained(&tally.missed, &explained)
        .into_iter()
        .map(|mutant| format!("survived and is not explained in {EXPLAINED}: {mutant}"))
        .collect();
    if tally.killed * 100 < LEAST_KILLED * viable {
        findings.push(format!("fewer than {LEAST_KILLED} % were noticed"));
    }
    if findings.is_empty() {
        return Ok(());
    }
    Err(Error::Findings {
        summary: findings.join("\n"),
    })
}

/// Survivors that the page does not name.
fn unexplained<'a>(missed: &'a [String], page: &str) -> Vec<&'a String> {
    let known = |mutant: &&String| !page.contains(&format!("`{}`", named(mutant)));
    missed.iter().filter(known).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_survivor_is_known_by_what_it_changes_and_not_by_its_line() {
        let missed = ["12:34", "99:1"].map(|place| {
            format!(
                "crates/continuity-field/src/admission/limit.rs:{place}: replace > with >= in Limiter::enter"
            )
        });
        let page =
            "| `admission/limit.rs: replace > with >= in Limiter::enter` | equal values differ by nothing |";
        assert!(unexplained(&missed, page).is_empty());
        assert_eq!(unexplained(&missed, "").len(), 2);
    }

    #[test]
    fn too_few_noticed_mutants_are_a_finding() {
        let tally = |killed| Tally {
            killed,
            unviable: 0,
            missed: vec![String::new(); 10],
        };
        let text = judge(&tally(80)).unwrap_err().to_string();
        assert!(text.contains("fewer than 90 %"), "{text}");
    }

    #[test]
    fn every_module_exists() {
        for module in MODULES {
            let path = paths::root().join(format!("crates/continuity-field/src/{module}.rs"));
            assert!(path.is_file(), "{module}");
        }
    }
}
