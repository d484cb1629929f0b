//! The cluster's programs, built from Go modules once and kept.
//!
//! Kubernetes and etcd are one program made in `e2e/cluster/`; the rest is `go install` of a pinned version. What a
//! program was built from is hashed into a stamp beside it; an equal stamp means there is nothing to do.

use std::fs;
use std::path::{Path, PathBuf};

use super::layout;
use crate::process::Run;
use crate::progress::Progress;
use crate::{Error, paths, preflight};

/// The release of Kubernetes that `e2e/cluster/go.mod` requires; the program learns it from the linker only.
const KUBERNETES: &str = "v1.36.3";
const CONTAINERD: &str = "github.com/containerd/containerd/v2/cmd";
const CONTAINERD_VERSION: &str = "v2.4.2";
const PLUGINS: &str = "github.com/containernetworking/plugins/plugins";
const PLUGINS_VERSION: &str = "v1.9.1";

/// Packages installed as they are: path and version.
fn packages() -> Vec<(String, &'static str)> {
    let containerd =
        ["containerd", "containerd-shim-runc-v2", "ctr"].map(|name| format!("{CONTAINERD}/{name}"));
    let plugins = ["main/ptp", "main/loopback", "ipam/host-local"].map(|name| format!("{PLUGINS}/{name}"));
    let mut all: Vec<_> = containerd
        .into_iter()
        .map(|path| (path, CONTAINERD_VERSION))
        .collect();
    all.extend(plugins.into_iter().map(|path| (path, PLUGINS_VERSION)));
    all.push(("github.com/coredns/coredns".to_owned(), "v1.15.0"));
    all
}

/// Builds what is not built yet.
pub(super) fn build(progress: &Progress) -> Result<(), Error> {
    let (bin, stamps) = (layout::bin(), paths::cluster().join("build"));
    for dir in [&bin, &stamps] {
        fs::create_dir_all(dir).map_err(Error::file("create", dir))?;
    }
    build_kubernetes(progress, &bin, &stamps)?;
    for (package, version) in packages() {
        install(progress, &package, version, &bin, &stamps)?;
    }
    pause(&bin, &stamps)
}

fn build_kubernetes(progress: &Progress, bin: &Path, stamps: &Path) -> Result<(), Error> {
    let module = paths::root().join("e2e/cluster");
    let [major, minor] = [1, 36];
    let version = "-X k8s.io/component-base/version";
    let linker = format!(
        "-s -w {version}.gitVersion={KUBERNETES} {version}.gitMajor={major} {version}.gitMinor={minor}"
    );
    let mut sources = vec![linker.clone().into_bytes()];
    for file in ["go.mod", "go.sum", "main.go"] {
        let path = module.join(file);
        sources.push(fs::read(&path).map_err(Error::file("read", &path))?);
    }
    let stamp = Stamp::new(stamps, "kubernetes", &sources);
    if stamp.holds(&bin.join("kubernetes")) {
        return Ok(());
    }
    let step = progress.step(format!(
        "building Kubernetes {KUBERNETES} and etcd from Go modules"
    ));
    step.waiting("go build: 6 min on two cores the first time");
    let aside = bin.join("kubernetes.new");
    go()?
        .args(["build", "-v", "-trimpath", "-o"])
        .arg(&aside)
        .args(["-ldflags", &linker, "."])
        .dir(&module)
        .run_shown(&step, build_log("kubernetes")?)?;
    stamp.put(&aside, &bin.join("kubernetes"))?;
    step.done();
    Ok(())
}

fn install(
    progress: &Progress,
    package: &str,
    version: &str,
    bin: &Path,
    stamps: &Path,
) -> Result<(), Error> {
    let name = package.rsplit('/').next().unwrap_or(package);
    let stamp = Stamp::new(
        stamps,
        name,
        &[package.as_bytes().to_vec(), version.as_bytes().to_vec()],
    );
    if stamp.holds(&bin.join(name)) {
        return Ok(());
    }
    let step = progress.step(format!("building {name} {version}"));
    step.waiting("go install");
    let aside = bin.join("new");
    go()?
        .args([
            "install",
            "-v",
            "-trimpath",
            "-ldflags",
            "-s -w",
            &format!("{package}@{version}"),
        ])
        .env("GOBIN", &aside)
        .env("CGO_ENABLED", "0")
        .run_shown(&step, build_log(name)?)?;
    stamp.put(&aside.join(name), &bin.join(name))?;
    step.done();
    Ok(())
}

/// The program of the pause image: a static C file that sleeps and reaps.
fn pause(bin: &Path, stamps: &Path) -> Result<(), Error> {
    let source = paths::root().join("e2e/cluster/pause/pause.c");
    let text = fs::read(&source).map_err(Error::file("read", &source))?;
    let stamp = Stamp::new(stamps, "pause", &[text]);
    if stamp.holds(&bin.join("pause")) {
        return Ok(());
    }
    let aside = bin.join("pause.new");
    Run::new("cc")
        .args(["-Os", "-static", "-o"])
        .arg(&aside)
        .arg(&source)
        .run()?;
    stamp.put(&aside, &bin.join("pause"))
}

fn go() -> Result<Run, Error> {
    Ok(Run::new(preflight::go()?)
        .env("GOTOOLCHAIN", "local")
        .env("GOFLAGS", "-mod=readonly -buildvcs=false"))
}

fn build_log(name: &str) -> Result<PathBuf, Error> {
    let path = layout::log(&format!("build-{name}"));
    let dir = path.parent().unwrap_or(&path);
    fs::create_dir_all(dir).map_err(Error::file("create", dir))?;
    Ok(path)
}

/// The recorded hash of what a program was built from.
struct Stamp {
    file: PathBuf,
    hash: String,
}

impl Stamp {
    fn new(dir: &Path, name: &str, sources: &[Vec<u8>]) -> Self {
        Self {
            file: dir.join(name),
            hash: crate::image::hash(sources),
        }
    }

    fn holds(&self, program: &Path) -> bool {
        program.exists() && fs::read_to_string(&self.file).is_ok_and(|known| known == self.hash)
    }

    /// Puts a fresh program in its place, then the stamp: a crash in between builds again.
    fn put(&self, fresh: &Path, program: &Path) -> Result<(), Error> {
        fs::rename(fresh, program).map_err(Error::file("rename", fresh))?;
        fs::write(&self.file, &self.hash).map_err(Error::file("write", &self.file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_holds_only_for_the_same_sources() {
        let one = Stamp::new(Path::new("/"), "part", &[b"v1".to_vec(), b"flags".to_vec()]);
        let other = Stamp::new(Path::new("/"), "part", &[b"v1flags".to_vec()]);
        assert_ne!(one.hash, other.hash);
    }

    #[test]
    fn the_linker_is_told_the_version_that_go_mod_requires() {
        let go_mod = fs::read_to_string(paths::root().join("e2e/cluster/go.mod")).unwrap();
        assert!(go_mod.contains(&format!("k8s.io/kubernetes {KUBERNETES}")));
    }
}
