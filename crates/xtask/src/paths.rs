//! Where things are: the repository, Cargo's target folder, the cluster's folder.
//!
//! All of it is derived, nothing is configured: two checkouts on one machine never meet.

use std::env;
use std::path::{Path, PathBuf};

/// The root of the repository.
pub fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.ancestors().nth(2).unwrap_or(manifest).to_owned()
}

/// Cargo's target folder: `CARGO_TARGET_DIR`, else `target` in the repository.
pub fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// The cluster's folder. It does not follow `CARGO_TARGET_DIR`: a machine has one cluster, whoever built the tool.
pub fn cluster() -> PathBuf {
    root().join("target/cluster")
}
