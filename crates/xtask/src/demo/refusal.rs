//! Policies that must be refused: every file of `e2e/manifests/bad` is offered to the real API server, which must answer
//! with the sentence that the file's first line expects. The samples of `config/` must be accepted, or refusing proves nothing.

use std::fs;
use std::path::{Path, PathBuf};

use super::goal::Check;
use crate::Error;
use crate::cluster::Cluster;
use crate::paths;

/// What stands before the expected sentence.
const EXPECT: &str = "# expect: ";
/// Policies that must be accepted, by the same road.
const GOOD: [&str; 2] = ["config/samples/observe.yaml", "config/samples/enforce.yaml"];

/// Offers every bad policy, and the good ones, in a dry run; nothing is stored.
pub(super) fn refusals(cluster: &Cluster) -> Result<Vec<Check>, Error> {
    let folder = paths::root().join("e2e/manifests/bad");
    let entries = fs::read_dir(&folder).map_err(Error::file("read", &folder))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|end| end == "yaml"));
    files.sort();
    let mut checks = Vec::new();
    for file in files {
        checks.push(bad(cluster, &file)?);
    }
    for file in GOOD {
        let (accepted, said) = offer(cluster, &paths::root().join(file))?;
        checks.push(Check::that("policy", file, accepted, said, "accepted"));
    }
    Ok(checks)
}

fn bad(cluster: &Cluster, file: &Path) -> Result<Check, Error> {
    let text = fs::read_to_string(file).map_err(Error::file("read", file))?;
    let expected = text
        .lines()
        .next()
        .and_then(|line| line.strip_prefix(EXPECT))
        .unwrap_or_default();
    let (accepted, said) = offer(cluster, file)?;
    let held = !accepted && !expected.is_empty() && said.contains(expected);
    let name = file
        .file_stem()
        .map(|stem| stem.to_string_lossy().into_owned())
        .unwrap_or_default();
    Ok(Check::that(
        "policy",
        &name,
        held,
        said,
        &format!("refused with: {expected}"),
    ))
}

/// Whether the API server would take the file, and what it says.
fn offer(cluster: &Cluster, file: &Path) -> Result<(bool, String), Error> {
    let arguments = [
        "apply".as_ref(),
        "--dry-run=server".as_ref(),
        "-f".as_ref(),
        file.as_os_str(),
    ];
    let output = cluster.kubectl_any(arguments)?;
    let accepted = output.status.success();
    let said = if accepted { output.stdout } else { output.stderr };
    Ok((accepted, String::from_utf8_lossy(&said).trim().to_owned()))
}
