//! Generated files: the CRDs, the API reference, the page of metrics.
//!
//! The generators are programs of the crates that own the content (`crdgen` of continuity-api, `apidoc` of
//! continuity-cli); this module only runs them, so that this tool need not compile the Kubernetes client.
//! Invariant: [`stale`] writes nothing into the repository.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::Error;
use crate::check::cargo;
use crate::paths;
use crate::process::Run;

/// Pages that `apidoc` writes.
const PAGES: [&str; 2] = ["operator-docs/api-reference.md", "operator-docs/metrics.md"];

/// Writes `crds/` from the types of `continuity-api`.
///
/// # Errors
/// When the generator does not build or cannot write.
pub fn crds() -> Result<(), Error> {
    write_crds(&paths::root().join("crds"))
}

/// Writes the generated pages of `operator-docs/`: the API reference from the schemas, the metrics from their catalogue.
///
/// # Errors
/// When the generator does not build or cannot write.
pub fn docs() -> Result<(), Error> {
    write_pages(&paths::root().join("crds"), &paths::root())
}

/// Paths, relative to the root, whose content is not what the code generates.
///
/// # Errors
/// When a generator fails.
pub(crate) fn stale() -> Result<Vec<String>, Error> {
    let fresh = paths::target().join("generated");
    let crds = fresh.join("crds");
    if fresh.exists() {
        fs::remove_dir_all(&fresh).map_err(Error::file("remove", &fresh))?;
    }
    fs::create_dir_all(&crds).map_err(Error::file("create", &crds))?;
    write_crds(&crds)?;
    fs::create_dir_all(fresh.join("operator-docs")).map_err(Error::file("create", &fresh))?;
    write_pages(&crds, &fresh)?;
    let mut stale = differing(&paths::root().join("crds"), &crds, "crds")?;
    for page in PAGES {
        if fs::read(paths::root().join(page)).ok() != fs::read(fresh.join(page)).ok() {
            stale.push(page.to_owned());
        }
    }
    Ok(stale)
}

fn write_crds(folder: &Path) -> Result<(), Error> {
    built("crdgen")?.arg(folder).run()
}

/// Writes the pages below `root`.
fn write_pages(crds: &Path, root: &Path) -> Result<(), Error> {
    PAGES
        .iter()
        .fold(built("apidoc")?.arg(crds), |run, page| run.arg(root.join(page)))
        .run()
}

/// A generator, built as the tests build it: by itself its dependencies would have other features and be built again.
fn built(program: &str) -> Result<Run, Error> {
    cargo()
        .args(["build", "--quiet", "--workspace", "--bin", program])
        .run()?;
    Ok(Run::new(paths::target().join("debug").join(program)))
}

/// Names under `tracked` and `fresh` whose bytes differ, missing files included.
fn differing(tracked: &Path, fresh: &Path, label: &str) -> Result<Vec<String>, Error> {
    let names: BTreeSet<PathBuf> = yaml(tracked)?.union(&yaml(fresh)?).cloned().collect();
    let differs = |name: &PathBuf| fs::read(tracked.join(name)).ok() != fs::read(fresh.join(name)).ok();
    Ok(names
        .into_iter()
        .filter(differs)
        .map(|name| format!("{label}/{}", name.display()))
        .collect())
}

/// The YAML files of a folder, except kustomize's own.
fn yaml(folder: &Path) -> Result<BTreeSet<PathBuf>, Error> {
    let entries = fs::read_dir(folder).map_err(Error::file("read", folder))?;
    let names = entries
        .filter_map(Result::ok)
        .map(|entry| PathBuf::from(entry.file_name()));
    Ok(names
        .filter(|name| {
            name.extension().is_some_and(|end| end == "yaml") && !name.starts_with("kustomization.yaml")
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_a_missing_and_an_extra_file_are_all_stale() {
        let root = std::env::temp_dir().join(format!("continuity-drift-{}", std::process::id()));
        let (tracked, fresh) = (root.join("tracked"), root.join("fresh"));
        for folder in [&tracked, &fresh] {
            fs::create_dir_all(folder).unwrap();
            fs::write(folder.join("same.yaml"), "a").unwrap();
        }
        fs::write(tracked.join("changed.yaml"), "a").unwrap();
        fs::write(fresh.join("changed.yaml"), "b").unwrap();
        fs::write(tracked.join("gone.yaml"), "a").unwrap();
        fs::write(fresh.join("new.yaml"), "a").unwrap();
        fs::write(tracked.join("kustomization.yaml"), "a").unwrap();
        let found = differing(&tracked, &fresh, "crds").unwrap();
        fs::remove_dir_all(&root).unwrap();
        assert_eq!(found, ["crds/changed.yaml", "crds/gone.yaml", "crds/new.yaml"]);
    }
}
